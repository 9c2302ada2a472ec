"""metrics.csv by name: columns that come later, files from before, rows cut on resuming."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from kill_child import differences
from torch import Tensor

import lamina
from lamina.runs.directory import RunDirectory
from lamina.runs.training import prepare
from lamina.tasks.base import Task, one_tensor
from lamina.tasks.classification import Classification
from lamina.training.events import StepDone

ROWS: list[dict[str, float]] = [
    {"epoch": 1, "step": 10, "train_loss": 0.5},
    {"epoch": 2, "step": 20, "train_loss": 0.25, "train_late": 1e-9},
    {"train_late": 3.0, "epoch": 3, "step": 30},
]


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_a_name_that_comes_later_is_a_column(directory: RunDirectory) -> None:
    for row in ROWS:
        directory.add_row(row)
    assert directory.metrics.read_text().splitlines() == [
        "epoch,step,train_loss,train_late", "1,10,0.5,", "2,20,0.25,1e-09", "3,30,,3.0",
    ]  # fmt: skip
    assert directory.rows() == ROWS


def test_a_file_from_before_is_read_and_gone_on_with(directory: RunDirectory) -> None:
    """The first row decided the columns then, and a later one could be longer."""
    directory.metrics.write_text("epoch,step,train_loss,best\n1,10,0.5,1\n2,20,0.25,0,7.0\n")
    before = directory.rows()
    assert before[0] == {"epoch": 1, "step": 10, "train_loss": 0.5, "best": 1}
    assert [row["epoch"] for row in before] == [1, 2]
    directory.add_row({"epoch": 3, "step": 30, "train_loss": 0.1, "validation_loss": 0.2, "best": 1})
    assert directory.rows()[:2] == before
    assert directory.rows()[2]["validation_loss"] == 0.2


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_rows_are_cut_after_a_column_was_added(directory: RunDirectory, kept: int) -> None:
    for row in ROWS:
        directory.add_row(row)
    whole = directory.metrics.read_bytes()
    directory.keep_rows(kept)
    assert directory.rows() == ROWS[:kept]
    for row in ROWS[kept:]:
        directory.add_row(row)
    assert directory.metrics.read_bytes() == whole


class Late(Classification):
    """Logs something from the 20th step on: of seven an epoch."""

    def loss(self, model: Any, batch: Any, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss, logs = super().loss(model, batch, engine)
        return loss, logs | ({"latecomer": loss.detach()} if engine.step >= 20 else {})


def late() -> Task:
    return Late(3, one_tensor("features"))


def test_a_run_whose_task_logs_more_later_on(tmp_path: Path) -> None:
    """Its history, its report and its resumption: closed before the name is there, and after."""
    asked = {"data": "iris", "epochs": 6, "batch_size": 16, "checkpoint_every": 3}
    whole = lamina.train("mlp", name="whole", directory=tmp_path, task=late(), **asked)
    assert ["train_latecomer" in row for row in whole.history] == [False] * 2 + [True] * 4
    assert "latecomer" in (whole.path / "report.html").read_text()
    for stop in (10, 27):
        training = prepare("mlp", asked, name=f"cut{stop}", directory=tmp_path, task=late())
        with closing(training.events()) as events:
            list(islice((event for event in events if isinstance(event, StepDone)), stop))
        cut = lamina.train("mlp", name=f"cut{stop}", directory=tmp_path, report=False, resume=True, task=late())
        assert differences(whole.path, cut.path) == []
