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
    assert [epoch for epoch, _, _ in log.steps.values()] == [
        expected[:i].count("E") for i, e in enumerate(expected) if e == "s"
    ]
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
    while made.engine.step < 11:
        log.add(next(events))
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    assert [path.name for path in Checkpoints(tmp_path).paths()] == ["step-00000007.ckpt", "step-00000008.ckpt"]
    assert_same_fit(whole, resume(case, tmp_path, log))


def test_a_fit_can_be_interrupted_again_and_again(tmp_path: Path) -> None:
    case = partial(classification, epochs=3, checkpoint_every=5, accumulate=2, ema=0.9)
    whole = run(case)
    log, last = Log(), None
    for session in range(100):
        made = case()
        if (newest := Checkpoints(tmp_path).latest()) is not None:
            log.cut(load_checkpoint(newest))
        events = fit(
            made.engine, made.streams, evaluate=made.evaluate, checkpoints=Checkpoints(tmp_path), resume=session > 0
        )
        for _, last in zip(range(2), events, strict=False):
            log.add(last)
        events.close()
        if places([last]) == ".":
            break
    assert session > 8
    assert_same_fit(whole, (made.engine, log))


def test_without_checkpoints_closing_just_ends_it() -> None:
    made = classification(epochs=3)
    events = fit(made.engine, made.streams)
    next(events)
    events.close()
    assert made.engine.step == 1


# ---------------------------------------------------------------- after the end


def test_a_finished_fit_resumed_does_nothing(tmp_path: Path) -> None:
    case = partial(classification, epochs=2)
    whole = run(case, tmp_path)
    made = case()
    events = list(
        fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=Checkpoints(tmp_path), resume=True)
    )
    assert places(events) == "."
    assert differences(whole[0].state_dict(), made.engine.state_dict()) == []


def test_resume_without_a_checkpoint_begins_at_the_beginning(tmp_path: Path) -> None:
    case = partial(classification, epochs=2)
    assert_same_fit(run(case), resume(case, tmp_path, Log()))


def test_a_folder_of_another_training_is_not_written_into(tmp_path: Path) -> None:
    case = partial(classification, epochs=1)
    run(case, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RunError, match="holds checkpoints of another training: resume it"):
        run(case, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---------------------------------------------------------------- best, patience, plateau


def scripted(values: list[float], **recipe: Any) -> Fit:
    """A fit of 7 steps an epoch whose validation metric is written beforehand."""
    made = classification(**{"epochs": len(values)} | recipe)

    def evaluate() -> dict[str, float]:
        return {"accuracy": values[made.engine.step // 7 - 1], "other": 1.0}

    return Fit(made.engine, made.streams, evaluate)


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("max", [0.1, 0.3, 0.3, 0.2, 0.4], [1, 1, 0, 0, 1]),  # the same again is no better
        ("min", [0.4, 0.3, 0.3, 0.5, 0.1], [1, 1, 0, 0, 1]),
        ("max", [math.nan, 0.3, math.nan, 0.2, 0.4], [1, 1, 0, 0, 1]),  # not-a-number is worse than anything
        ("min", [math.nan, math.nan, 0.3, math.nan, 0.2], [1, 0, 1, 0, 1]),
        ("max", [-math.inf, 0.3, 0.2, math.inf, 0.5], [1, 1, 0, 1, 0]),
    ],
)
def test_best_is_chosen_by_the_tasks_monitor(mode: str, values: list[float], best: list[int]) -> None:
    made = scripted(values)
    made.engine.task.monitor = ("accuracy", mode)
    rows = [event for event in fit(made.engine, made.streams, evaluate=made.evaluate) if isinstance(event, EpochDone)]
    assert [row.best for row in rows] == [bool(flag) for flag in best]
    assert [repr(row.validation) for row in rows] == [repr({"accuracy": value, "other": 1.0}) for value in values]


def test_without_a_monitor_the_last_is_the_best() -> None:
    made = scripted([0.3, 0.2, 0.1])
    made.engine.task.monitor = None
    rows = [event for event in fit(made.engine, made.streams, evaluate=made.evaluate) if isinstance(event, EpochDone)]
    assert [row.best for row in rows] == [True, True, True]


def test_patience_stops_after_so_many_epochs_without_a_better_one(tmp_path: Path) -> None:
    case = partial(scripted, [0.1, 0.3, 0.2, 0.3, 0.1, 0.9, 0.9], patience=3)
    whole = run(case, tmp_path / "whole")
    assert len(whole[1].rows) == 5  # the third after the best, which was the second
    assert whole[1].reason == "patience"
    made = case()
    events = list(
        fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=Checkpoints(tmp_path / "whole"), resume=True)
    )
    assert places(events) == "."
    assert events[0].reason == "patience"
    for stop in (20, len(whole[1].events) - 3, len(whole[1].events) - 2):  # within, at the last EpochDone, at its Saved
        assert_same_fit(whole, run_interrupted(case, tmp_path / str(stop), stop))


def test_patience_that_is_never_tried_changes_nothing() -> None:
    case = partial(scripted, [0.1, 0.2, 0.3])
    assert_same_fit(run(case), run(partial(case, patience=1)))


def test_the_plateau_schedule_lowers_the_rate_and_remembers_it(tmp_path: Path) -> None:
    values = [0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.1]
    case = partial(scripted, values, schedule="plateau", plateau_patience=1, gamma=0.5, lr=0.1)
    whole = run(case)
    assert [row.lr for row in whole[1].rows] == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    for stop in range(18, 46, 5):
        assert_same_fit(whole, run_interrupted(case, tmp_path / str(stop), stop))


def test_the_plateau_schedule_agrees_with_torch() -> None:
    values = [0.5, 0.4, 0.6, 0.6, 0.5, 0.4, 0.3, 0.7, 0.1, 0.1, 0.1, 0.1]
    _, log = run(partial(scripted, values, schedule="plateau", plateau_patience=2, gamma=0.1, lr=0.1))
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, "max", factor=0.1, patience=2, threshold=0, eps=0)
    rates = []
    for value in values:
        rates.append(optimiser.param_groups[0]["lr"])
        theirs.step(value)
    assert [row.lr for row in log.rows] == pytest.approx(rates)


def test_other_schedules_do_not_care_about_the_metric() -> None:
    """Eight epochs that get worse, beyond the plateau's default patience of five."""
    _, log = run(partial(scripted, [0.9 - 0.1 * i for i in range(8)], schedule="constant", lr=0.1))
    assert [row.lr for row in log.rows] == [0.1] * 8


@pytest.mark.parametrize("options", [{"patience": 3}, {"schedule": "plateau"}])
def test_watching_a_validation_that_is_not_there_is_misuse(options: dict[str, Any]) -> None:
    made = classification(epochs=1, evaluate=False, **options)
    with pytest.raises(UsageError, match="watch a validation metric: set --validation above 0"):
        next(fit(made.engine, made.streams))
    made = classification(epochs=1, **options)
    made.engine.task.monitor = None
    with pytest.raises(UsageError, match="watch a validation metric: the task 'classify' names none"):
        next(fit(made.engine, made.streams, evaluate=made.evaluate))


def test_a_monitor_that_the_metrics_lack_is_an_error() -> None:
    made = classification(epochs=1)
    made.engine.task.monitor = ("f1", "max")
    with pytest.raises(LaminaError, match="unknown metric to monitor 'f1'; known: accuracy"):
        list(fit(made.engine, made.streams, evaluate=made.evaluate))


# ---------------------------------------------------------------- evaluation


def test_evaluation_sees_averaged_weights_in_evaluation_mode_and_leaves_no_trace() -> None:
    made = classification(epochs=2, ema=0.9)
    engine, seen = made.engine, []

    def evaluate() -> dict[str, float]:
        seen.append({name: tensor.clone() for name, tensor in engine.raw["model"].state_dict().items()})
        assert not engine.raw["model"].training
        assert not torch.is_grad_enabled()
        return {"accuracy": 0.0}

    for event in fit(engine, made.streams, evaluate=evaluate):
        if isinstance(event, StepDone):
            assert engine.raw["model"].training
        if isinstance(event, EpochDone):
            average, own = engine.average["model"], engine.raw["model"].state_dict()
            for name in average:
                assert torch.equal(seen[-1][name], average[name])
                assert not torch.equal(own[name], average[name])
    assert len(seen) == 2
    untouched, _ = run(partial(classification, epochs=2, ema=0.9, evaluate=False))
    assert differences(untouched.state_dict(), engine.state_dict()) == []


def test_a_model_that_comes_in_evaluation_mode_is_trained_from_the_first_step_on(tmp_path: Path) -> None:
    """A fresh one, and one that is resumed in mid-epoch."""
    for start in range(2):
        made = classification(epochs=2)
        made.engine.raw["model"].eval()
        events = fit(made.engine, made.streams, checkpoints=Checkpoints(tmp_path), resume=start > 0)
        next(events)
        assert made.engine.raw["model"].training
        assert made.engine.raw["model"][1].num_batches_tracked == start + 1
        events.close()


def test_weights_come_back_when_an_evaluation_fails() -> None:
    made = classification(epochs=1, ema=0.9)
    own: dict[str, torch.Tensor] = {}

    def evaluate() -> dict[str, float]:
        raise ValueError("no")

    def consume() -> None:
        for _ in fit(made.engine, made.streams, evaluate=evaluate):
            own.update({name: tensor.clone() for name, tensor in made.engine.raw["model"].state_dict().items()})

    with pytest.raises(ValueError, match="no"):
        consume()
    assert differences(own, made.engine.raw["model"].state_dict()) == []


def test_metrics_of_other_number_types_can_be_saved_and_resumed(tmp_path: Path) -> None:
    """scikit-learn's metrics are numpy numbers, torchmetrics' are tensors; a checkpoint loads neither as such."""
    import numpy as np

    def case() -> Fit:
        made = classification(epochs=2)
        made.evaluate = lambda: {"accuracy": np.float64(made.engine.step), "other": torch.tensor(2.0)}
        return made

    whole = run(case)
    assert whole[1].rows[-1].validation == {"accuracy": 14.0, "other": 2.0}
    assert all(type(value) is float for value in whole[1].rows[-1].validation.values())
    assert_same_fit(whole, run_interrupted(case, tmp_path, 12))


# ---------------------------------------------------------------- what cannot go on


def test_data_that_changed_is_not_resumed(tmp_path: Path) -> None:
    made = classification(70, epochs=3)
    events = fit(made.engine, made.streams, checkpoints=Checkpoints(tmp_path))
    next(events)
    events.close()
    made = classification(90, epochs=3)
    with pytest.raises(DataError, match="the data has changed: an epoch of 'train' had 7 batches, and has 9 now"):
        next(fit(made.engine, made.streams, checkpoints=Checkpoints(tmp_path), resume=True))


def test_another_model_is_not_resumed(tmp_path: Path) -> None:
    run(partial(classification, epochs=1), tmp_path)
    made = gan(7 * 16, 16, epochs=1)
    with pytest.raises(RunError, match=r"step-00000007.ckpt was not written by this model and recipe \(KeyError: 'gen"):
        next(fit(made.engine, made.streams, checkpoints=Checkpoints(tmp_path), resume=True))


class Short:
    """Says that an epoch has ``per_epoch`` batches, and has three."""

    def __init__(self, per_epoch: int) -> None:
        self.per_epoch = per_epoch

    def with_batch_size(self, batch_size: int) -> Short:
        return self

    def batches(self, epoch: int, start: int = 0) -> Any:
        yield from list(Shuffled(InMemory(points(30)), 10, 0).batches(epoch))[start:]


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (0, "the stream 'train' of training data is shorter than one batch"),
        (5, "the stream 'train' ended after 3 of the 5 batches of an epoch"),
    ],
)
def test_a_stream_that_holds_less_than_it_says_is_an_error(says: int, message: str) -> None:
    made = classification(epochs=2)
    with pytest.raises(DataError, match=message):
        list(fit(made.engine, Short(says)))


def test_an_update_that_leaves_gradients_waiting_is_an_error() -> None:
    class Forgets(Classify):
        def update(self, batches: Any, engine: Any) -> Any:
            loss, logs = self.loss(engine.models["model"], next(batches), engine)
            engine.optimise(loss)
            return {"loss": loss.detach(), **logs}

    made = classification(epochs=2, accumulate=2)
    made.engine.task = Forgets()
    with pytest.raises(LaminaError, match="an update of the task 'classify' ended with pending gradients"):
        next(fit(made.engine, made.streams))


def test_accuracy_of_the_toy_is_that_of_the_model() -> None:
    """The oracle of this file: chance before training."""
    assert accuracy(classification().engine)()["accuracy"] < 0.6
