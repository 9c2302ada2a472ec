"""The report page: one self-contained HTML file without scripts or external resources."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.plugins import load
from lamina.report.blocks import Section, Table
from lamina.report.content import Outcome, ReportContent
from lamina.report.sections import internals, learning, provenance
from lamina.report.templates import render
from lamina.report.wording import metric, metric_name, number, plain
from lamina.tasks.facts import quality

ANALYSES = {
    "classification": "lamina.report.sections.classification:sections",
    "multilabel": "lamina.report.sections.multilabel:sections",
    "regression": "lamina.report.sections.regression:sections",
    "language-modelling": "lamina.report.text.language_modelling:sections",
    "translation": "lamina.report.text.translation:sections",
}
"""sections about a split, by task"""
TEXT_ANALYSIS = "lamina.report.text.word_attribution:sections"
"""section about a split of texts, for every task"""


def render_report(content: ReportContent, more: Sequence[Section] = ()) -> str:
    """The whole page, with ``more`` sections after those of the task. It details one split: test, else validation,
    else the first.

    All text is escaped: names of classes, files and columns are never markup.
    """
    outcome = chosen(content.outcomes)
    sections = [learning.section(content.history)]
    if outcome is not None and content.task in ANALYSES:
        sections += load(ANALYSES[content.task])(content, outcome)
    sections += more
    if outcome is not None and outcome.text is not None:
        sections += load(TEXT_ANALYSIS)(outcome)
    if content.internals is not None:
        sections += internals.sections(content.internals)
    sections += provenance.sections(content)
    return render(
        "page.html",
        content=content,
        title=content.card.get("title") or content.model,
        kind=_kind(content),
        size=_size(content),
        outcome=outcome,
        samples=_samples(outcome) if outcome else "",
        figures=_figures(outcome),
        splits=_splits(content.outcomes),
        sections=sections,
    )


def chosen(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The split that the page details."""
    named = {outcome.split: outcome for outcome in outcomes}
    return named.get("test") or named.get("validation") or next(iter(outcomes), None)


def _kind(content: ReportContent) -> str:
    count = len(content.classes)
    return {
        "classification": f"classification, {count} classes",
        "multilabel": f"multi-label, {count} labels",
        "regression": "regression" + (f", {count} outputs" if count > 1 else ""),
        "language-modelling": "language modelling",
        "translation": f"translation, {content.classes[0]} to {content.classes[1]}" if count == 2 else "translation",
    }.get(content.task, content.task)


def _samples(outcome: Outcome) -> str:
    return f"{number(outcome.samples)} {outcome.unit}" + ("" if outcome.samples == 1 else "s")


def _size(content: ReportContent) -> str:
    parameters = content.facts.get("parameters", content.card.get("parameters"))
    return f"{plain(parameters)} parameters" if parameters is not None else ""


def _figures(outcome: Outcome | None) -> list[tuple[str, str]]:
    """(name, value) of the split's metrics; the loss last, the token accuracy before it."""
    if outcome is None:
        return []
    tokens = not len(outcome.truth) and outcome.text is not None
    last = ["accuracy", "loss"] if tokens else ["loss"]
    names = sorted(quality(outcome.metrics), key=lambda name: last.index(name) if name in last else -1)
    return [
        (
            "token accuracy" if tokens and name == "accuracy" else metric_name(name),
            metric(name, outcome.metrics[name], outcome.samples),
        )
        for name in names
    ]


def _splits(outcomes: Sequence[Outcome]) -> Table | None:
    if not outcomes:
        return None
    names = list(dict.fromkeys(name for outcome in outcomes for name in quality(outcome.metrics)))
    rows = [
        [
            outcome.split,
            number(outcome.samples),
            *(metric(name, outcome.metrics.get(name), outcome.samples) for name in names),
        ]
        for outcome in outcomes
    ]
    return Table(title="All splits", columns=["split", "samples", *map(metric_name, names)], rows=rows)
