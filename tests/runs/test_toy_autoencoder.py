"""A dense autoencoder from another package on data without targets, and on data whose targets it leaves alone."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kill_child import differences
from PIL import Image

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.report.wording import metric
from lamina.runs.training import prepare
from lamina.training.events import StepDone

pytestmark = pytest.mark.usefixtures("toys")
KINDS = ["pictures", "table", "digits"]
ASKED: dict[str, Any] = {"task": "toy-autoencoding", "epochs": 3, "batch_size": 8, "lr": 0.01, "limit": 40}


def data(kind: str, folder: Path) -> str:
    """Where the data are; each is a circle of few dimensions in a space of more."""
    if kind == "digits":
        return kind
    angles = np.linspace(0, 6.28, 60)
    if kind == "table":
        rows = [f"{np.cos(a):.4f},{np.sin(a):.4f},{np.cos(2 * a):.4f},{'xy'[int(a > 3)]}" for a in angles]
        (folder / "circle.csv").write_text("a,b,c,half\n" + "\n".join(rows) + "\n")
        return str(folder / "circle.csv")
    (folder / "pictures").mkdir()
    for i, angle in enumerate(angles):
        pixels = 128 + 100 * np.cos(angle + np.add.outer(np.arange(6.0), np.arange(6.0)))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "pictures" / f"{i:02}.png")
    return str(folder / "pictures")


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_reports_and_opens_again(kind: str, tmp_path: Path) -> None:
    run = lamina.train("toy-dense", data=data(kind, tmp_path), directory=tmp_path, **{**ASKED, "epochs": 6})
    again = lamina.open_run(run.path)
    assert again.evaluate() == run.evaluate()
    assert run.history[-1]["validation_loss"] < 0.8 * run.history[0]["validation_loss"]
    assert (again.task_name, again.output_task()) == ("toy-autoencoding", None)
    page = (run.path / "report.html").read_text()
    assert "toy-autoencoding" in page
    assert metric("loss", run.evaluate()["loss"], len(run.source.splits["test"])) in page
    assert "confusion" not in page.casefold()
    table = json.loads((run.path / "preprocess.json").read_text())
    assert table["target"]["task"] == ("classification" if kind == "digits" else "none")


@pytest.mark.parametrize("kind", KINDS)
def test_it_resumes_to_the_bit(kind: str, tmp_path: Path) -> None:
    asked = {**ASKED, "data": data(kind, tmp_path), "checkpoint_every": 2}
    whole = lamina.train("toy-dense", name="whole", directory=tmp_path, report=False, **asked)
    training = prepare("toy-dense", asked, name="parts", directory=tmp_path)
    with closing(training.events()) as events:
        list(islice((event for event in events if isinstance(event, StepDone)), 7))
    assert training.engine.step == 7
    parts = lamina.train("toy-dense", name="parts", directory=tmp_path, report=False, resume=True)
    assert differences(whole.path, parts.path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_it_predicts(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is predicted is the input again, and ``undo`` makes a picture or a row of it."""
    where = data(kind, tmp_path)
    run = lamina.train("toy-dense", data=where, directory=tmp_path, report=False, **ASKED)
    item: Any = {"table": {"a": 1, "b": 0, "c": 1, "half": "x"}, "digits": torch.zeros(8, 8)}.get(kind)
    item = f"{where}/00.png" if item is None else item
    (one,) = run.predict(item)
    looked_at = run.preprocess.undo(torch.tensor(one["again"]))
    if kind == "table":
        assert looked_at.keys() == {"a", "b", "c", "half"}
        assert main(["predict", str(run.path), json.dumps(item)]) == 0
    else:
        assert looked_at.shape == (*((8, 8) if kind == "digits" else (6, 6)), 1)
    if kind == "pictures":
        assert main(["predict", str(run.path), item, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == [{"item": item, "again": one["again"]}]


def test_models_that_need_targets_say_what_is_missing(tmp_path: Path) -> None:
    for kind, way in (("pictures", "neither class folders nor a table of labels"), ("table", "--target")):
        with pytest.raises(UsageError, match=f"has no targets .*{way}") as refused:
            lamina.train("mlp", data=data(kind, tmp_path), directory=tmp_path)
        assert "\n" not in str(refused.value)
