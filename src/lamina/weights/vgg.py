"""Parameter names of VGG in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.vgg import VGG
from lamina.weights.layout import Layout


def _features(model: VGG) -> Iterable[tuple[str, str]]:
    """Both projects number the layers of all stages in sequence, ReLU and pooling included."""
    index = 0
    for number, stage in enumerate(model.stages):
        for name, layer in stage.named_children():
            if next(layer.parameters(), None) is not None:
                yield f"features.{index}", f"stages.{number}.{name}"
            index += 1


def _torchvision(model: VGG) -> Iterable[tuple[str, str]]:
    yield from _features(model)
    yield "classifier.0", "neck.fc6"
    yield "classifier.3", "neck.fc7"
    yield "classifier.6", "head"


def _timm(model: VGG) -> Iterable[tuple[str, str]]:
    """timm's fc6 and fc7 are convolutions, of 7x7 and 1x1: the same values in the same order."""
    yield from _features(model)
    yield "pre_logits.fc1", "neck.fc6"
    yield "pre_logits.fc2", "neck.fc7"
    yield "head.fc", "head"


LAYOUTS = (Layout(source="torchvision", names=_torchvision), Layout(source="timm", names=_timm))
