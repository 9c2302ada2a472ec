"""Classification: confusion matrix, per-class metrics, calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamina.report import figures, statistics
from lamina.report.blocks import Block, Cell, Chart, Charts, Matrix, Section, Table, Text
from lamina.report.content import Outcome, ReportContent
from lamina.report.sections.mistakes import mistakes_section
from lamina.report.statistics import Floats, Ints, PerClass
from lamina.report.wording import DASH, label, number, share

CELLS = 25
"""classes up to which the matrix is a table of numbers; beyond, it is an image beside a list of top confusions"""
PIXELS = 400
"""classes up to which it is drawn at all"""


def sections(content: ReportContent, outcome: Outcome) -> list[Section]:
    """Sections about one split."""
    predicted_NK = statistics.as_rows(outcome.predictions, len(outcome.truth))
    truth_N = np.asarray(outcome.truth).astype(np.int64).reshape(-1)
    classes = max(predicted_NK.shape[1], len(content.classes))
    names = class_names(content.classes, classes)
    usable_N = np.isfinite(predicted_NK).all(1) & (truth_N >= 0) & (truth_N < classes)
    truth_N, predicted_NK, left_out = truth_N[usable_N], predicted_NK[usable_N], int((~usable_N).sum())
    if not len(truth_N):
        return [Section(name="classes", title="Classes", blocks=[_nothing(outcome, left_out)])]
    predicted_N, confidence_N = predicted_NK.argmax(1).astype(np.int64), predicted_NK.max(1)

    blocks: list[Block] = [Text(text=_summary(truth_N, predicted_N, names, outcome.split))]
    if left_out:
        blocks.append(Text(text=f"{left_out} samples are left out: no finite probability, or a class the model lacks."))
    blocks += _confusions(truth_N, predicted_N, names, outcome.split)
    blocks.append(_classes(statistics.per_class(truth_N, predicted_N, classes), names, outcome.split))
    return [
        Section(name="classes", title="Classes", blocks=blocks),
        Section(name="calibration", title="Calibration", blocks=_calibration(confidence_N, truth_N == predicted_N)),
        mistakes_section(outcome),
    ]


def class_names(names: Sequence[str], classes: int) -> list[str]:
    """A name for each class; its index where the content has none."""
    return [str(names[i]) if i < len(names) else str(i) for i in range(classes)]


def _nothing(outcome: Outcome, left_out: int) -> Text:
    if left_out:
        return Text(
            text=f"The model gave no finite probabilities for the {left_out} samples of the {outcome.split} split."
        )
    return Text(text=f"The {outcome.split} split has no samples.")


def _summary(truth_N: Ints, predicted_N: Ints, names: Sequence[str], split: str) -> str:
    right, total = int((truth_N == predicted_N).sum()), len(truth_N)
    low, high = statistics.wilson_interval(right, total)
    counts_K = np.bincount(truth_N, minlength=len(names))
    common = int(counts_K.argmax())
    return (
        f"{number(right)} of {number(total)} {split} samples are right: {share(right / total, total)} "
        f"(95\u00a0% interval {share(low, total)} to {share(high, total)}). Always predicting the most frequent class, "
        f"{names[common]}, would reach {share(counts_K[common] / total, total)}."
    )


def _confusions(truth_N: Ints, predicted_N: Ints, names: Sequence[str], split: str) -> list[Block]:
    classes = len(names)
    if classes <= CELLS:
        counts_KK = statistics.confusion_matrix(truth_N, predicted_N, classes)
        return [_matrix(counts_KK, names, split)]
    blocks: list[Block] = []
    if classes <= PIXELS:
        counts_KK = statistics.confusion_matrix(truth_N, predicted_N, classes)
        note = f"Shares of each row, {split} split. Blue: right. Orange: confused. Rare confusions are drawn stronger."
        chart = Chart(title="Confusion matrix", svg=figures.confusion_image(counts_KK, names), note=note)
        blocks.append(Charts(charts=[chart], large=True))
    support_K = np.bincount(truth_N, minlength=classes)
    rows = [
        [names[true], names[predicted], number(count), share(count / support_K[true])]
        for true, predicted, count in statistics.top_confusions(truth_N, predicted_N, 25)
    ]
    if rows:
        columns = ["true", "predicted", "samples", "of the true class"]
        blocks.append(Table(title="Most frequent confusions", columns=columns, rows=rows, words=frozenset({0, 1})))
    return blocks


def _matrix(counts_KK: Ints, names: Sequence[str], split: str) -> Matrix:
    total_K = counts_KK.sum(1)
    share_KK = np.where(total_K[:, None] > 0, counts_KK / np.maximum(total_K[:, None], 1), np.nan)
    depth_KK = figures.depth(np.nan_to_num(share_KK))
    rows = [
        [
            Cell(
                count=number(int(counts_KK[i, j])) if counts_KK[i, j] else "",
                share=_short(share_KK[i, j]) if counts_KK[i, j] else "",
                depth=round(float(depth_KK[i, j]), 3),
                right=i == j,
                alt=f"true {label(names[i])}, predicted {label(names[j])}: {counts_KK[i, j]}",
            )
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]
    note = (
        f"Rows: true class. Columns: predicted class. Samples of the {split} split and their share of the row. "
        "Blue: right. Orange: confused. Empty cells are zero."
    )
    return Matrix(title="Confusion matrix", names=names, rows=rows, note=note)


def _short(value: float) -> str:
    """A share in so few signs that it fits a cell: "0.4 %", "2.9 %", "97 %"."""
    return f"{100 * value:.0f}\u00a0%" if 0.0995 <= value < 0.995 or value == 1 else share(value)


def _classes(scores: PerClass, names: Sequence[str], split: str) -> Table:
    classes, note = len(names), f"On the {split} split."
    order = list(range(classes))
    if classes > CELLS:
        order.sort(key=lambda i: (bool(np.isnan(scores.f1_K[i])), scores.f1_K[i]))
        note += " Lowest F1 first."
    missing = [names[i] for i in range(classes) if not scores.support_K[i]]
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        note += f" Without samples in it: {shown}; undefined values are shown as {DASH}."
    rows = [class_row(names[i], scores, i) for i in order]
    columns = ["class", "precision", "recall", "F1", "samples", "predicted"]
    return Table(title="Each class", columns=columns, rows=rows, foot=[macro_row(scores)], note=note)


def class_row(name: str, scores: PerClass, i: int) -> list[str]:
    """Name, precision, recall, F1, samples, predicted."""
    shares = [share(float(values[i])) for values in (scores.precision_K, scores.recall_K, scores.f1_K)]
    return [name, *shares, number(int(scores.support_K[i])), number(int(scores.predicted_K[i]))]


def macro_row(scores: PerClass) -> list[str]:
    """The mean over the classes with defined values."""
    shares = [share(mean_of_known(values)) for values in (scores.precision_K, scores.recall_K, scores.f1_K)]
    return ["mean", *shares, number(int(scores.support_K.sum())), number(int(scores.predicted_K.sum()))]


def mean_of_known(values: Floats) -> float | None:
    """The mean of the values that are not NaN; None where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _calibration(confidence_N: Floats, right_N: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[Block]:
    found = statistics.calibration(confidence_N, right_N)
    confidence, accuracy = float(confidence_N.mean()), float(right_N.mean())
    gap = 100 * abs(confidence - accuracy)
    side = "over-confident" if confidence > accuracy else "under-confident"
    lean = f", {side} by {gap:.1f} points" if gap >= 0.05 else ""
    text = (
        f"Expected calibration error {share(found.error)} over {len(found.count_K)} bins. Mean confidence "
        f"{share(confidence)}, accuracy {share(accuracy)}{lean}."
    )
    note = "Bars: accuracy of the predictions in each bin of confidence. Below: their number."
    chart = Chart(title="Reliability", svg=figures.reliability(found), note=note)
    return [Charts(charts=[chart]), Text(text=text, beside=True)]
