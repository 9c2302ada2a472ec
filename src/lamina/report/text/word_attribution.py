"""The most influential words of a text classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.report.blocks import Block, Section, Table, Text
from lamina.report.content import Outcome
from lamina.report.text.content import TextOutcome
from lamina.report.wording import label, number, signed

if TYPE_CHECKING:
    from lamina.inspection.word_attribution import WordAttribution


def sections(outcome: Outcome) -> list[Section]:
    """Sections about one split; none without attributed texts."""
    found: TextOutcome | None = outcome.text
    if found is None or not found.attributed:
        return []
    note = (
        f"Prediction for {number(found.attributed)} texts of the {outcome.split} split minus the prediction without "
        "the word: the mean over the occurrences of each word that occurs at least three times."
    )
    blocks: list[Block] = [Text(text=note)]
    for name, positive, negative in found.influential_words:
        for which, rows in (("for", positive), ("against", negative)):
            if rows:
                blocks.append(_table(f"Evidence {which} {label(name, 40)}", rows))
    if len(blocks) == 1:
        blocks.append(Text(text="No word occurs three times and changes the prediction."))
    return [Section(name="influential-words", title="Most influential words", blocks=blocks)]


def _table(title: str, rows: Sequence[WordAttribution]) -> Table:
    cells = [[label(row.word, 40), signed(row.effect, 3), number(row.count)] for row in rows]
    return Table(title=title, columns=["word", "adds", "occurs"], rows=cells)
