"""Epochs that are equal by the watched metric: the lower loss is kept, and patience does not take it for progress."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from toys import Fit, assert_resumes_anywhere, classification, run

NAN = math.nan


def judged(accuracies: list[float], losses: list[float | None], **recipe: Any) -> Fit:
    """Epochs of 2 steps with these verdicts."""
    made = classification(20, epochs=len(accuracies), evaluate=False, **recipe)

    def evaluate() -> dict[str, float]:
        epoch = made.engine.step // 2 - 1
        loss = losses[epoch]
        return {"accuracy": accuracies[epoch]} | ({} if loss is None else {"loss": loss})

    made.evaluate = evaluate
    return made


@pytest.mark.parametrize(
    ("accuracies", "losses", "best"),
    [
        ([0.5, 0.5, 0.5, 0.4, 0.5], [1.0, 0.9, 0.95, 0.1, 0.9], [1, 1, 0, 0, 0]),  # 0.9 is not lower than 0.9
        ([0.5, 0.6, 0.6], [0.1, 0.9, 0.8], [1, 1, 1]),  # the metric comes first, and its own loss is the one to beat
        ([0.5, 0.6, 0.5], [0.9, 0.9, 0.1], [1, 1, 0]),
        ([0.5, 0.5, 0.5], [None, None, None], [1, 0, 0]),  # a task without a loss: the first is kept
        ([0.5, 0.5, 0.5], [NAN, 0.9, NAN], [1, 1, 0]),
        ([NAN, NAN, 0.1], [1.0, 0.9, 2.0], [1, 1, 1]),  # a metric that is no number is worse than any
    ],
)
def test_the_lower_loss_decides(accuracies: list[float], losses: list[float | None], best: list[int]) -> None:
    _, log = run(lambda: judged(accuracies, losses))
    assert [int(row.best) for row in log.rows] == best


def test_a_tie_is_no_improvement_for_patience() -> None:
    """The loss falls and falls, the metric stands: the best weights are the last, and patience runs out."""
    _, log = run(lambda: judged([0.5] * 9, [1 - 0.1 * i for i in range(9)], patience=3))
    assert [row.best for row in log.rows] == [True] * 4
    assert [row.improved for row in log.rows] == [True, False, False, False]
    assert log.reason == "patience"


def test_a_tie_is_no_improvement_for_the_plateau_schedule() -> None:
    options = {"schedule": "plateau", "plateau_patience": 1, "gamma": 0.5, "lr": 0.1}
    _, log = run(lambda: judged([0.5] * 5, [1 - 0.1 * i for i in range(5)], **options))
    assert [row.lr for row in log.rows] == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05])


@pytest.mark.usefixtures("fast_disk")
def test_the_loss_to_beat_is_remembered(tmp_path: Path) -> None:
    assert_resumes_anywhere(lambda: judged([0.5, 0.5, 0.5], [1.0, 0.9, 0.95], patience=2), tmp_path)
