"""What a model wrote in the course of training."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.report.blocks import Block, Passage, Passages, Section, Table
from lamina.report.marks import Mark, Written
from lamina.report.wording import label, number

EPOCHS = 6
"""epochs shown at most, the first and the last among them"""
PALE = 0.12


def sections(written: Sequence[Written]) -> list[Section]:
    """Beginnings gone on with as passages; translations as a table for each source. Nothing where nothing was kept."""
    shown = _some(sorted({one.epoch for one in written}))
    rows = [one for one in written if one.epoch in shown]
    if not rows:
        return []
    blocks: list[Block] = []
    if any(one.truth for one in rows):
        for given in dict.fromkeys(one.given for one in rows):
            own = [one for one in rows if one.given == given]
            cells = [[number(one.epoch), one.text] for one in own]
            foot = [["right", own[-1].truth]]
            title = label(given, 200)
            columns = ["epoch", "translation"]
            blocks.append(Table(title=title, columns=columns, rows=cells, foot=foot, words=frozenset({0, 1})))
    else:
        passages = [
            Passage(
                marks=[Mark(text=one.given, depth=PALE, right=True), Mark(text=one.text)], where=f"epoch {one.epoch}"
            )
            for one in rows
        ]
        blocks.append(Passages(title="", passages=passages, note="Blue: what it was given to go on from."))
    return [Section(name="written", title="Written in the course of training", blocks=blocks)]


def _some(epochs: Sequence[int]) -> set[int]:
    """Of many epochs some, evenly spaced."""
    if len(epochs) <= EPOCHS:
        return set(epochs)
    return {epochs[round(i * (len(epochs) - 1) / (EPOCHS - 1))] for i in range(EPOCHS)}
