"""A language model: what it wrote in training, and what it did not expect."""

from __future__ import annotations

import math

from lamina.report.blocks import Block, Passage, Passages, Section, Text
from lamina.report.content import Outcome, ReportContent
from lamina.report.marks import DEEPEST, Mark
from lamina.report.text import training_samples as written
from lamina.report.text.content import TextOutcome
from lamina.report.text.highlights import chance
from lamina.report.wording import number


def sections(content: ReportContent, outcome: Outcome) -> list[Section]:
    """Of one split."""
    found: TextOutcome | None = outcome.text
    blocks: list[Block] = []
    if found is not None and math.isfinite(found.bits):
        text = f"In the first {number(found.read)} tokens of the {outcome.split} split: {found.bits:.2f} bits a token."
        blocks.append(Text(text=text))
    if found is not None and found.opening:
        note = "The stronger, the less it was expected."
        blocks.append(Passages(title="How it begins", passages=[Passage(marks=found.opening)], note=note))
    if found is not None and found.surprises:
        passages = [
            Passage(
                marks=[Mark(text=one.before), Mark(text=one.token, depth=DEEPEST), Mark(text=one.after)],
                says=f"{chance(one.probability)}, {one.bits:.1f} bits; expected {one.expected}",
            )
            for one in found.surprises
        ]
        blocks.append(Passages(title="Most surprising tokens", passages=passages))
    expected = Section(name="surprises", title="What it did not expect", blocks=blocks)
    return [*written.sections(content.written), *([expected] if blocks else [])]
