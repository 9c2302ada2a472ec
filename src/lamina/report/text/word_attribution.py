"""The words that a classifier of texts leans on."""

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
    """Of one split; nothing for models of anything else."""
    found: TextOutcome | None = outcome.text
    if found is None or not found.judged:
        return []
    says = (
        f"What the model says of {number(found.judged)} texts of the {outcome.split} split, less what it says without "
        "a word: a mean over the occurrences of each word that occurs at least three times."
    )
    blocks: list[Block] = [Text(text=says)]
    for name, speaking_for, speaking_against in found.telling:
        for which, rows in (("for", speaking_for), ("against", speaking_against)):
            if rows:
                blocks.append(_table(f"Speak {which} {label(name, 40)}", rows))
    if len(blocks) == 1:
        blocks.append(Text(text="No word occurs three times and changes what the model says."))
    return [Section(name="telling", title="Most telling words", blocks=blocks)]


def _table(title: str, rows: Sequence[WordAttribution]) -> Table:
    cells = [[label(row.word, 40), signed(row.effect, 3), number(row.count)] for row in rows]
    return Table(title=title, columns=["word", "adds", "occurs"], rows=cells)
