"""Parameter names of ResNet in other projects: torchvision and timm use the same."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.models.resnet import ResNet
from lamina.models.resnet_cifar import ResNetCifar
from lamina.weights.layout import Layout


def torchvision_names(model: ResNet | ResNetCifar) -> Iterator[tuple[str, str]]:
    """``conv1, bn1, layer1.0.conv1, layer1.0.bn1, ..., layer2.0.downsample.0, ..., fc``.

    Neither project has a ResNet with pre-activation: no names for one.
    """
    return residual_names(model, shortcut="downsample", head="fc")


def residual_names(model: ResNet | ResNetCifar, *, shortcut: str, head: str) -> Iterator[tuple[str, str]]:
    """The names of a project in which projections are called ``shortcut`` and the output layer ``head``."""
    if model.config.preactivation:
        return
    yield "conv1", "stem.conv"
    yield "bn1", "stem.norm"
    for s, stage in enumerate(model.stages):
        for b, block in enumerate(stage.children()):
            theirs, ours = f"layer{s + 1}.{b}", f"stages.{s}.{b}"
            for part, _ in block.get_submodule("branch").named_children():
                if not part.startswith("act"):
                    yield f"{theirs}.{part.replace('norm', 'bn')}", f"{ours}.branch.{part}"
            if hasattr(block.shortcut, "conv"):
                yield f"{theirs}.{shortcut}.0", f"{ours}.shortcut.conv"
                yield f"{theirs}.{shortcut}.1", f"{ours}.shortcut.norm"
    yield head, "head"


LAYOUTS = (Layout(source="torchvision", names=torchvision_names), Layout(source="timm", names=torchvision_names))
