"""Parameter names of MobileNet V3 in other projects."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from lamina.models.mobilenet_v3 import MobileNetV3
from lamina.weights.inverted_residual import blocks, timm_body, torchvision_block, unit
from lamina.weights.layout import Layout
from lamina.weights.origin import with_timms_epsilon


def _torchvision(model: MobileNetV3) -> Iterable[tuple[str, str]]:
    yield from unit("features.0", "stem")
    number = 0
    for number, (ours, block) in enumerate(blocks(model), start=1):
        yield from torchvision_block(f"features.{number}", ours, block)
    yield from unit(f"features.{number + 1}", "neck.conv")
    yield "classifier.0", "neck.linear"
    yield "classifier.3", "head"


def _timm(model: MobileNetV3) -> Iterable[tuple[str, str]]:
    """timm numbers blocks within rows of one output width; the convolution before the pooling is the last row."""
    rows = [len(list(run)) for _, run in groupby(model.config.blocks, key=lambda row: row[2])]
    yield from timm_body(model, rows)
    yield f"blocks.{len(rows)}.0.conv", "neck.conv.conv"
    yield f"blocks.{len(rows)}.0.bn1", "neck.conv.norm"
    yield "conv_head", "neck.linear"


LAYOUTS = (
    Layout(source="torchvision", names=_torchvision),
    Layout(source="timm", names=_timm, remark=with_timms_epsilon()),
)
