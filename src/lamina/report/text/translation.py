"""Translation: signatures of the metrics, samples during training, alignments, the worst translations."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.report.blocks import Block, Chart, Charts, Items, Passage, Passages, Section, Text
from lamina.report.content import Outcome, ReportContent
from lamina.report.marks import Mark
from lamina.report.text import training_samples
from lamina.report.text.content import Example, TextOutcome
from lamina.report.text.figures import attention
from lamina.report.wording import label, metric_name, number


def sections(content: ReportContent, outcome: Outcome) -> list[Section]:
    """Sections about one split."""
    found: TextOutcome | None = outcome.text
    sections = training_samples.sections(content.training_samples)
    if found is None:
        return sections
    if found.signatures:
        items = [f"{metric_name(name)}: {signature}" for name, signature in found.signatures.items()]
        block = Items(title="Signatures of sacrebleu, for comparison with other results", items=items)
        sections.insert(0, Section(name="signatures", title="Metrics", blocks=[block]))
    if found.examples:
        sections.append(Section(name="examples", title="Examples", blocks=_examples(found.examples)))
    if found.worst:
        note = f"By chrF, of {number(found.translated)} of the {outcome.split} split, beam of one."
        passages = [_passage(example) for example in found.worst]
        worst = Passages(title="", passages=passages, note=note)
        sections.append(Section(name="mistakes", title="Worst translations", blocks=[worst]))
    return sections


def _examples(examples: Sequence[Example]) -> list[Block]:
    blocks: list[Block] = []
    drawn = [example for example in examples if example.attn_TS is not None]
    if drawn:
        note = (
            "Rows: output tokens. Columns: source tokens. Colours are square roots of the attention weights, averaged "
            "over layers and heads where there are several."
        )
        blocks.append(Text(text=note))
    for example in examples:
        blocks.append(Passages(title="", passages=[_passage(example)]))
        if example.attn_TS is not None:
            alt = f"alignment of {label(example.predicted, 60)} with {label(example.source, 60)}"
            svg = attention(example.attn_TS, example.rows, example.columns, alt).svg()
            blocks.append(Charts(charts=[Chart(title="", svg=svg)], large=True))
    return blocks


def _passage(example: Example) -> Passage:
    text = f"{example.source}\n→ {example.predicted}"
    right = example.predicted.strip() == example.truth.strip()
    caption = "correct" if right else f"reference: {example.truth} · chrF {example.score:.1f}"
    return Passage(marks=[Mark(text=text)], where=example.where, caption=caption)
