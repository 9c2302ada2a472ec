"""After training: reports by the command line, of stopped runs too; runs compared by name, as CSV; tables in
notebooks; loggers that follow the events."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import lamina as library
from lamina.claims.registry import known_verdicts, list_claims
from lamina.claims.running import read_results
from lamina.errors import UsageError
from lamina.inspection.layers import layer_table
from lamina.runs.history import History
from lamina.runs.loggers.base import followed, loggers_named
from lamina.training.events import StepDone

Lamina = Callable[..., tuple[int, str, str]]
IRIS = ("train", "mlp", "--data", "iris", "--model.hidden", "4", "--batch-size", "16", "--epochs", "2")


def test_runs_by_name_with_test_figures_date_and_rate(lamina: Lamina) -> None:
    assert lamina(*IRIS, "--name", "first", "--lr", "0.02")[0] == 0
    assert lamina(*IRIS, "--name", "second", "--lr", "0.5")[0] == 0
    status, out, _ = lamina("runs", "first", "second")
    assert status == 0
    header, *rows = out.splitlines()[:3]
    assert {"test", "lr", "ended"} <= set(header.split())
    assert [row.split()[0] for row in rows] == ["first", "second"]
    assert "0.02" in rows[0]
    run = library.open_run("runs/first")
    stated = json.loads(Path("runs/first/results.json").read_text())
    assert stated["split"] == "test"
    assert stated["metrics"]["accuracy"] == run.evaluate()["accuracy"]
    status, out, _ = lamina("runs", "--csv")
    table = list(csv.DictReader(io.StringIO(out)))
    assert [Path(row["path"]).name for row in table] == ["first", "second"]
    assert float(table[0]["report_accuracy"]) == stated["metrics"]["accuracy"]
    assert (float(table[1]["lr"]), table[1]["split"]) == (0.5, "test")
    assert table[0]["date"].startswith("20")
    found = json.loads(lamina("runs", "first", "--json")[1])
    assert found[0]["metrics"] == stated["metrics"]
    status, _, _ = lamina("train", "--name", "first", "--resume", "--epochs", "3")
    assert status == 0
    fresh = json.loads(Path("runs/first/results.json").read_text())["metrics"]
    assert fresh["accuracy"] == library.open_run("runs/first").evaluate()["accuracy"], "of the new weights"
    page = Path("runs/first/report.html").read_text()
    assert page.count('class="marked"') >= 2
    assert re.search(r"<dt>lr</dt><dd>0\.020* \(default: 0\.0020*\)<", page)
    assert "16 (default: " in page


def test_a_stopped_run_has_its_report_which_is_written_anew(lamina: Lamina, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.training import stopping

    def stopped(events: Any) -> Any:
        for event in events:
            if isinstance(event, StepDone) and event.step == 9:
                raise KeyboardInterrupt("SIGTERM")
            yield event

    monkeypatch.setattr(stopping, "stoppable", stopped)
    status, _, err = lamina(*IRIS)
    assert status == 128 + 15
    assert "resume with: lamina train --name mlp-iris --resume" in err
    assert "report: runs/mlp-iris/report.html" in err
    page = Path("runs/mlp-iris/report.html")
    assert "not finished" in page.read_text()
    page.unlink()
    status, out, _ = lamina("report", "mlp-iris")
    assert (status, out.strip()) == (0, str(page))
    assert page.is_file()
    assert lamina("report", "none")[0] == 2
    status, _, err = lamina("report", "--json")
    assert status == 2


def test_the_history_is_a_list_and_a_data_frame(lamina: Lamina) -> None:
    assert lamina(*IRIS)[0] == 0
    run = library.open_run("runs/mlp-iris")
    history = run.history
    assert isinstance(history, list)
    assert history[-1]["epoch"] == 2
    assert isinstance(history.frame, pd.DataFrame)
    assert history["train_loss"].tolist() == [row["train_loss"] for row in history]
    assert history[["epoch", "step"]].dtypes.tolist() == [int, int]
    assert history.columns.tolist()[:2] == ["epoch", "step"]
    assert history.loc[0, "epoch"] == 1
    assert "validation_loss" in history._repr_html_()
    assert len(pd.DataFrame(history)) == 2
    assert History().frame.empty
    with pytest.raises(AttributeError):
        history.no_such_thing  # noqa: B018
    shown = run._repr_html_()
    assert "mlp, 35 parameters" in shown
    assert "test accuracy" in shown


def test_cards_and_layers_have_tables_in_a_notebook() -> None:
    card = library.card("vgg11")
    assert "timm/vgg11.tv_in1k" in card._repr_html_()
    assert "132,863,336" in card._repr_html_()
    rows = layer_table(library.create_model("lenet5"), (1, 32, 32))
    shown = rows._repr_html_()
    assert shown.count("<tr>") == len(rows) + 2
    assert "61,706" in shown
    from lamina.markup import pairs, table

    assert "<script>" not in pairs("<script>", {"<script>": "<script>"}) + table(["<script>"], [["<script>"]])


def test_claims_are_listed_with_their_verdicts(lamina: Lamina) -> None:
    status, out, _ = lamina("claims")
    assert status == 0
    assert out.splitlines()[0].split() == ["claim", "verdict", "sentence"]
    kept = Path(__file__).parents[2] / "results" / "claims"
    recorded = {result.name: result.verdict for result in read_results(kept)}
    known = known_verdicts()
    assert known.keys() <= set(list_claims())
    assert {name: recorded[name] for name in known} == known
    assert "holds" in next(line for line in out.splitlines() if line.startswith("xor "))


class Calls:
    """A stand-in of a tracker's module, which notes how it is called."""

    def __init__(self, notes: list[tuple[Any, ...]], name: str = "") -> None:
        self._notes, self._name = notes, name

    def __getattr__(self, name: str) -> Any:
        return Calls(self._notes, f"{self._name}.{name}".lstrip("."))

    def __call__(self, *args: Any, **kwargs: Any) -> Calls:
        self._notes.append((self._name, args, kwargs))
        return Calls(self._notes, f"{self._name}()")


@pytest.mark.parametrize("name", ["wandb", "mlflow", "tensorboard"])
def test_loggers_follow_the_events(lamina: Lamina, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    notes: list[tuple[Any, ...]] = []
    home = "torch.utils.tensorboard" if name == "tensorboard" else name
    module = ModuleType(home)
    module.__getattr__ = lambda attribute: getattr(Calls(notes), attribute)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, home, module)
    monkeypatch.delitem(sys.modules, f"lamina.runs.loggers.{name}", raising=False)
    try:
        status, _, err = lamina(*IRIS, "--logger", name)
    finally:
        sys.modules.pop(f"lamina.runs.loggers.{name}", None)
    assert status == 0, err
    rows = library.open_run("runs/mlp-iris").history
    called = [one[0] for one in notes]
    text = repr(notes)
    assert repr(rows[0]["validation_loss"]) in text
    assert repr(rows[1]["train_loss"]) in text
    assert any("log" in one or "add_scalar" in one for one in called)
    assert called[-1].rpartition(".")[2] in ("finish", "end_run", "close")


def test_a_logger_that_is_not_there(lamina: Lamina, monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, err = lamina(*IRIS, "--logger", "tensorbord")
    assert (status, "unknown logger 'tensorbord'; did you mean 'tensorboard'?" in err) == (2, True)
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "lamina.runs.loggers.wandb", raising=False)
    status, _, err = lamina(*IRIS, "--logger", "wandb")
    assert (status, "pip install lamina[wandb]" in err) == (2, True)
    assert not Path("runs").exists()
    with pytest.raises(UsageError):
        library.train("mlp", "iris", loggers=("none",))


def test_a_logger_is_closed_where_training_is_stopped(tmp_path: Path) -> None:
    ends: list[bool] = []

    class Noting:
        def __init__(self, folder: Path, config: Any) -> None:
            self.folder = folder

        def epoch(self, step: int, values: Any) -> None:
            """Nothing."""

        def close(self, finished: bool) -> None:
            ends.append(finished)

    options = {"data": "iris", "epochs": 1, "batch_size": 16}
    for stop in (True, False):
        training = library.prepare("mlp", options, directory=tmp_path)
        events = followed(training, [Noting])
        for _ in events:
            if stop:
                break
        events.close()
    assert ends == [False, True]
    assert loggers_named(()) == []
