"""Runs whose probabilities are calibrated: better on the validation split, and the same wherever they are used."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.optimize import minimize_scalar
from torch.nn import functional

import lamina
from lamina.errors import UsageError
from lamina.runs.training import prepare
from lamina.runs.views.export import run_in_engine

DIGITS: dict[str, Any] = {
    "data": "digits", "limit": 100, "epochs": 25, "batch_size": 20, "model_options": {"hidden": (64,)}, "report": False
}  # fmt: skip
"""more weights than samples: too sure of itself"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, lamina.Run]:
    """The same training with and without."""
    folder = tmp_path_factory.mktemp("calibrated")
    return {given: lamina.train("mlp", calibrate=given, directory=folder, **DIGITS) for given in (False, True)}


def logits_and_target(run: lamina.Run, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(run.batches(split))
    with torch.no_grad():
        logits = torch.cat([run.model(batch["image"]) for batch in batches])
    return logits.double(), torch.cat([batch["target"] for batch in batches])


def test_the_loss_falls_and_the_classes_stay(runs: dict[bool, lamina.Run]) -> None:
    plain, fitted = (runs[given].evaluate("validation") for given in (False, True))
    assert fitted["loss"] < 0.98 * plain["loss"]
    assert {name: fitted[name] for name in ("accuracy", "f1")} == {name: plain[name] for name in ("accuracy", "f1")}
    assert runs[True].evaluate("test")["loss"] < runs[False].evaluate("test")["loss"]
    before, after = (runs[given].predictions("test")["probabilities"].argmax(1) for given in (False, True))
    assert torch.equal(before, after)


def test_the_temperature_is_the_best_there_is(runs: dict[bool, lamina.Run]) -> None:
    logits, target = logits_and_target(runs[True], "validation")
    peer = minimize_scalar(lambda t: functional.cross_entropy(logits / np.exp(t), target).item(), (-1, 1), tol=1e-10)
    saved = load_file(runs[True].directory.fitted)
    assert saved["temperature"].item() == pytest.approx(np.exp(peer.x), rel=1e-5)
    assert not runs[False].directory.fitted.exists()


def test_it_is_used_wherever_the_run_is(runs: dict[bool, lamina.Run], tmp_path: Path) -> None:
    """Evaluation, prediction, the run opened again, an ONNX file."""
    run, temperature = runs[True], load_file(runs[True].directory.fitted)["temperature"].item()
    again = lamina.open_run(run.path)
    assert again.evaluate() == run.evaluate()
    logits, target = logits_and_target(run, "test")
    assert again.evaluate("test")["loss"] == pytest.approx(
        functional.cross_entropy(logits / temperature, target).item()
    )
    image = run.source.splits["test"].images_NCHW[0, 0]
    wanted = (logits[0] / temperature).softmax(0).tolist()
    for said in (run.predict(image), again.predict(image), run_in_engine(again, "onnxruntime").predict(image)):
        assert list(said[0]["probabilities"].values()) == pytest.approx(wanted, abs=1e-5)


def test_a_resumed_run_forgets_what_was_fitted(tmp_path: Path) -> None:
    asked = {**DIGITS, "epochs": 2, "calibrate": True, "directory": tmp_path, "schedule": "constant", "warmup": 0.0}
    run = lamina.train("mlp", **asked)
    first = load_file(run.directory.fitted)["temperature"].item()
    training = prepare("mlp", {"data": "digits", "epochs": 4}, directory=tmp_path, resume=True)
    with closing(training.events()) as events:
        next(events)
        assert not run.directory.fitted.exists()
    assert lamina.open_run(run.path).task.temperature == 1.0
    longer = lamina.train("mlp", data="digits", epochs=4, directory=tmp_path, resume=True, report=False)
    assert load_file(longer.directory.fitted)["temperature"].item() != first
    whole = lamina.train("mlp", name="whole", **{**asked, "epochs": 4})
    assert longer.directory.fitted.read_bytes() == whole.directory.fitted.read_bytes()


def test_thresholds_of_labels(tmp_path: Path) -> None:
    """Rare labels, which no probability of one half finds."""
    draws = np.random.default_rng(0)
    x = draws.normal(size=(400, 3))
    labels = x + draws.normal(size=x.shape) > np.array([0.3, 1.2, 1.8])
    rows = [",".join([*(f"{v:.3f}" for v in a), *(str(int(b)) for b in c)]) for a, c in zip(x, labels, strict=True)]
    (tmp_path / "t.csv").write_text("a,b,c,p,q,r\n" + "\n".join(rows) + "\n")
    asked: dict[str, Any] = {
        "target": ("p", "q", "r"),
        "epochs": 12,
        "batch_size": 32,
        "validation": 0.3,
        "report": False,
    }
    plain, run = (
        lamina.train("mlp", data=str(tmp_path / "t.csv"), calibrate=given, directory=tmp_path, **asked)
        for given in (False, True)
    )
    before, after = plain.evaluate("validation"), run.evaluate("validation")
    assert after["f1"] > before["f1"]
    for name in ("loss", "mean_average_precision"):
        assert after[name] == before[name]
    again = lamina.open_run(run.path)
    assert again.evaluate() == run.evaluate()
    thresholds = load_file(run.directory.fitted)["thresholds"]
    row = {"a": 0.2, "b": 0.9, "c": 1.2}
    for said in (again.predict(row), run_in_engine(again, "onnxruntime").predict(row)):
        probabilities = torch.tensor(list(said[0]["probabilities"].values()))
        chosen = [name for name, above in zip("pqr", probabilities > thresholds, strict=True) if above]
        assert said[0]["labels"] == chosen
        assert chosen != [name for name, above in zip("pqr", probabilities > 0.5, strict=True) if above]


@pytest.mark.parametrize(
    ("model", "asked", "message"),
    [
        (
            "perceptron",
            {"data": "breast-cancer", "validation": 0.1},
            "calibrate fits the temperature of logits, but 'perceptron-rule' has no logits",
        ),
        ("mlp", {"data": "diabetes"}, "calibrate: the task is regression, which has neither probabilities nor labels"),
        (
            "mlp",
            {"data": "iris", "validation": 0.0},
            "calibrate fits on the validation split: set --validation above 0",
        ),
    ],
)
def test_what_cannot_be_calibrated_is_refused(tmp_path: Path, model: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lamina.train(model, calibrate=True, directory=tmp_path / "runs", **asked)
    assert not (tmp_path / "runs").exists()
