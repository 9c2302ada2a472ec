"""The one loop that trains everything, read in five minutes.

State = f(weights, optimisers, averages, carry, sums, counters). Batches and all randomness are pure functions of
(seed, position), so a checkpoint holds positions and no generator's state, and what is resumed is bit-identical to what
was never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.data.streams import Stream
from lamina.errors import LaminaError, RunError, TrainingError, UsageError
from lamina.randomness import derive
from lamina.tasks.base import Phase
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.engine import Engine
from lamina.training.events import EpochDone, Event, Saved, StepDone, Stopped
from lamina.training.feeds import Feeds
from lamina.training.seeding import seed_generators

CHECK_EVERY = 50  # steps between looks at the loss on a device that must not be waited for every step

Evaluate = Callable[[], Mapping[str, float]]


def fit(
    engine: Engine,
    streams: Mapping[str, Stream] | Stream,
    *,
    evaluate: Evaluate | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> Generator[Event]:
    """Train, as a generator of events; closing it stops cleanly after the step under way, and saves.

    ``evaluate`` runs after every epoch, with averaged weights in place and the models in evaluation mode. With
    ``checkpoints`` the state is saved at every epoch's end, every ``checkpoint_every`` steps and when closed;
    ``resume`` goes on from the latest. An EpochDone counts once the consumer comes back for more: one that writes a row
    for each, and on resuming cuts its rows to the checkpoint's ``rows``, has every row once, wherever it was stopped.

    Raises TrainingError for a loss that is not finite, RunError where saving or resuming fails, UsageError where the
    recipe watches a validation that is not there, DataError for a stream that is empty, breaks off or has changed.
    """
    expect_watched(engine, evaluate is not None)
    feeds = Feeds({"train": streams} if isinstance(streams, Stream) else streams, engine)
    progress = _Progress()
    latest = checkpoints.latest() if checkpoints is not None else None
    if latest is None:
        _enter(engine, feeds, engine.task.phase(0))
    elif resume:
        _restore(latest, engine, feeds, progress)
    else:
        raise RunError(f"{latest.parent} holds the checkpoints of another training: resume it, or use another folder")
    try:
        yield from _train(engine, feeds, progress, evaluate, checkpoints)
    except TrainingError as error:
        last = checkpoints.latest() if checkpoints is not None else None
        advice = f"the last good checkpoint is {last}" if last else "no checkpoint was written before"
        raise TrainingError(f"{error}; {advice}; try a lower --lr or --clip") from error


def expect_watched(engine: Engine, evaluates: bool) -> None:
    """Raise UsageError where the recipe watches a validation metric and there is none."""
    recipe, task = engine.recipe, engine.task
    if (recipe.patience is not None or recipe.schedule == "plateau") and not (evaluates and task.monitor):
        remedy = f"the task '{task.name}' names none" if evaluates else "set --validation above 0"
        raise UsageError(f"early stopping and the plateau schedule watch a validation metric: {remedy}")


@dataclass
class _Progress:
    """What the loop itself must remember."""

    rows: int = 0  # epochs reported
    best: float | None = None  # score of the best of them
    best_loss: float | None = None  # its loss, which decides between equal scores
    waited: int = 0  # epochs since the best one
    epoch: int = 0  # epochs of the first stream that were done when the epoch under way began
    fresh: bool = True  # nothing of the epoch under way is done yet
    sums: dict[str, Tensor] = field(default_factory=dict)  # of what its updates logged
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, logs: dict[str, Tensor]) -> None:
        for name, value in logs.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()}


def _train(
    engine: Engine, feeds: Feeds, progress: _Progress, evaluate: Evaluate | None, checkpoints: Checkpoints | None
) -> Iterator[Event]:
    recipe, task = engine.recipe, engine.task
    saved = (engine.step, progress.rows)  # what the newest checkpoint holds; nothing is lost with the state at step 0
    engine.train_mode()
    try:
        while True:
            phase = task.phase(engine.images_seen)
            turns = phase is not None and engine.phase is not None and phase.index != engine.phase.index
            due = recipe.checkpoint_every is not None and engine.step % recipe.checkpoint_every == 0
            if not progress.fresh and (turns or feeds.finished or feeds.epochs_done > progress.epoch):
                event, after = _judge_epoch(engine, progress, evaluate)
                yield event
                progress, due = after, True  # only now: closed before, the epoch is judged again on resuming
                if recipe.schedule == "plateau":
                    engine.plateau.update(event.improved)
            if turns:
                _enter(engine, feeds, phase)
            engine.phase = phase
            if checkpoints is not None and due and saved != (engine.step, progress.rows):
                saved = (engine.step, progress.rows)
                yield _save(engine, feeds, progress, checkpoints)
            impatient = recipe.patience is not None and progress.waited >= recipe.patience
            if feeds.finished or impatient:
                yield Stopped(engine.step, "finished" if feeds.finished else "patience")
                return

            if progress.fresh:
                progress.fresh, progress.epoch = False, feeds.epochs_done
                engine.train_mode()
            logs = _update(engine, feeds)
            progress.add(logs)
            yield StepDone(engine.step, progress.rows, engine.images_seen, logs)
    except GeneratorExit:
        # A gather would wait for processes that may not come: where one is needed, the last checkpoint stands.
        if checkpoints is not None and saved != (engine.step, progress.rows) and not engine.gathers:
            _save(engine, feeds, progress, checkpoints)
        raise


def _update(engine: Engine, feeds: Feeds) -> dict[str, Tensor]:
    """One update of the task: its randomness follows from the step."""
    engine.progress = feeds.share(engine.step)
    engine.progress_after = feeds.share(engine.step + 1)  # and again with every batch drawn
    _reseed(engine, "step")
    logs = _over_processes(engine, engine.task.update(feeds, engine))
    if not engine.settled:
        raise LaminaError(
            f"an update of the task '{engine.task.name}' ended with gradients that wait for a step: "
            f"optimise() must be called engine.accumulate = {engine.accumulate} times for every step"
        )
    engine.step += 1
    if engine.step % CHECK_EVERY == 0:
        engine.check_finite()
    return logs


def _judge_epoch(engine: Engine, progress: _Progress, evaluate: Evaluate | None) -> tuple[EpochDone, _Progress]:
    """Evaluate the epoch that ends: what to report, and what to remember once it is reported."""
    engine.check_finite()
    validation: dict[str, float] = {}
    if evaluate is not None:
        _reseed(engine, "evaluate")
        for module in engine.raw.values():
            module.eval()
        with engine.averaged(), torch.no_grad():
            validation = {name: float(value) for name, value in evaluate().items()}
        validation = engine.fabric.broadcast(validation)  # every process must come to the same decision
    best, best_loss, better, improved = progress.best, progress.best_loss, True, True
    if evaluate is not None and engine.task.monitor is not None:
        score, loss = _score(engine, validation), validation.get("loss")
        improved = best is None or score > best
        # of epochs that are equal by the metric the one of lower loss is kept; patience waits for the metric alone
        tied = score == best and _lower(loss, best_loss)
        better = improved or tied
        best, best_loss = (score, loss) if better else (best, best_loss)
    event = EpochDone(progress.rows + 1, engine.step, progress.means(), validation, engine.rate, better, improved)
    return event, _Progress(event.epoch, best, best_loss, 0 if improved else progress.waited + 1)


def _lower(loss: float | None, than: float | None) -> bool:
    """Whether one loss is lower than another; not-a-number is worse than any, and what is not known decides nothing."""
    if loss is None or than is None or math.isnan(loss):
        return False
    return loss < than or math.isnan(than)


def _over_processes(engine: Engine, logs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What each process logged of its share of the batch, averaged. At every update and not once an epoch: so the sums
    that a checkpoint holds are those of all, and nothing has to be gathered to save them."""
    if engine.fabric.world_size == 1 or not logs:
        return logs
    values = torch.stack([value.detach().to(engine.fabric.device, torch.float64) for value in logs.values()])
    torch.distributed.all_reduce(values)
    return dict(zip(logs, values / engine.fabric.world_size, strict=True))


def _score(engine: Engine, validation: dict[str, float]) -> float:
    """The watched metric, turned so that greater is better; not-a-number is worse than anything."""
    assert engine.task.monitor is not None
    name, mode = engine.task.monitor
    if name not in validation:
        raise LaminaError(f"the task '{engine.task.name}' watches '{name}', which its metrics do not have")
    value = validation[name] if mode == "max" else -validation[name]
    return -math.inf if math.isnan(value) else value


def _enter(engine: Engine, feeds: Feeds, phase: Phase | None) -> None:
    """Begin a phase: a new epoch of every stream (but at the very start), other batches, optimisers that forget."""
    begins, engine.phase = engine.phase is not None, phase
    if phase is None:
        return
    feeds.resize(phase.batch_size or engine.recipe.batch_size)
    if begins:
        feeds.next_epoch()
    if phase.reset_optimisers:
        for optimiser in engine.optimisers.values():
            optimiser.optimizer.state.clear()


def _reseed(engine: Engine, purpose: str) -> None:
    """Seed torch's default generators: dropout, randn_like and their kin become functions of (seed, step, rank)."""
    seed = derive(engine.recipe.seed, purpose, engine.step, engine.fabric.global_rank)
    seed_generators(engine.fabric.device, seed)


def _save(engine: Engine, feeds: Feeds, progress: _Progress, checkpoints: Checkpoints) -> Saved:
    engine.check_finite()
    state = {
        "format": 1,
        "engine": engine.state_dict(),
        "positions": feeds.state_dict(),
        "phase": None if engine.phase is None else asdict(engine.phase),
        "progress": dict(vars(progress)),
        "rows": progress.rows,
    }
    if engine.fabric.is_global_zero:
        checkpoints.save(engine.step, state)
    return Saved(engine.step, checkpoints.path(engine.step))


def _restore(path: Path, engine: Engine, feeds: Feeds, progress: _Progress) -> None:
    state: dict[str, Any] = load_checkpoint(path)
    try:
        engine.load_state_dict(state["engine"])
        engine.phase = None if state["phase"] is None else Phase(**state["phase"])
        if engine.phase is not None:
            feeds.resize(engine.phase.batch_size or engine.recipe.batch_size)
        feeds.load_state_dict(state["positions"])
        vars(progress).update(state["progress"])
        progress.sums = engine.fabric.to_device(progress.sums)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(f"{path} was not written by this model and recipe ({type(error).__name__}: {reason})") from error
