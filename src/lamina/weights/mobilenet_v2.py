"""Parameter names of MobileNet V2 in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.mobilenet_v2 import MobileNetV2
from lamina.weights.inverted_residual import blocks, timm_body, unit
from lamina.weights.layout import Layout


def _torchvision(model: MobileNetV2) -> Iterable[tuple[str, str]]:
    yield from unit("features.0", "stem")
    number = 0
    for number, (ours, block) in enumerate(blocks(model), start=1):
        theirs = f"features.{number}.conv"
        parts = [part for part, _ in block.branch.named_children()]
        for index, part in enumerate(parts[:-1]):
            yield from unit(f"{theirs}.{index}", f"{ours}.branch.{part}")
        yield f"{theirs}.{len(parts) - 1}", f"{ours}.branch.project.conv"
        yield f"{theirs}.{len(parts)}", f"{ours}.branch.project.norm"
    yield from unit(f"features.{number + 1}", "neck.conv")
    yield "classifier.1", "head"


def _timm(model: MobileNetV2) -> Iterable[tuple[str, str]]:
    yield from timm_body(model, model.config.depths)
    yield "conv_head", "neck.conv.conv"
    yield "bn2", "neck.conv.norm"


LAYOUTS = (Layout(source="torchvision", names=_torchvision), Layout(source="timm", names=_timm))
