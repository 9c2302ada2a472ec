"""Language modelling: samples during training, surprising tokens."""

from __future__ import annotations

import math

from lamina.report.blocks import Block, Passage, Passages, Section, Text
from lamina.report.content import Outcome, ReportContent
from lamina.report.marks import DEEPEST, Mark
from lamina.report.text import training_samples
from lamina.report.text.content import TextOutcome
from lamina.report.text.highlights import chance
from lamina.report.wording import number


def sections(content: ReportContent, outcome: Outcome) -> list[Section]:
    """Sections about one split."""
    found: TextOutcome | None = outcome.text
    blocks: list[Block] = []
    if found is not None and math.isfinite(found.bits):
        text = f"In the first {number(found.read)} tokens of the {outcome.split} split: {found.bits:.2f} bits a token."
        blocks.append(Text(text=text))
    if found is not None and found.opening:
        note = "Stronger: less probable."
        blocks.append(Passages(title="How it begins", passages=[Passage(marks=found.opening)], note=note))
    if found is not None and found.surprises:
        passages = [
            Passage(
                marks=[Mark(text=one.before), Mark(text=one.token, depth=DEEPEST), Mark(text=one.after)],
                caption=f"{chance(one.probability)}, {one.bits:.1f} bits; expected {one.expected}",
            )
            for one in found.surprises
        ]
        blocks.append(Passages(title="Most surprising tokens", passages=passages))
    expected = Section(name="surprises", title="Surprisal", blocks=blocks)
    return [*training_samples.sections(content.training_samples), *([expected] if blocks else [])]
