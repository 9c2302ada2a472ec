"""The inspection page of one image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from lamina.inspection.attention import BlockAttention
from lamina.inspection.erf import centre, radius
from lamina.inspection.image import Inspection
from lamina.report import figures
from lamina.report.blocks import Block, Pairs, Section, Table, Tiles
from lamina.report.contact_sheet import sheet
from lamina.report.content import Array, Internals
from lamina.report.image import overlays
from lamina.report.images import MAP, Tile, filter_tiles, map_tiles, tile
from lamina.report.sections import internals
from lamina.report.templates import render
from lamina.report.wording import DASH, label, number, rounded

SHOWN = 5
"""maximum number of classes listed"""
BLOCKS = 12
"""blocks whose attention is drawn at most: the last ones of each stage"""
SIDE = 224
FIELD = 160


@dataclass(frozen=True, kw_only=True)
class ImagePage:
    """An inspection with the other contents of its page."""

    name: str
    """of the run, or of the model"""
    model: str
    image: str
    """its file's name"""
    picture_HWC: Array
    """the image as the model gets it, before normalisation, uint8"""
    seen: Inspection
    target: str
    """the class or output that is explained"""
    predictions: Sequence[tuple[str, str]]
    """(class, its probability) or (output, its value), in words, the greatest first"""
    allowed: Sequence[int | None] = ()
    """pixels along a side that each stage's kernels and strides allow a position to see; None for all, or unknown"""
    facts: Mapping[str, str] = field(default_factory=dict)
    random: bool = False
    """whether the weights are random, not trained"""

    def html(self) -> str:
        """The whole page."""
        return render_inspection(self)

    def pictures(self) -> dict[str, bytes]:
        """Its pictures as PNG files, by name."""
        return png_files(self)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The tiles of one picture, which are a block of the page and a file."""

    title: str
    """what they are, in words"""
    tiles: Sequence[Tile]
    note: str = ""


def render_inspection(content: ImagePage) -> str:
    """The whole page, all names escaped."""
    drawn = pictures(content)
    seen = content.seen
    predictions = [(label(name, 60), value) for name, value in content.predictions[:SHOWN]]
    sections = [
        Section(name="prediction", title="Prediction", blocks=[Pairs(pairs=predictions)]),
        Section(name="cam", title="Class activation map", blocks=_tiles(drawn["cam"])),
    ]
    if "attention" in drawn:
        sections.append(Section(name="attention", title="Attention", blocks=_tiles(drawn["attention"])))
    blocks: list[Block] = [*_tiles(drawn["receptive-field"]), _fields(content)]
    sections.append(Section(name="fields", title="Effective receptive fields", blocks=blocks))
    sections += internals.sections(
        Internals(
            filters_OIHW=None if seen.filters_OIHW is None else _array(seen.filters_OIHW),
            maps=[(f"stage {i}", _array(maps)) for i, maps in enumerate(seen.maps)],
            gradients=seen.gradients,
            gradients_of=f"of the logit of {label(content.target, 60)}",
        )
    )
    facts = [(name, value) for name, value in content.facts.items() if value]
    sections.append(Section(name="facts", title="Provenance", blocks=[Pairs(pairs=facts)]))
    return render("inspection.html", content=content, sections=sections)


def png_files(content: ImagePage) -> dict[str, bytes]:
    """The pictures as PNG, by name without suffix: "cam", "filters", "stage-0", ..., "attention", "gradients"."""
    files = {name: sheet(drawn.tiles) for name, drawn in pictures(content).items() if drawn.tiles}
    flowing = [(name, ratio) for name, ratio in content.seen.gradients if math.isfinite(ratio) and ratio > 0]
    if flowing:
        files["gradients"] = figures.gradient_flow_png(flowing)
    return files


def pictures(content: ImagePage) -> dict[str, Drawn]:
    """Every picture that is made of tiles."""
    seen, picture = content.seen, content.picture_HWC
    found = {"cam": _cam(content)}
    if rows := _shown(seen.attention):
        found["attention"] = _attention(rows, content)
    found["receptive-field"] = Drawn(
        title="effective receptive field of each stage",
        tiles=[_field(i, values) for i, values in enumerate(seen.fields)],
        note="Root mean square of the gradient of the centre unit of each stage's map with respect to each pixel of "
        "normal noise; colours are square roots. The frame contains 95\u00a0% of it.",
    )
    if seen.filters_OIHW is not None:
        found["filters"] = Drawn(title="First-layer filters", tiles=filter_tiles(_array(seen.filters_OIHW)))
    for i, maps in enumerate(seen.maps):
        found[f"stage-{i}"] = Drawn(title=f"Stage {i}", tiles=[tile(picture, side=MAP), *map_tiles(_array(maps))])
    return found


def _cam(content: ImagePage) -> Drawn:
    cam_HW, picture = _array(content.seen.cam_HW), content.picture_HWC
    layer = "the last feature maps" if content.seen.stage is None else f"stage {content.seen.stage}"
    note = f"Grad-CAM for {label(content.target, 60)}, from {layer}. Warmer: a greater contribution."
    if not cam_HW.max() > 0:
        note = f"Grad-CAM for {label(content.target, 60)}, from {layer}: no position contributes to it."
    tiles = [
        tile(overlays.enlarged(picture), SIDE, "the image"),
        tile(overlays.heat(picture, cam_HW), SIDE, "class activation map"),
    ]
    return Drawn(title="the image, and the activation map over it", tiles=tiles, note=note)


def _shown(rows: Sequence[BlockAttention]) -> list[BlockAttention]:
    """The last two blocks of each stage, a plain and a shifted one."""
    stages = sorted({row.stage for row in rows})
    return [row for stage in stages for row in [row for row in rows if row.stage == stage][-2:]][-BLOCKS:]


def _attention(rows: Sequence[BlockAttention], content: ImagePage) -> Drawn:
    tiles = []
    for row in rows:
        at = _strongest(_array(content.seen.cam_HW), row.shape)
        seen_HW = _array(row.seen_from(*at).mean(0))
        drawn = overlays.windows(overlays.blocks(content.picture_HWC, seen_HW), row.windows().numpy(), at)
        tiles.append(tile(drawn, SIDE, f"stage {row.stage}\n{row.name}"))
    note = (
        "Attention of the position in the blue frame, where the activation map above is strongest: mean over heads, "
        "each scaled by its maximum. Lines: attention windows; none where attention covers the whole map."
    )
    return Drawn(title="attention of one position in each block, over the image", tiles=tiles, note=note)


def _strongest(cam_HW: Array, shape: tuple[int, int]) -> tuple[int, int]:
    """The position of a map of ``shape`` under the greatest value of the activation map."""
    values = np.asarray(cam_HW)
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return int(row) * shape[0] // values.shape[0], int(column) * shape[1] // values.shape[1]


def _field(stage: int, field_HW: Tensor) -> Tile:
    reach = radius(field_HW)
    if not math.isfinite(reach):
        return tile(overlays.enlarged(np.zeros(field_HW.shape)), FIELD, f"stage {stage}\nno gradient arrives")
    drawn = overlays.field(_array(field_HW), centre(field_HW), reach)
    return tile(drawn, FIELD, f"stage {stage}\nradius {rounded(reach)} pixels")


def _fields(content: ImagePage) -> Table:
    rows = []
    for i, values in enumerate(content.seen.fields):
        reach, allowed = radius(values), content.allowed[i] if i < len(content.allowed) else None
        rows.append(
            [
                f"stage {i}",
                " × ".join(str(side) for side in content.seen.maps[i].shape[1:]),
                number(allowed) if allowed is not None else DASH,
                rounded(2 * reach + 1) if math.isfinite(reach) else DASH,
            ]
        )
    columns = ["stage", "map", "kernels and strides allow", "95\u00a0% lies within"]
    size = " × ".join(map(str, content.picture_HWC.shape[:2]))
    note = f"Widths in pixels of the image, which has {size}. {DASH}: all of it, or not known."
    return Table(title="", columns=columns, rows=rows, words=frozenset({0, 1}), note=note)


def _tiles(drawn: Drawn) -> list[Block]:
    return [Tiles(title="", alt=drawn.title, tiles=drawn.tiles, note=drawn.note)]


def _array(values: Tensor) -> Array:
    array: Array = values.detach().float().cpu().numpy()
    return array
