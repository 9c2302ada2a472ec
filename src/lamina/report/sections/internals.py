"""Internals of the model: importance of columns, filters, feature maps, gradient flow."""

from __future__ import annotations

import math

import numpy as np

from lamina.report import figures
from lamina.report.blocks import Block, Chart, Charts, Section, Text, Tiles
from lamina.report.content import Internals
from lamina.report.images import MOST_UNITS, constant, filter_tiles, map_tiles, tile
from lamina.report.wording import label

BARS = 25


def sections(content: Internals) -> list[Section]:
    """Importance of the columns, then filters, maps and gradients; nothing for what is missing."""
    found: list[Section] = []
    if rows := [row for row in content.importance if math.isfinite(row[1])]:
        rows.sort(key=lambda row: -row[1])
        note = "How far the score falls when one column is shuffled; lines are one standard deviation."
        if len(rows) > BARS:
            note += f" The first {BARS} of {len(rows)} columns."
        chart = Chart(title="Importance by permutation", svg=figures.importance(rows[:BARS]), note=note)
        found.append(Section(name="importance", title="Importance of columns", blocks=[Charts(charts=[chart])]))
    blocks = [*_filters(content), *_maps(content), *_gradients(content)]
    if blocks:
        found.append(Section(name="internals", title="Inside the model", blocks=blocks))
    return found


def _filters(content: Internals) -> list[Block]:
    filters_OIHW = np.asarray(content.filters_OIHW if content.filters_OIHW is not None else [])
    if filters_OIHW.ndim != 4 or not filters_OIHW.size:
        return []
    count, channels, height, width = filters_OIHW.shape
    tiles = filter_tiles(filters_OIHW)
    note = f"{len(tiles)} of {count} filters, {height} × {width}. "
    if channels == 3:
        note += "Their weights as colours; grey is zero."
    else:
        note += "Red is positive, blue negative, white zero."
        note += f" Means over {channels} channels." if channels > 1 else ""
    return [Tiles(title="First-layer filters", alt=f"{len(tiles)} filters of the first layer", tiles=tiles, note=note)]


def _maps(content: Internals) -> list[Block]:
    blocks: list[Block] = []
    if content.example_HWC is not None and content.maps:
        blocks.append(
            Tiles(
                title="The example",
                alt="the image that the feature maps are of",
                tiles=[tile(content.example_HWC, side=96)],
            )
        )
    for name, maps in content.maps:
        shape = np.shape(maps)
        if not np.size(maps) or len(shape) not in (1, 3):
            continue
        tiles = map_tiles(maps)
        if len(shape) == 1:
            note = f"{min(shape[0], MOST_UNITS)} of {shape[0]} units, in rows."
        else:
            note = f"{len(tiles)} of {shape[0]} maps, {shape[1]} × {shape[2]}, each over its own range."
            if dead := constant(maps):
                note += f" {dead} of {shape[0]} do not vary over this image."
        blocks.append(
            Tiles(title=f"Feature maps: {label(name, 60)}", alt=f"feature maps of {name}", tiles=tiles, note=note)
        )
    return blocks


def _gradients(content: Internals) -> list[Block]:
    if not content.gradients:
        return []
    flowing = [(name, ratio) for name, ratio in content.gradients if math.isfinite(ratio) and ratio > 0]
    still = [name for name, ratio in content.gradients if not (math.isfinite(ratio) and ratio > 0)]
    note = f"From the input (top) to the output, {content.gradients_of}."
    if still:
        shown = ", ".join(label(name, 40) for name in still[:8]) + (
            f" and {len(still) - 8} more" if len(still) > 8 else ""
        )
        note += f" Zero or not finite: {shown}."
    if not flowing:
        return [Text(text=f"Gradient flow: {note}")]
    return [Charts(charts=[Chart(title="Gradient flow", svg=figures.gradient_flow(flowing), note=note)])]
