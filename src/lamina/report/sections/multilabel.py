"""Multi-label classification: average precision, F1 and precision-recall curves of each label."""

from __future__ import annotations

import numpy as np

from lamina.report import figures, statistics
from lamina.report.blocks import Block, Chart, Charts, Section, Table, Text
from lamina.report.content import Outcome, ReportContent
from lamina.report.sections.classification import CELLS, class_names, class_row, macro_row, mean_of_known
from lamina.report.sections.mistakes import mistakes_section
from lamina.report.wording import DASH, number, share

CURVES = 8


def sections(content: ReportContent, outcome: Outcome) -> list[Section]:
    """Sections about one split; a label is predicted from a probability of one half."""
    samples = len(outcome.truth)
    predicted_NK = statistics.as_rows(outcome.predictions, samples)
    truth_NK = statistics.as_rows(outcome.truth, samples) > 0.5
    usable_N = np.isfinite(predicted_NK).all(1)
    truth_NK, predicted_NK = truth_NK[usable_N], predicted_NK[usable_N]
    if not len(truth_NK):
        empty = f"The {outcome.split} split has no samples" + (" with finite probabilities." if samples else ".")
        return [Section(name="labels", title="Labels", blocks=[Text(text=empty)])]
    labels = predicted_NK.shape[1]
    names = class_names(content.classes, labels)
    scores = statistics.per_label(truth_NK, predicted_NK > 0.5)
    precision_K = np.array([statistics.average_precision(truth_NK[:, k], predicted_NK[:, k]) for k in range(labels)])

    total, exact = len(truth_NK), int((truth_NK == (predicted_NK > 0.5)).all(1).sum())
    text = (
        f"All labels are right in {number(exact)} of {number(total)} {outcome.split} samples "
        f"({share(exact / total, total)}). A sample has {number(float(truth_NK.sum(1).mean()), 3)} labels on average; "
        f"{number(float((predicted_NK > 0.5).sum(1).mean()), 3)} are predicted."
    )
    blocks: list[Block] = [Text(text=text)]
    if samples > total:
        blocks.append(Text(text=f"{samples - total} samples without finite probabilities are left out."))
    order, note = list(range(labels)), "F1 at a probability of one half; average precision (AP) at every threshold."
    if labels > CELLS:
        order.sort(key=lambda k: (bool(np.isnan(precision_K[k])), precision_K[k]))
        note += " Lowest AP first."
    if not scores.support_K.all():
        note += f" Undefined values of labels without samples are shown as {DASH}."
    rows = []
    for k in order:
        name, *rest = class_row(names[k], scores, k)
        rows.append([name, share(float(precision_K[k])), *rest])
    name, *rest = macro_row(scores)
    foot = [[name, share(mean_of_known(precision_K)), *rest]]
    columns = ["label", "AP", "precision", "recall", "F1", "samples", "predicted"]
    blocks.append(Table(title="Each label", columns=columns, rows=rows, foot=foot, note=note))

    drawn = [k for k in np.argsort(-scores.support_K, kind="stable")[:CURVES].tolist() if scores.support_K[k]]
    if drawn:
        curves = [
            (names[k], *statistics.precision_recall(truth_NK[:, k], predicted_NK[:, k]), float(precision_K[k]))
            for k in drawn
        ]
        note = "Each label's average precision stands beside its name."
        if labels > len(drawn):
            note += f" The {len(drawn)} labels with most samples."
        chart = Chart(title="Precision against recall", svg=figures.precision_recall_curves(curves), note=note)
        blocks.append(Charts(charts=[chart]))
    return [
        Section(name="labels", title="Each label", blocks=blocks),
        mistakes_section(outcome),
    ]
