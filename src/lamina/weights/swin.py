"""Parameter names of Swin in torchvision, timm and the paper's repository."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lamina.models.swin import Swin
from lamina.weights.layout import Layout


def _names(
    model: Swin, *, stem: tuple[str, str], downsample: str, blocks: str, mlp: tuple[str, str], head: str
) -> Iterator[tuple[str, str]]:
    """(their name, our name) of each module.

    ``downsample`` and ``blocks`` (of a stage) are format strings of ``stage``, ``before`` = stage - 1, ``even`` = 2
    stage and ``odd`` = 2 stage + 1; ``mlp`` are the names of the two linear layers.
    """
    yield stem[0], "stem.conv"
    yield stem[1], "stem.norm"
    for stage, depth in enumerate(model.config.depths):
        numbers = {"stage": stage, "before": stage - 1, "even": 2 * stage, "odd": 2 * stage + 1}
        if stage:
            yield downsample.format(**numbers), f"stages.{stage}.downsample"
        for block in range(depth):
            theirs, ours = f"{blocks.format(**numbers)}.{block}", f"stages.{stage}.blocks.{block}"
            for name in ("norm1", "attn.qkv", "attn.proj", "norm2"):
                yield f"{theirs}.{name}", f"{ours}.{name}"
            yield f"{theirs}.attn.relative_position_bias_table", f"{ours}.attn.bias.table"
            yield f"{theirs}.{mlp[0]}", f"{ours}.mlp.expand"
            yield f"{theirs}.{mlp[1]}", f"{ours}.mlp.contract"
    yield "norm", "neck.norm"
    yield head, "head"


_torchvision = partial(
    _names,
    stem=("features.0.0", "features.0.2"),
    downsample="features.{even}",
    blocks="features.{odd}",
    mlp=("mlp.0", "mlp.3"),
    head="head",
)
_timm = partial(
    _names,
    stem=("patch_embed.proj", "patch_embed.norm"),
    downsample="layers.{stage}.downsample",
    blocks="layers.{stage}.blocks",
    mlp=("mlp.fc1", "mlp.fc2"),
    head="head.fc",
)
_official = partial(_timm, downsample="layers.{before}.downsample", head="head")  # at the end of the stage before
_CALCULATED = (r".*\.relative_position_index", r".*\.attn_mask")

LAYOUTS = (
    Layout(source="torchvision", names=_torchvision, ignored=_CALCULATED),
    Layout(source="timm", names=_timm, ignored=_CALCULATED),
    Layout(source="microsoft/Swin-Transformer", names=_official, ignored=_CALCULATED),
)
