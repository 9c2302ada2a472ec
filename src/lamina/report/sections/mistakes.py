"""The worst predictions: images in a grid, texts, rows of a table."""

from __future__ import annotations

import math

import numpy as np

from lamina.report.blocks import Block, Passage, Passages, Section, Table, Text, Tiles
from lamina.report.content import Mistake, Outcome
from lamina.report.images import Tile, tile
from lamina.report.marks import Mark, word_marks
from lamina.report.wording import DASH, cell, label, share, signed

MOST = 24


def mistakes_section(outcome: Outcome, *, numeric: bool = False) -> Section:
    """The worst mistakes: of classes or labels, or ``numeric`` ones."""
    title = "Worst errors" if numeric else "Most confident mistakes"
    return Section(name="mistakes", title=title, blocks=_blocks(outcome, numeric))


def _blocks(outcome: Outcome, numeric: bool) -> list[Block]:
    if not len(outcome.truth):
        return [Text(text=f"The {outcome.split} split has no samples.")]
    if not outcome.mistakes:
        return [Text(text=f"No {'errors are' if numeric else 'mistakes are'} listed for the {outcome.split} split.")]
    order = "by size of the error" if numeric else "by the probability of the prediction"
    pictured = [mistake for mistake in outcome.mistakes if mistake.image_HWC is not None]
    blocks: list[Block] = []
    if pictured:
        shown = pictured[:MOST]
        note = f"{len(shown)} of the {outcome.split} split, {order}."
        blocks.append(Tiles(title="", alt="", tiles=[_pictured(mistake, numeric) for mistake in shown], note=note))
    texts = [mistake for mistake in outcome.mistakes if mistake.text]
    if texts:
        passages = [_passage(mistake, numeric) for mistake in texts[:MOST]]
        note = f"{len(passages)} of the {outcome.split} split, {order}."
        if any(mistake.effects for mistake in texts):
            note += " Blue words raise the prediction, orange words lower it."
        blocks.append(Passages(title="", passages=passages, note=note))
    rows = [mistake for mistake in outcome.mistakes if mistake.image_HWC is None and not mistake.text]
    if rows:
        blocks.append(_table(rows[:MOST], outcome.split, order, numeric))
    return blocks


def _predicted(mistake: Mistake, numeric: bool) -> str:
    text = f"predicted {label(mistake.predicted, 60)}"
    if math.isfinite(mistake.probability):
        text += f" ·\u00a0{share(mistake.probability)}"
    if numeric and math.isfinite(mistake.error):
        text += f" ({signed(mistake.error)})"
    return text


def _passage(mistake: Mistake, numeric: bool) -> Passage:
    marks = [Mark(text=mistake.text)]
    if mistake.effects:
        marks = word_marks(mistake.text, mistake.words, np.asarray(mistake.effects, dtype=np.float64))
    where = f" · {mistake.where}" if mistake.where else ""
    return Passage(marks=marks, where=f"{_predicted(mistake, numeric)}, true {label(mistake.truth, 60)}{where}")


def _pictured(mistake: Mistake, numeric: bool) -> Tile:
    assert mistake.image_HWC is not None
    where = f"\n{label(mistake.where, 40)}" if mistake.where else ""
    return tile(mistake.image_HWC, caption=f"{_predicted(mistake, numeric)}\ntrue {label(mistake.truth, 60)}{where}")


def _table(mistakes: list[Mistake], split: str, order: str, numeric: bool) -> Table:
    names = list(dict.fromkeys(name for mistake in mistakes for name in mistake.values))
    measure = "error" if numeric else "probability"
    rows = []
    for mistake in mistakes:
        size = signed(mistake.error) if numeric else share(mistake.probability)
        values = [label(cell(mistake.values[name]), 40) if name in mistake.values else DASH for name in names]
        rows.append([mistake.where or DASH, label(mistake.truth, 40), label(mistake.predicted, 40), size, *values])
    words = frozenset({0}) if numeric else frozenset({0, 1, 2})
    return Table(
        title="",
        columns=["sample", "true", "predicted", measure, *names],
        rows=rows,
        words=words,
        note=f"{len(rows)} of the {split} split, {order}.",
    )
