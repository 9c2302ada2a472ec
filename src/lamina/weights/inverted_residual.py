"""What the layouts of MobileNet V2, V3 and EfficientNet share: parameter names within the inverted residual."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.layers.image_classifier import ImageClassifier
from lamina.layers.inverted_residual import InvertedResidual


def blocks(model: ImageClassifier) -> Iterator[tuple[str, InvertedResidual]]:
    """(our name, block) of each inverted residual, in order."""
    for name, module in model.stages.named_modules(prefix="stages"):
        if isinstance(module, InvertedResidual):
            yield name, module


def unit(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """torchvision's convolution with norm: an nn.Sequential with numbered parts."""
    yield f"{theirs}.0", f"{ours}.conv"
    yield f"{theirs}.1", f"{ours}.norm"


def torchvision_block(theirs: str, ours: str, block: InvertedResidual) -> Iterator[tuple[str, str]]:
    """A block of torchvision's MobileNet V3 and EfficientNet, whose parts are numbered in sequence."""
    for index, (part, _) in enumerate(block.branch.named_children()):
        if part == "squeeze":
            yield f"{theirs}.block.{index}.fc1", f"{ours}.branch.squeeze.reduce"
            yield f"{theirs}.block.{index}.fc2", f"{ours}.branch.squeeze.expand"
        else:
            yield from unit(f"{theirs}.block.{index}", f"{ours}.branch.{part}")


def timm_body(model: ImageClassifier, rows: Iterable[int]) -> Iterator[tuple[str, str]]:
    """timm's stem and blocks; blocks are numbered within the rows of the paper's table, ``rows`` of them in each."""
    yield from (("conv_stem", "stem.conv"), ("bn1", "stem.norm"), ("classifier", "head"))
    named = blocks(model)
    for row, count in enumerate(rows):
        for index in range(count):
            ours, block = next(named)
            theirs = f"blocks.{row}.{index}"
            parts = [part for part, _ in block.branch.named_children() if part != "squeeze"]
            convs = ("conv_pw", "conv_dw", "conv_pwl") if len(parts) == 3 else ("conv_dw", "conv_pw")
            for number, (part, conv) in enumerate(zip(parts, convs, strict=True), start=1):
                yield f"{theirs}.{conv}", f"{ours}.branch.{part}.conv"
                yield f"{theirs}.bn{number}", f"{ours}.branch.{part}.norm"
            if len(parts) < len(block.branch):
                yield f"{theirs}.se.conv_reduce", f"{ours}.branch.squeeze.reduce"
                yield f"{theirs}.se.conv_expand", f"{ours}.branch.squeeze.expand"
