"""Parameter names of AlexNet in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.alexnet import AlexNet
from lamina.weights.layout import Layout


def _torchvision(model: AlexNet) -> Iterable[tuple[str, str]]:
    """Layers are numbered in sequence, activations, pooling and dropout included. There is no variant with two
    towers."""
    if model.config.towers > 1 or model.config.response_norm:
        return
    yield "features.0", "stages.0.conv1"
    yield "features.3", "stages.1.conv2"
    yield "features.6", "stages.2.conv3"
    yield "features.8", "stages.2.conv4"
    yield "features.10", "stages.2.conv5"
    yield "classifier.1", "neck.fc6"
    yield "classifier.4", "neck.fc7"
    yield "classifier.6", "head"


LAYOUTS = (Layout(source="torchvision", names=_torchvision),)
