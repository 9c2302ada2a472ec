"""The exponential moving average of short trainings: as good as the weights, counted, resumed."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import torch
from kill_child import differences

import lamina
from lamina.runs.evaluation import measure, predicting
from lamina.runs.training import Training, prepare
from lamina.training.checkpoints import load_checkpoint
from lamina.training.events import StepDone

STEPS = 50
ASKED = {"data": "digits", "steps": STEPS, "batch_size": 32, "model": {"hidden": (64,)}, "checkpoint_every": 10}


def trained(folder: Path, steps: int = STEPS, **more: object) -> Training:
    training = prepare("mlp", {**ASKED, **more}, directory=folder)
    with closing(training.events()) as events:
        list(islice((event for event in events if isinstance(event, StepDone)), steps))
    return training


@pytest.mark.parametrize("decay", [0.9, 0.99, 0.9999])
def test_after_fifty_steps_the_average_is_as_good_as_the_weights(tmp_path: Path, decay: float) -> None:
    """With a constant decay of 0.9999 it would still be what was drawn at the beginning."""
    training = prepare("mlp", {**ASKED, "ema": decay}, directory=tmp_path)
    with closing(training.events()) as events:
        list(events)
    run = training.run
    batches, model = list(run.batches("test")), training.engine.raw["model"]
    with predicting(model):
        raw = measure(run.task, model, batches)["accuracy"]
    averaged = run.evaluate("test")["accuracy"]
    assert raw > 0.8
    assert averaged == pytest.approx(raw, abs=0.05)
    latest = training.directory.checkpoints.latest()
    assert latest is not None
    assert load_checkpoint(latest)["engine"]["averaged_updates"] == {"model": STEPS}


def test_it_resumes_to_the_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", STEPS + 1, ema=0.9999)
    parts = trained(tmp_path / "parts", 23, ema=0.9999)
    path = parts.directory.checkpoints.latest()
    assert path is not None
    run = lamina.train("mlp", data="digits", directory=tmp_path / "parts", resume=True, report=False)
    assert differences(whole.directory.path, run.path) == []


def test_a_checkpoint_from_before_the_ramp_continues_as_it_was_begun(tmp_path: Path) -> None:
    """It has no count of updates, and its average is one of constant decay."""
    training = trained(tmp_path, 23, ema=0.9)
    path = training.directory.checkpoints.latest()
    assert path is not None
    state = load_checkpoint(path)
    assert state["engine"].pop("averaged_updates") == {"model": 23}
    torch.save(state, path)
    resumed = prepare("mlp", {**ASKED, "ema": 0.9}, directory=tmp_path, resume=True)
    (old,) = state["engine"]["average"].values()
    with closing(resumed.events()) as events:
        next(event for event in events if isinstance(event, StepDone))
    (average,) = resumed.engine.average.values()
    raw = resumed.engine.raw["model"].state_dict()
    torch.testing.assert_close(average, {name: tensor.lerp(raw[name], 0.1) for name, tensor in old.items()})
