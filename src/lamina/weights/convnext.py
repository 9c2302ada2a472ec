"""How torchvision, timm and the paper's repository name the parts of ConvNeXt."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.models.convnext import ConvNeXt
from lamina.weights.layout import Layout

Pairs = Iterator[tuple[str, str]]


def _torchvision(model: ConvNeXt) -> Pairs:
    yield "features.0.0", "stem.conv"
    yield "features.0.1", "stem.norm"
    for stage, depth in enumerate(model.config.depths):
        if stage:
            yield f"features.{2 * stage}.0", f"stages.{stage}.downsample.norm"
            yield f"features.{2 * stage}.1", f"stages.{stage}.downsample.conv"
        for block in range(depth):
            theirs, ours = f"features.{2 * stage + 1}.{block}", f"stages.{stage}.blocks.{block}"
            yield f"{theirs}.layer_scale", f"{ours}.gamma"
            for number, name in ((0, "conv"), (2, "norm"), (3, "expand"), (5, "contract")):
                yield f"{theirs}.block.{number}", f"{ours}.{name}"
    yield "classifier.0", "neck.norm"
    yield "classifier.2", "head"


def _timm(model: ConvNeXt) -> Pairs:
    yield "stem.0", "stem.conv"
    yield "stem.1", "stem.norm"
    for stage, depth in enumerate(model.config.depths):
        if stage:
            yield f"stages.{stage}.downsample.0", f"stages.{stage}.downsample.norm"
            yield f"stages.{stage}.downsample.1", f"stages.{stage}.downsample.conv"
        for block in range(depth):
            name = f"stages.{stage}.blocks.{block}"
            yield f"{name}.gamma", f"{name}.gamma"
            yield f"{name}.conv_dw", f"{name}.conv"
            yield f"{name}.norm", f"{name}.norm"
            yield f"{name}.mlp.fc1", f"{name}.expand"
            yield f"{name}.mlp.fc2", f"{name}.contract"
    yield "head.norm", "neck.norm"
    yield "head.fc", "head"


def _official(model: ConvNeXt) -> Pairs:
    yield "downsample_layers.0.0", "stem.conv"
    yield "downsample_layers.0.1", "stem.norm"
    for stage, depth in enumerate(model.config.depths):
        if stage:
            yield f"downsample_layers.{stage}.0", f"stages.{stage}.downsample.norm"
            yield f"downsample_layers.{stage}.1", f"stages.{stage}.downsample.conv"
        for block in range(depth):
            theirs, ours = f"stages.{stage}.{block}", f"stages.{stage}.blocks.{block}"
            yield f"{theirs}.gamma", f"{ours}.gamma"
            yield f"{theirs}.dwconv", f"{ours}.conv"
            yield f"{theirs}.norm", f"{ours}.norm"
            yield f"{theirs}.pwconv1", f"{ours}.expand"
            yield f"{theirs}.pwconv2", f"{ours}.contract"
    yield "norm", "neck.norm"
    yield "head", "head"


LAYOUTS = (
    Layout(source="torchvision", names=_torchvision),
    Layout(source="timm", names=_timm),
    Layout(source="facebookresearch/ConvNeXt", names=_official),
)
