"""Samples generated during training."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.report.blocks import Block, Passage, Passages, Section, Table
from lamina.report.marks import Mark, TrainingSample
from lamina.report.wording import label, number

EPOCHS = 6
"""epochs shown at most, the first and the last among them"""
PALE = 0.12


def sections(samples: Sequence[TrainingSample]) -> list[Section]:
    """Continuations as passages, translations as a table for each source. Empty without samples."""
    shown = _some(sorted({one.epoch for one in samples}))
    rows = [one for one in samples if one.epoch in shown]
    if not rows:
        return []
    blocks: list[Block] = []
    if any(one.truth for one in rows):
        for given in dict.fromkeys(one.given for one in rows):
            own = [one for one in rows if one.given == given]
            cells = [[number(one.epoch), one.text] for one in own]
            foot = [["reference", own[-1].truth]]
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
        blocks.append(Passages(title="", passages=passages, note="Blue: the prompt."))
    return [Section(name="samples", title="Samples during training", blocks=blocks)]


def _some(epochs: Sequence[int]) -> set[int]:
    """At most ``EPOCHS`` of the epochs, evenly spaced."""
    if len(epochs) <= EPOCHS:
        return set(epochs)
    return {epochs[round(i * (len(epochs) - 1) / (EPOCHS - 1))] for i in range(EPOCHS)}
