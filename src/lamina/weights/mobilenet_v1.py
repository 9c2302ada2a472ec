"""Parameter names of MobileNet V1 in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.mobilenet_v1 import MobileNetV1
from lamina.weights.layout import Layout


def _timm(model: MobileNetV1) -> Iterable[tuple[str, str]]:
    """timm's variants use ReLU6 where the paper has ReLU: ``activation="relu6"``."""
    yield from (("conv_stem", "stem.conv"), ("bn1", "stem.norm"), ("classifier", "head"))
    for stage, depth in enumerate(model.config.depths):
        for index in range(depth):
            theirs, ours = f"blocks.{stage}.{index}", f"stages.{stage}.{index}"
            yield f"{theirs}.conv_dw", f"{ours}.depthwise.conv"
            yield f"{theirs}.bn1", f"{ours}.depthwise.norm"
            yield f"{theirs}.conv_pw", f"{ours}.pointwise.conv"
            yield f"{theirs}.bn2", f"{ours}.pointwise.norm"


def _remark(model: MobileNetV1) -> str | None:
    if model.config.activation == "relu6":
        return None
    return "timm's has ReLU6, this model ReLU: build it with activation='relu6'"


LAYOUTS = (Layout(source="timm", names=_timm, remark=_remark),)
