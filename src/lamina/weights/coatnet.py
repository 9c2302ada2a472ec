"""Parameter names of CoAtNet in timm."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.models.coatnet import CoAtNet, MBConv
from lamina.weights.layout import Layout

_MBCONV = {
    "shortcut.expand": "shortcut.project",
    "pre_norm": "pre_norm",
    "conv1_1x1": "expand",
    "norm1": "norm1",
    "conv2_kxk": "depthwise",
    "norm2": "norm2",
    "se.fc1": "squeeze.reduce",
    "se.fc2": "squeeze.expand",
    "conv3_1x1": "project",
}
_ATTENTION = {
    "shortcut.expand": "shortcut.project",
    "norm1": "norm1",
    "attn.qkv": "attention.qkv",
    "attn.rel_pos.relative_position_bias_table": "attention.position.table",
    "attn.proj": "attention.project",
    "norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}


def timm(model: CoAtNet) -> Iterator[tuple[str, str]]:
    """(timm's name, ours) of each module: ``coatnet_0_224``."""
    yield from (("stem.conv1", "stem.0"), ("stem.norm1", "stem.1"), ("stem.conv2", "stem.3"))
    for number, stage in enumerate(model.stages):
        for i, block in enumerate(stage.children()):
            parts = _MBCONV if isinstance(block, MBConv) else _ATTENTION
            for theirs, ours in parts.items():
                if (parts, theirs, i) == (_ATTENTION, "norm1", 0):
                    theirs = "norm1.norm"  # in a block that halves the map
                yield f"stages.{number}.blocks.{i}.{theirs}", f"stages.{number}.{i}.{ours}"
    yield from (("head.norm", "neck.1"), ("head.pre_logits.fc", "neck.2"), ("head.fc", "head"))


LAYOUTS = (Layout(source="timm", names=timm),)
