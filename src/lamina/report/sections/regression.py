"""Regression: errors and residual plots of each output."""

from __future__ import annotations

import numpy as np

from lamina.report import figures, statistics
from lamina.report.blocks import Block, Chart, Charts, Section, Table, Text
from lamina.report.content import Outcome, ReportContent
from lamina.report.sections.classification import class_names
from lamina.report.sections.mistakes import mistakes_section
from lamina.report.wording import metric, number, signed

DRAWN = 3
"""outputs that get figures; all are in the table"""


def sections(content: ReportContent, outcome: Outcome) -> list[Section]:
    """Sections about one split."""
    samples = len(outcome.truth)
    predicted_NK = statistics.as_rows(outcome.predictions, samples)
    truth_NK = statistics.as_rows(outcome.truth, samples)
    usable_N = np.isfinite(predicted_NK).all(1) & np.isfinite(truth_NK).all(1)
    truth_NK, predicted_NK = truth_NK[usable_N], predicted_NK[usable_N]
    if not len(truth_NK):
        empty = f"The {outcome.split} split has no samples" + (" with finite predictions." if samples else ".")
        return [Section(name="residuals", title="Residuals", blocks=[Text(text=empty)])]
    names = class_names(content.classes, predicted_NK.shape[1])
    rows = []
    for k, name in enumerate(names):
        found = statistics.errors(truth_NK[:, k], predicted_NK[:, k])
        spread = float(truth_NK[:, k].std())
        rows.append(
            [name, number(found.rmse), number(found.mae), metric("r2", found.r2, 0), signed(found.bias), number(spread)]
        )
    blocks: list[Block] = []
    if len(truth_NK) < samples:
        blocks.append(Text(text=f"{samples - len(truth_NK)} samples without a finite value are left out."))
    for k, name in enumerate(names[:DRAWN]):
        truth_N, predicted_N = truth_NK[:, k], predicted_NK[:, k]
        blocks.append(
            Charts(
                title=name if len(names) > 1 else "",
                charts=[
                    Chart(
                        title="Predicted against true",
                        svg=figures.predicted_against_true(truth_N, predicted_N, name),
                        note="On the dashed line the prediction is right.",
                    ),
                    Chart(
                        title="Residuals",
                        svg=figures.residual_histogram(truth_N, predicted_N, name),
                        note="Left of zero too low, right of it too high.",
                    ),
                    Chart(
                        title="Residuals against predicted",
                        svg=figures.residuals_against_predicted(truth_N, predicted_N, name),
                        note="A pattern here is structure that the model has not learnt.",
                    ),
                ],
            )
        )
    note = (
        f"On {number(len(truth_NK))} {outcome.split} samples. Bias: mean of predicted − true. "
        "Spread: standard deviation of the truth, the RMSE of always predicting its mean."
    )
    if len(names) > DRAWN:
        note += f" The first {DRAWN} outputs are drawn."
    columns = ["output", "RMSE", "MAE", "R²", "bias", "spread"]
    blocks.append(Table(title="Each output", columns=columns, rows=rows, note=note))
    return [
        Section(name="residuals", title="Predictions and residuals", blocks=blocks),
        mistakes_section(outcome, numeric=True),
    ]
