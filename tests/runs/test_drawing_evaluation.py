"""An evaluation that draws random numbers: the same every time, and torch's generators are left as they were."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

import lamina
from lamina.runs.evaluation import measure, predicting
from lamina.runs.training import Training, prepare

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """Two players, whose evaluation draws the generator's noise, after an epoch."""
    training = prepare("toy-gan", {"data": "digits", "epochs": 1, "batch_size": 64}, directory=tmp_path)
    with closing(training.events()) as events:
        list(events)
    return training


def twice(call: Callable[[], Any]) -> Any:
    """What a call gives from whatever state torch's generator has; asserts that it leaves that state."""
    found = []
    for seed in (11, 12):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(call())
        assert torch.equal(torch.get_rng_state(), before)
    assert repr(found[0]) == repr(found[1])
    return found[0]


def test_of_a_run(training: Training) -> None:
    run = lamina.open_run(training.directory.path)
    assert twice(lambda: run.evaluate("test"))["distance"] > 0
    twice(lambda: run.predict(torch.zeros(8, 8)))
    twice(lambda: run.predictions("validation")["picture"].sum())
    twice(lambda: run.report().read_text().count("toy-adversarial"))


def test_in_training(training: Training) -> None:
    """What the epoch's row says is what the run says of its validation split."""
    training.parts.model.eval()
    with torch.no_grad():
        found = twice(training._evaluate)
    row = training.run.history[-1]
    assert found == {name.removeprefix("validation_"): row[name] for name in row if name.startswith("validation_")}
    assert training.run.evaluate("validation") == found


def test_the_noise_is_another_for_another_seed_and_another_batch(training: Training) -> None:
    run = training.run
    (batch,) = run.batches("validation")
    with predicting(run.model):
        levels = [
            measure(run.task, run.model, batches, seed=seed)["level"]
            for batches, seed in (([batch], 0), ([batch], 1), ([batch, batch], 0))
        ]
    assert len(set(levels)) == 3
