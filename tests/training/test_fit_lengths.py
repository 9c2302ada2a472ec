"""How long a fit lasts, what it reports, what it saves, and how it ends when its consumer has had enough."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import (
    Classify,
    Fit,
    Log,
    accuracy,
    assert_same_fit,
    classification,
    differences,
    gan,
    places,
    points,
    resume,
    run,
    run_interrupted,
)

from lamina.data.streams import Batch, InMemory, Shuffled
from lamina.errors import DataError, LaminaError, RunError, UsageError
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.events import EpochDone, Saved, StepDone
from lamina.training.loop import fit

pytestmark = pytest.mark.usefixtures("fast_disk")


# ---------------------------------------------------------------- lengths


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        ({"epochs": 2}, "sssssssE" + "sssssssE" + "."),
        ({"steps": 9}, "sssssssE" + "ssE" + "."),
        ({"steps": 7}, "sssssssE" + "."),
        ({"images": 90}, "sssssssE" + "ssE" + "."),
        ({"images": 81}, "sssssssE" + "ssE" + "."),  # whole batches
        ({"epochs": 2, "accumulate": 2}, "ssssE" + "sssE" + "."),  # 3.5 updates an epoch
        ({"epochs": 1, "accumulate": 2}, "ssssE" + "."),
        ({"steps": 5, "accumulate": 2}, "ssssE" + "sE" + "."),
        ({"epochs": 3, "accumulate": 10}, "sE" + "sE" + "sE" + "."),  # an update is longer than an epoch
    ],
)
def test_lengths(length: dict[str, int], expected: str) -> None:
    engine, log = run(partial(classification, evaluate=False, **length))
    assert places(log.events) == expected
    steps = expected.count("s")
    assert engine.step == steps
    assert engine.images_seen == steps * 10 * length.get("accumulate", 1)
    assert [row.epoch for row in log.rows] == list(range(1, len(log.rows) + 1))
    assert [row.step for row in log.rows] == [expected[:i].count("s") for i, e in enumerate(expected) if e == "E"]
    assert [epoch for epoch, _, _ in log.steps.values()] == [expected[:i].count("E") for i, e in enumerate(expected) if e == "s"]
    assert log.reason == "finished"


def test_progress_runs_from_nought_to_one_in_every_unit() -> None:
    class Watches(Classify):
        def loss(self, model: Any, batch: Batch, engine: Any) -> Any:
            loss, _ = super().loss(model, batch, engine)
            return loss, {"before": torch.tensor(engine.progress), "after": torch.tensor(engine.progress_after)}

    for length in ({"epochs": 2}, {"steps": 14}, {"images": 140}):
        made = classification(**length)
        made.engine.task = Watches()
        steps = [event.logs for event in fit(made.engine, made.streams) if isinstance(event, StepDone)]
        assert [float(logs["before"]) for logs in steps] == pytest.approx([i / 14 for i in range(14)])
        assert [float(logs["after"]) for logs in steps] == pytest.approx([(i + 1) / 14 for i in range(14)])


def test_a_metric_is_averaged_over_the_updates_that_reported_it() -> None:
    class Sometimes(Classify):
        def loss(self, model: Any, batch: Batch, engine: Any) -> Any:
            loss, _ = super().loss(model, batch, engine)
            return loss, {"rare": torch.tensor(float(engine.step))} if engine.step % 3 == 0 else {}

    made = classification(epochs=2)
    made.engine.task = Sometimes()
    rows = [event.train["rare"] for event in fit(made.engine, made.streams) if isinstance(event, EpochDone)]
    assert rows == [(0 + 3 + 6) / 3, (9 + 12) / 2]


# ---------------------------------------------------------------- closing


@pytest.mark.parametrize("kind", [StepDone, EpochDone, Saved])
def test_closing_saves_and_runs_nothing_more(tmp_path: Path, kind: type) -> None:
    made = classification(epochs=3, checkpoint_every=4)
    updates, evaluations = 0, 0
    update, evaluate = made.engine.task.update, made.evaluate

    def counted_update(*args: Any) -> Any:
        nonlocal updates
        updates += 1
        return update(*args)

    def counted_evaluate() -> dict[str, float]:
        nonlocal evaluations
        evaluations += 1
        return evaluate()

    made.engine.task.update = counted_update
    events = fit(made.engine, made.streams, evaluate=counted_evaluate, checkpoints=Checkpoints(tmp_path))
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, kind) and event.step >= 7:  # the last step of the first epoch
            break
    events.close()
    assert seen[-1].step == 7
    assert (updates, evaluations) == (7, places(seen).count("E"))
    assert made.engine.step == 7
    newest = Checkpoints(tmp_path).latest()
    assert newest is not None
    state = load_checkpoint(newest)
    assert state["engine"]["step"] == 7
    assert state["rows"] == (1 if kind is Saved else 0)
    assert differences(state["engine"]["models"]["model"], made.engine.raw["model"].state_dict()) == []
    with pytest.raises(StopIteration):
        next(events)


def test_an_exception_in_the_consumer_saves_too(tmp_path: Path) -> None:
    """A consumer that fails at its EpochDone (its disk was full) has not written the row: it is reported again."""
    whole = run(partial(classification, epochs=3))
    log, made = Log(), classification(epochs=3)

    def consume() -> None:
        for event in fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=Checkpoints(tmp_path)):
            if isinstance(event, EpochDone) and event.epoch == 2:
                raise OSError("no space left")
            log.add(event)

    with pytest.raises(OSError, match="no space left"):
        consume()
    newest = Checkpoints(tmp_path).latest()
    assert newest is not None
    assert (load_checkpoint(newest)["engine"]["step"], load_checkpoint(newest)["rows"]) == (14, 1)
    assert len(log.rows) == 1
    assert_same_fit(whole, resume(partial(classification, epochs=3), tmp_path, log))


def test_a_fit_that_is_killed_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
    case = partial(classification, epochs=3, checkpoint_every=4, ema=0.9)
    whole = run(case)
    made, log = case(), Log()
    events = fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=Checkpoints(tmp_path))
    for event in events:
        log.add(event)
        if isinstance(event, StepDone) and event.step == 11:
            break
    events.throw_away = None if hasattr(events, "throw_away") else None  # type: ignore[attr-defined]
