"""Parameter names of ConvNeXt in torchvision, timm and the paper's repository."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lamina.models.convnext import ConvNeXt
from lamina.weights.layout import Layout

PARTS = ("gamma", "conv", "norm", "expand", "contract")


def _names(
    model: ConvNeXt, *, stem: str, downsample: str, block: str, parts: tuple[str, ...], norm: str, head: str
) -> Iterator[tuple[str, str]]:
    """(their name, our name) of each module.

    ``downsample`` and ``block`` are format strings of ``stage``, ``even`` = 2 stage, ``odd`` = 2 stage + 1 and, for a
    block, its number ``block``; ``parts`` are the names of ``PARTS`` within a block.
    """
    yield f"{stem}.0", "stem.conv"
    yield f"{stem}.1", "stem.norm"
    for stage, depth in enumerate(model.config.depths):
        numbers = {"stage": stage, "even": 2 * stage, "odd": 2 * stage + 1}
        if stage:
            yield f"{downsample.format(**numbers)}.0", f"stages.{stage}.downsample.norm"
            yield f"{downsample.format(**numbers)}.1", f"stages.{stage}.downsample.conv"
        for number in range(depth):
            name = block.format(**numbers, block=number)
            for theirs, ours in zip(parts, PARTS, strict=True):
                yield f"{name}.{theirs}", f"stages.{stage}.blocks.{number}.{ours}"
    yield norm, "neck.norm"
    yield head, "head"


_torchvision = partial(
    _names,
    stem="features.0",
    downsample="features.{even}",
    block="features.{odd}.{block}",
    parts=("layer_scale", "block.0", "block.2", "block.3", "block.5"),
    norm="classifier.0",
    head="classifier.2",
)
_timm = partial(
    _names,
    stem="stem",
    downsample="stages.{stage}.downsample",
    block="stages.{stage}.blocks.{block}",
    parts=("gamma", "conv_dw", "norm", "mlp.fc1", "mlp.fc2"),
    norm="head.norm",
    head="head.fc",
)
_official = partial(
    _names,
    stem="downsample_layers.0",
    downsample="downsample_layers.{stage}",
    block="stages.{stage}.{block}",
    parts=("gamma", "dwconv", "norm", "pwconv1", "pwconv2"),
    norm="norm",
    head="head",
)

LAYOUTS = (
    Layout(source="torchvision", names=_torchvision),
    Layout(source="timm", names=_timm),
    Layout(source="facebookresearch/ConvNeXt", names=_official),
)
