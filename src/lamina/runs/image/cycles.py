"""Inspection of runs of unpaired translation: cycles, and what the discriminators look at.

Legend: N pictures, C channels, H height, W width, h and w places of patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lamina.data.image.resizing import convert_channels
from lamina.report.adversarial import figures
from lamina.report.blocks import Block, Chart, Charts, Section, Tiles
from lamina.report.images import coloured, tile
from lamina.report.wording import number
from lamina.runs.evaluation import predicting
from lamina.runs.opened import Opened
from lamina.tasks.adversarial.cycle import SIDES, channels_of, translators

SIDE = 112
"""CSS pixels of a picture"""
COLOURS = {"likely": (26, 152, 80), "unlikely": (215, 48, 39)}
"""of the frames of patches: the one that is most, and least, like a real one"""


@dataclass(frozen=True)
class Cycle:
    """Pictures of one side, (N, C, H, W), translated and back, and what their discriminator makes of them."""

    real_NCHW: Tensor
    fake_NCHW: Tensor
    back_NCHW: Tensor
    error_N: Tensor
    """mean absolute difference of a picture and what came back, in grey levels of 255"""
    real_score_Nhw: Tensor
    """of the real pictures, by the discriminator of their side"""
    fake_score_Nhw: Tensor
    """of the translated ones, by that of the other side"""


@dataclass(frozen=True)
class CycleInspection:
    """What is seen of a run of unpaired translation."""

    sides: dict[str, Cycle]
    field: tuple[int, int, int]
    """side of a discriminator's patches, distance between neighbours, first pixel of the first"""


def cycles_of(run: Opened, x: dict[str, Tensor]) -> CycleInspection:
    """Of normalised pictures of each side, in the channels of the data."""
    model: Any = run.model
    low, high = run.preprocess.signature()[0].bounds or (-1.0, 1.0)
    device, found = next(model.parameters()).device, {}
    judges = {"A": model.discriminators.a, "B": model.discriminators.b}
    with predicting(model):
        for number_, side in enumerate(SIDES):
            there, back = translators(model, side)
            real = convert_channels(x[side].to(device), channels_of(model)[number_])
            fake = there(real)
            again = back(fake)
            found[side] = Cycle(
                real_NCHW=real.float().cpu(),
                fake_NCHW=fake.float().cpu(),
                back_NCHW=again.float().cpu(),
                error_N=((again - real).abs().flatten(1).mean(1) * 255 / (high - low)).float().cpu(),
                real_score_Nhw=judges[side](real)[:, 0].float().cpu(),
                fake_score_Nhw=judges[SIDES[1 - number_]](fake)[:, 0].float().cpu(),
            )
    return CycleInspection(sides=found, field=judges["A"].field())


def cycle_findings(seen: CycleInspection) -> list[tuple[str, str]]:
    """In words."""
    found = []
    for side, cycle in seen.sides.items():
        other = SIDES[1 - SIDES.index(side)]
        error = number(float(cycle.error_N.mean()), 3)
        found.append((f"cycle {side} to {other} to {side}", f"comes back within {error} of 255 grey levels on average"))
        real, fake = (number(float(score.mean()), 2) for score in (cycle.real_score_Nhw, cycle.fake_score_Nhw))
        found.append((f"scores of side {side}", f"real {real}; translated, by the discriminator of {other}, {fake}"))
    pixels, jump, _ = seen.field
    return [*found, ("receptive field", f"{pixels} x {pixels} pixels, a patch every {jump}")]


def cycle_sections(run: Opened, seen: CycleInspection) -> list[Section]:
    """Triptychs, patches, and scores over training."""
    found = [Section(name="cycles", title="There and back", blocks=_triptychs(run, seen))]
    found.append(Section(name="patches", title="What the discriminators see", blocks=_patches(run, seen)))
    return [*found, *_training(run)]


def _undone(run: Opened, x_CHW: Tensor) -> Any:
    """(H, W, C) uint8"""
    channels = int(run.preprocess.signature()[0].shape[0])
    return run.preprocess.undo(convert_channels(x_CHW[None], channels)[0])


def _triptychs(run: Opened, seen: CycleInspection) -> list[Block]:
    blocks: list[Block] = []
    for side, cycle in seen.sides.items():
        other = SIDES[1 - SIDES.index(side)]
        tiles = []
        parts = zip(cycle.real_NCHW, cycle.fake_NCHW, cycle.back_NCHW, cycle.error_N.tolist(), strict=True)
        for real, fake, back, error in parts:
            captions = (side, f"to {other}", f"back, {number(error, 2)}")
            tiles += [tile(_undone(run, x), SIDE, c) for x, c in zip((real, fake, back), captions, strict=True)]
        note = f"A picture of side {side}, translated, and back; below it the mean absolute difference in grey levels."
        alt = f"{len(cycle.error_N)} pictures of side {side}, translated and back"
        blocks.append(Tiles(title=f"{side} to {other} to {side}", alt=alt, tiles=tiles, note=note))
    return blocks


def _patches(run: Opened, seen: CycleInspection) -> list[Block]:
    blocks: list[Block] = []
    side, jump, _ = seen.field
    for name, cycle in seen.sides.items():
        other = SIDES[1 - SIDES.index(name)]
        tiles = []
        for what, x_NCHW, score_Nhw in (
            (f"real {name}", cycle.real_NCHW, cycle.real_score_Nhw),
            (f"to {other}", cycle.fake_NCHW, cycle.fake_score_Nhw),
        ):
            picture, score_hw = _undone(run, x_NCHW[0]), score_Nhw[0].double().numpy()
            tiles.append(tile(framed(picture, score_hw, seen.field), 2 * SIDE, what))
            span = float(np.ptp(score_hw)) or 1.0
            values = f"{number(float(score_hw.min()), 2)} to {number(float(score_hw.max()), 2)}"
            tiles.append(tile(coloured((score_hw - score_hw.min()) / span, "viridis"), 2 * SIDE, values))
        larger = side > min(cycle.real_NCHW.shape[2:])
        cut = ", cut at the borders, as a patch is larger than the picture" if larger else ""
        note = (
            f"Frames: the patches of {side} x {side} pixels, {jump} apart, that score highest (green) and lowest (red)"
            f"{cut}. Beside them the scores of all patches. That is what the convolutions see; instance normalisation "
            "adds the means of whole maps."
        )
        alt = f"patches of a picture of side {name} and of its translation"
        blocks.append(Tiles(title=f"A picture of side {name}", alt=alt, tiles=tiles, note=note))
    return blocks


def framed(picture_HWC: Any, score_hw: Any, field: tuple[int, int, int]) -> Any:
    """A picture, enlarged if it is small, with the patches of the highest and the lowest score framed: (H, W, 3)."""
    from PIL import Image, ImageDraw

    side, jump, first = field
    picture = np.atleast_3d(picture_HWC)
    factor = max(1, -(-2 * SIDE // max(picture.shape[:2])))
    picture = np.broadcast_to(picture, (*picture.shape[:2], 3)) if picture.shape[2] == 1 else picture[..., :3]
    image = Image.fromarray(np.ascontiguousarray(picture.repeat(factor, 0).repeat(factor, 1)))
    pen = ImageDraw.Draw(image)
    for place, colour in ((score_hw.argmax(), COLOURS["likely"]), (score_hw.argmin(), COLOURS["unlikely"])):
        row, column = np.unravel_index(place, score_hw.shape)
        box = []
        for index, length in ((column, picture.shape[1]), (row, picture.shape[0])):
            start = int(first + index * jump)
            box.append((max(0, start) * factor, min(length, start + side) * factor - 1))
        (left, right), (top, bottom) = box
        pen.rectangle((left, top, right, bottom), outline=colour, width=max(2, factor))
    return np.array(image)


def _training(run: Opened) -> list[Section]:
    charts = []
    lines = (
        ({"real": "real_score", "translated": "fake_score"}, "score", "Scores of the discriminators"),
        ({"cycle": "cycle", "identity": "identity"}, "L1 distance", "Cycle and identity losses"),
        ({"generators": "loss", "discriminators": "discriminator_loss"}, "loss", "Losses"),
    )
    for names, unit, title in lines:
        if found := figures.over_training(run.history, names):
            svg = figures.lines(found, "epoch", unit, f"{title} over training")
            charts.append(Chart(title=title, svg=svg, note="Mean of both sides."))
    if not charts:
        return []
    return [Section(name="balance", title="Over training", blocks=[Charts(charts=charts)])]
