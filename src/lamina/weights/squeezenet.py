"""Parameter names of SqueezeNet in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.squeezenet import SqueezeNet
from lamina.weights.layout import Layout


def _torchvision(model: SqueezeNet) -> Iterable[tuple[str, str]]:
    """Fire modules and pooling are numbered on from conv1, its ReLU and its pooling; there is no variant with
    bypass."""
    if model.config.bypass != "none":
        return
    yield "features.0", "stem.conv1"
    index = 3
    for number, stage in enumerate(model.stages):
        for name, _ in stage.named_children():
            if name != "pool":
                yield f"features.{index}", f"stages.{number}.{name}"
            index += 1
    yield "classifier.1", "head.conv10"


LAYOUTS = (Layout(source="torchvision", names=_torchvision),)
