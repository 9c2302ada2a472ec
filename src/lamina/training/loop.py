"""The one loop that trains everything, read in five minutes.

State = f(weights, optimisers, averages, carry, sums, counters). Batches and all randomness are pure functions of
(seed, position), so a checkpoint holds positions and no generator's state, and what is resumed is bit-identical to what
was never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from lamina.data.streams import Batch, Stream
from lamina.errors import LaminaError, TrainingError, UsageError
from lamina.randomness import derive
from lamina.tasks.base import Phase
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.engine import Engine
from lamina.training.events import EpochDone, Event, Saved, StepDone, Stopped

CHECK_EVERY = 50  # steps between looks at the loss on a device that must not be waited for every step


class Feed:
    """A stream and the position in it: (epoch, batches drawn in it)."""

    def __init__(self, stream: Stream, dtype: torch.dtype) -> None:
        self.stream, self.dtype = stream, dtype
        self.epoch, self.index = 0, 0
        self._ahead: Iterator[Batch] | None = None
        if stream.per_epoch < 1:
            raise TrainingError("a stream of training data holds not even one batch")

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Batch:
        if self.index >= self.stream.per_epoch:
            self.start(self.epoch + 1)
        if self._ahead is None:
            self._ahead = self.stream.batches(self.epoch, self.index)
        batch = next(self._ahead)
        self.index += 1
        if self.dtype is not torch.float64:
            return batch
        return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}

    def start(self, epoch: int, index: int = 0, batch_size: int | None = None) -> None:
        """Go to a position, in batches of ``batch_size`` from now on."""
        self.epoch, self.index, self._ahead = epoch, index, None
        if batch_size is not None:
            self.stream = self.stream.with_batch_size(batch_size)

    @property
    def epochs_done(self) -> int:
        return self.epoch + (self.index >= self.stream.per_epoch)

    @property
    def position(self) -> float:
        """Epochs drawn, in fractions."""
        return self.epoch + self.index / self.stream.per_epoch


class Feeds:
    """``next(feeds)`` draws from the first stream, which counts epochs; ``next(feeds["name"])`` from a named one."""

    def __init__(self, streams: Mapping[str, Stream], engine: Engine) -> None:
        dtype = torch.float64 if engine.recipe.precision == "fp64" else torch.float32
        self.feeds = {name: Feed(stream, dtype) for name, stream in streams.items()}
        self.first = next(iter(self.feeds.values()))
        self.engine = engine

    def __next__(self) -> Batch:
        return self[next(iter(self.feeds))].__next__()

    def __getitem__(self, name: str) -> _Draw:
        return _Draw(self, self.feeds[name])


class _Draw:
    """Draws from one feed; drawing from the first one moves training forward."""

    def __init__(self, feeds: Feeds, feed: Feed) -> None:
        self.feeds, self.feed = feeds, feed

    def __iter__(self) -> _Draw:
        return self

    def __next__(self) -> Batch:
        batch = next(self.feed)
        if self.feed is self.feeds.first:
            engine = self.feeds.engine
            engine.images_seen += len(next(iter(batch.values()))) * engine.fabric.world_size
            engine.progress_after = _share(engine, self.feed, engine.step + 1)
        return batch


def fit(
    engine: Engine,
    streams: Mapping[str, Stream] | Stream,
    *,
    evaluate: Callable[[], dict[str, float]] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> Iterator[Event]:
    """Train, as a generator of events; closing it stops cleanly after the step under way, and saves.

    ``evaluate`` runs after every epoch, with averaged weights in place and the models in evaluation mode. With
    ``checkpoints`` the state is saved at every epoch's end, every ``checkpoint_every`` steps and when closed;
    ``resume`` goes on from the latest. A consumer that writes a row for every EpochDone has written exactly as many as
    the checkpoint's ``rows`` when it is saved. Raises TrainingError for a loss that is not finite, RunError where saving
    fails, UsageError where the recipe watches a validation that is not there.
    """
    recipe, task, fabric = engine.recipe, engine.task, engine.fabric
    if evaluate is None and (recipe.patience is not None or recipe.schedule == "plateau"):
        raise UsageError("early stopping and the plateau schedule watch a validation metric: set --validation above 0")
    feeds = Feeds({"train": streams} if isinstance(streams, Stream) else streams, engine)
    progress = _Progress()
    if resume and checkpoints is not None and (latest := checkpoints.latest()) is not None:
        _restore(load_checkpoint(latest), engine, feeds, progress)
    else:
        _enter(engine, feeds, task.phase(0))
    saved = engine.step

    def save() -> Saved:
        nonlocal saved
        assert checkpoints is not None
        engine.check_finite()
        state = _state(engine, feeds, progress)
        if fabric.is_global_zero:
            checkpoints.save(engine.step, state)
        saved = engine.step
        return Saved(engine.step, checkpoints.path(engine.step))

    try:
        while True:
            over = _over(engine, feeds.first, progress)
            phase = task.phase(engine.images_seen)
            turned = phase is not None and engine.phase is not None and phase.index != engine.phase.index
            epoch_ends = not progress.fresh and (over or turned or feeds.first.epochs_done > progress.epoch)
            if epoch_ends:
                yield _finish_epoch(engine, feeds, progress, evaluate)
            if turned:
                _enter(engine, feeds, phase)
                progress.epoch = feeds.first.epoch
            engine.phase = phase
            due = epoch_ends or bool(recipe.checkpoint_every and engine.step % recipe.checkpoint_every == 0)
            if checkpoints is not None and due and saved != engine.step and engine.settled:
                yield save()
            if over or _over(engine, feeds.first, progress):
                break

            if progress.fresh:
                task.epoch_started(engine)
                _train(engine)
                progress.fresh = False
            engine.progress = _share(engine, feeds.first, engine.step)
            _reseed(derive(recipe.seed, "step", engine.step, fabric.global_rank))
            logs = task.update(feeds, engine)
            engine.step += 1
            progress.add(logs)
            if engine.step % CHECK_EVERY == 0:
                engine.check_finite()
            yield StepDone(engine.step, progress.epoch, engine.images_seen, logs)
        yield Stopped(engine.step, "patience" if progress.impatient(recipe.patience) else "finished")
    except GeneratorExit:
        # A gather would wait for ranks that may not come: under DDP with something carried the last checkpoint stands.
        alone = fabric.world_size == 1 or engine.carry is None
        if checkpoints is not None and saved != engine.step and engine.settled and alone:
            save()
        raise
    except TrainingError as error:
        last = checkpoints.latest() if checkpoints is not None else None
        advice = f"the last good checkpoint is {last}" if last else "no checkpoint was written before"
        raise TrainingError(f"{error}; {advice}; try a lower --lr or --clip") from error


class _Progress:
    """Where the epoch under way stands."""

    def __init__(self) -> None:
        self.epoch = 0  # epochs done
        self.fresh = True  # nothing of this epoch is done yet
        self.rows = 0  # EpochDone events so far
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.best: float | None = None
        self.waited = 0  # epochs since the best one

    def add(self, logs: dict[str, Tensor]) -> None:
        for name, value in logs.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()}

    def impatient(self, patience: int | None) -> bool:
        return patience is not None and self.waited > patience


def _finish_epoch(
    engine: Engine, feeds: Feeds, progress: _Progress, evaluate: Callable[[], dict[str, float]] | None
) -> EpochDone:
    validation: dict[str, float] = {}
    if evaluate is not None:
        for module in engine.raw.values():
            module.eval()
        with engine.averaged(), torch.no_grad():
            validation = evaluate()
    better = True
    if engine.task.monitor is not None and validation:
        name, mode = engine.task.monitor
        if name not in validation:
            raise LaminaError(f"task '{engine.task.name}' watches '{name}', which its metrics do not have")
        value = validation[name]
        better = progress.best is None or (value > progress.best if mode == "max" else value < progress.best)
        progress.best = value if better else progress.best
    engine.plateau.update(better)
    progress.waited = 0 if better else progress.waited + 1
    train = progress.means()
    progress.epoch = feeds.first.epochs_done
    progress.rows += 1
    progress.fresh, progress.sums, progress.counts = True, {}, {}
    return EpochDone(progress.rows, engine.step, train, validation, engine.rate, better)


def _enter(engine: Engine, feeds: Feeds, phase: Phase | None) -> None:
    """Begin a phase: a new epoch of every stream (but at the very start), other batches, optimisers that forget."""
    begins = engine.phase is not None
    engine.phase = phase
    if phase is None:
        return
    size = phase.batch_size or engine.recipe.batch_size
    for feed in feeds.feeds.values():
        feed.start(feed.epoch + 1 if begins and feed.index else feed.epoch, 0, size)
    if begins and phase.reset_optimisers:
        for optimiser in engine.optimisers.values():
            optimiser.optimizer.state.clear()


def _over(engine: Engine, first: Feed, progress: _Progress) -> bool:
    unit, amount = engine.recipe.length
    done = {"epochs": first.epochs_done, "steps": engine.step, "images": engine.images_seen}[unit]
    return done >= amount or (progress.fresh and progress.impatient(engine.recipe.patience))


def _share(engine: Engine, first: Feed, step: int) -> float:
    """Share of training done when ``step`` updates are, and what is drawn is used."""
    unit, amount = engine.recipe.length
    return min(1.0, {"epochs": first.position, "steps": step, "images": engine.images_seen}[unit] / amount)


def _train(engine: Engine) -> None:
    for module in engine.raw.values():
        module.train()


def _reseed(seed: int) -> None:
    """Seed torch's default generators: dropout, randn_like and their kin become functions of (seed, step, rank)."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)


def _state(engine: Engine, feeds: Feeds, progress: _Progress) -> dict[str, Any]:
    return {
        "format": 1,
        "engine": engine.state_dict(),
        "positions": {name: [feed.epoch, feed.index] for name, feed in feeds.feeds.items()},
        "phase": None if engine.phase is None else asdict(engine.phase),
        "progress": dict(vars(progress)),
        "rows": progress.rows,
    }


def _restore(state: dict[str, Any], engine: Engine, feeds: Feeds, progress: _Progress) -> None:
    engine.load_state_dict(state["engine"])
    engine.phase = None if state["phase"] is None else Phase(**state["phase"])
    size = None if engine.phase is None else engine.phase.batch_size or engine.recipe.batch_size
    for name, feed in feeds.feeds.items():
        epoch, index = state["positions"][name]
        feed.start(epoch, index, size)
    vars(progress).update(state["progress"])
    progress.sums = engine.fabric.to_device(progress.sums)
    _train(engine)
