"""Parameter names of DenseNet in other projects."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from lamina.models.densenet import DenseNet
from lamina.weights.layout import Layout


def torchvision_names(model: DenseNet) -> Iterator[tuple[str, str]]:
    """``features.conv0, features.denseblock1.denselayer1.norm1, ..., features.norm5, classifier``."""
    return _names(model, dot="")


def first_torchvision_names(model: DenseNet) -> Iterator[tuple[str, str]]:
    """The same with ``norm.1``, ``conv.2`` within layers: the names in torchvision's files, which it renames on
    loading."""
    return _names(model, dot=".")


def _names(model: DenseNet, *, dot: str) -> Iterator[tuple[str, str]]:
    yield "features.conv0", "stem.conv"
    if hasattr(model.stem, "norm"):
        yield "features.norm0", "stem.norm"
    for s, stage in enumerate(model.stages):
        if s > 0:
            for part in ("norm", "conv"):
                yield f"features.transition{s}.{part}", f"stages.{s}.transition.{part}"
        for i, layer in enumerate(stage.get_submodule("block").children()):
            theirs, ours = f"features.denseblock{s + 1}.denselayer{i + 1}", f"stages.{s}.block.{i}"
            for name, part in layer.named_modules():
                if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
                    kind, number = name[-5:-1], name[-1]
                    yield f"{theirs}.{kind}{dot}{number}", f"{ours}.{name}"
    yield "features.norm5", "neck.norm"
    yield "classifier", "head"


LAYOUTS = (
    Layout(source="torchvision", names=torchvision_names),
    Layout(source="torchvision's first names", names=first_torchvision_names),
    Layout(source="timm", names=torchvision_names),
)
