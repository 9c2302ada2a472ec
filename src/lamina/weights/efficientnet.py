"""Parameter names of EfficientNet in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.efficientnet import EfficientNet
from lamina.weights.inverted_residual import blocks, timm_body, torchvision_block, unit
from lamina.weights.layout import Layout
from lamina.weights.origin import with_timms_epsilon


def _torchvision(model: EfficientNet) -> Iterable[tuple[str, str]]:
    yield from unit("features.0", "stem")
    named = blocks(model)
    repeats = model.repeats(model.config)
    for row, count in enumerate(repeats, start=1):
        for index in range(count):
            yield from torchvision_block(f"features.{row}.{index}", *next(named))
    yield from unit(f"features.{len(repeats) + 1}", "neck.conv")
    yield "classifier.1", "head"


def _timm(model: EfficientNet) -> Iterable[tuple[str, str]]:
    """timm's batch norm has eps 1e-5 in every variant."""
    yield from timm_body(model, model.repeats(model.config))
    yield "conv_head", "neck.conv.conv"
    yield "bn2", "neck.conv.norm"


LAYOUTS = (
    Layout(source="torchvision", names=_torchvision),
    Layout(source="timm", names=_timm, remark=with_timms_epsilon()),
)
