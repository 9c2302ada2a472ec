"""How torchvision, timm and the paper's repository name the parts of Swin."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.models.swin import Swin
from lamina.weights.layout import Layout

Pairs = Iterator[tuple[str, str]]


def _blocks(model: Swin, stages: str, mlp: tuple[str, str]) -> Pairs:
    """The blocks, where ``stages`` is their name of a stage's blocks (a format of ``stage`` and ``odd`` = 2 stage + 1)
    and ``mlp`` their names of the two linear layers."""
    for stage, depth in enumerate(model.config.depths):
        for block in range(depth):
            theirs = f"{stages.format(stage=stage, odd=2 * stage + 1)}.{block}"
            ours = f"stages.{stage}.blocks.{block}"
            for name in ("norm1", "attn.qkv", "attn.proj", "norm2"):
                yield f"{theirs}.{name}", f"{ours}.{name}"
            yield f"{theirs}.attn.relative_position_bias_table", f"{ours}.attn.bias.table"
            yield f"{theirs}.{mlp[0]}", f"{ours}.mlp.expand"
            yield f"{theirs}.{mlp[1]}", f"{ours}.mlp.contract"


def _torchvision(model: Swin) -> Pairs:
    yield "features.0.0", "stem.conv"
    yield "features.0.2", "stem.norm"
    yield from _blocks(model, "features.{odd}", ("mlp.0", "mlp.3"))
    for stage in range(1, len(model.stages)):
        yield f"features.{2 * stage}", f"stages.{stage}.downsample"
    yield "norm", "neck.norm"
    yield "head", "head"


def _timm(model: Swin) -> Pairs:
    yield "patch_embed.proj", "stem.conv"
    yield "patch_embed.norm", "stem.norm"
    yield from _blocks(model, "layers.{stage}.blocks", ("mlp.fc1", "mlp.fc2"))
    for stage in range(1, len(model.stages)):
        yield f"layers.{stage}.downsample", f"stages.{stage}.downsample"
    yield "norm", "neck.norm"
    yield "head.fc", "head"


def _official(model: Swin) -> Pairs:
    yield "patch_embed.proj", "stem.conv"
    yield "patch_embed.norm", "stem.norm"
    yield from _blocks(model, "layers.{stage}.blocks", ("mlp.fc1", "mlp.fc2"))
    for stage in range(1, len(model.stages)):
        yield f"layers.{stage - 1}.downsample", f"stages.{stage}.downsample"  # at the end of the stage before
    yield "norm", "neck.norm"
    yield "head", "head"


_CALCULATED = (r".*\.relative_position_index", r".*\.attn_mask")

LAYOUTS = (
    Layout(source="torchvision", names=_torchvision, ignored=_CALCULATED),
    Layout(source="timm", names=_timm, ignored=_CALCULATED),
    Layout(source="microsoft/Swin-Transformer", names=_official, ignored=_CALCULATED),
)
