"""The training loop of every task.

State = f(weights, optimisers, averages, carry, sums, counters). Batches and all randomness are pure functions of
(seed, position), so a checkpoint stores positions and no generator state, and a resumed training is bit-identical to an
uninterrupted one.
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
from lamina.errors import LaminaError, RunError, TrainingError, UsageError, unknown
from lamina.randomness import derive
from lamina.tasks.base import Phase
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.engine import Engine
from lamina.training.events import EpochDone, Event, Saved, StepDone, Stopped
from lamina.training.feeds import Feeds
from lamina.training.seeding import seed_generators
from lamina.training.stopping import asked_to_stop, stop_together

CHECK_EVERY = 50  # steps between checks of the loss on devices where reading it would stall
STOP_EVERY = 10  # steps between looks, on such devices, whether a signal asks another process to stop

Evaluate = Callable[[], Mapping[str, float]]


def fit(
    engine: Engine,
    streams: Mapping[str, Stream] | Stream,
    *,
    evaluate: Evaluate | None = None,
    forward: Callable[[], None] | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
) -> Generator[Event]:
    """Train, as a generator of events; closing it stops after the current step and saves a checkpoint.

    ``evaluate`` is called after every epoch, with the EMA weights in place and the models in evaluation mode. Before
    that, where running statistics cannot have settled, ``forward`` is called to measure them anew: it calls the models
    on training data as ``evaluate`` does on validation data; ``engine.averaged()`` then has what was measured. With
    ``checkpoints`` the state is saved after every epoch, every ``checkpoint_every`` steps and on closing; ``resume``
    continues from the latest. An EpochDone takes effect when the consumer asks for the next event: a consumer that
    writes one row for each, and on resuming truncates to the checkpoint's ``rows``, has every row exactly once.

    Raises TrainingError for a loss that is not finite, RunError if saving or resuming fails, UsageError if the recipe
    monitors a validation metric that does not exist, DataError for a stream that is empty, too short or has changed.

    Example::

        for event in fit(engine, {"train": stream}, evaluate=evaluate):
            if isinstance(event, EpochDone):
                print(event.epoch, event.validation)
    """
    expect_watched(engine, evaluate is not None)
    feeds = Feeds({"train": streams} if isinstance(streams, Stream) else streams, engine)
    progress = _Progress()
    latest = checkpoints.latest() if checkpoints is not None else None
    if latest is None:
        _start_phase(engine, feeds, engine.task.phase(0))
    elif resume:
        _restore(latest, engine, feeds, progress)
    else:
        raise RunError(f"{latest.parent} holds checkpoints of another training: resume it, or use another folder")
    try:
        yield from _train(engine, feeds, progress, evaluate, forward, checkpoints)
    except TrainingError as error:
        last = checkpoints.latest() if checkpoints is not None else None
        advice = f"the last good checkpoint is {last}" if last else "no checkpoint was written before"
        raise TrainingError(f"{error}; {advice}; try a lower --lr or --clip") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        last = checkpoints.latest() if checkpoints is not None else None
        raise TrainingError(_without_memory(engine, last)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the GPU or the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory"))


def _without_memory(engine: Engine, last: Path | None) -> str:
    recipe = engine.recipe
    size = recipe.batch_size
    smaller = f"--batch-size {size // 2} --accumulate {2 * recipe.accumulate} takes the same steps, and "
    stands = f"the last checkpoint stands: {last}" if last else "no checkpoint was written before"
    return (
        f"out of memory at step {engine.step + 1}, with batches of {size}: {smaller if size > 1 else ''}"
        f"--checkpointing stores less; {stands}"
    )


def expect_watched(engine: Engine, evaluates: bool) -> None:
    """Raise UsageError if the recipe monitors a validation metric and there is none."""
    recipe, task = engine.recipe, engine.task
    if (recipe.patience is not None or recipe.schedule == "plateau") and not (evaluates and engine.monitor):
        remedy = f"the task '{task.name}' names none" if evaluates else "set --validation above 0"
        raise UsageError(f"early stopping and the plateau schedule watch a validation metric: {remedy}")


@dataclass
class _Progress:
    """The loop's own state."""

    rows: int = 0  # epochs reported
    best: float | None = None  # score of the best of them
    best_loss: float | None = None  # its loss, the tie-breaker between equal scores
    waited: int = 0  # epochs since the best one
    epoch: int = 0  # epochs of the first stream done when the current epoch began
    fresh: bool = True  # no update of the current epoch is done yet
    sums: dict[str, Tensor] = field(default_factory=dict)  # of the logged values
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, logs: dict[str, Tensor]) -> None:
        for name, value in logs.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: float(total) / self.counts[name] for name, total in self.sums.items()}


def _train(
    engine: Engine,
    feeds: Feeds,
    progress: _Progress,
    evaluate: Evaluate | None,
    forward: Callable[[], None] | None,
    checkpoints: Checkpoints | None,
) -> Iterator[Event]:
    recipe, task = engine.recipe, engine.task
    saved = (engine.step, progress.rows)  # state of the newest checkpoint; the state at step 0 need not be saved
    engine.train_mode()
    try:
        while True:
            phase = task.phase(engine.images_seen)
            phase_changes = phase is not None and engine.phase is not None and phase.index != engine.phase.index
            due = recipe.checkpoint_every is not None and engine.step % recipe.checkpoint_every == 0
            if not progress.fresh and (phase_changes or feeds.finished or feeds.epochs_done > progress.epoch):
                event, next_progress = _evaluate_epoch(engine, progress, evaluate, forward)
                yield event
                progress, due = next_progress, True  # only now: if closed earlier, resuming evaluates the epoch again
                if recipe.schedule == "plateau":
                    engine.plateau.update(event.improved)
            if phase_changes:
                _start_phase(engine, feeds, phase)
            engine.phase = phase
            if checkpoints is not None and due and saved != (engine.step, progress.rows):
                saved = (engine.step, progress.rows)
                yield _save(engine, feeds, progress, checkpoints)
            out_of_patience = recipe.patience is not None and progress.waited >= recipe.patience
            if feeds.finished or out_of_patience:
                yield Stopped(engine.step, "finished" if feeds.finished else "patience")
                return

            if progress.fresh:
                progress.fresh, progress.epoch = False, feeds.epochs_done
                engine.train_mode()
            logs = _update(engine, feeds)
            progress.add(logs)
            yield StepDone(engine.step, progress.rows, engine.images_seen, logs)
    except GeneratorExit:
        # A gather could wait forever for other processes, unless all stop here: the last checkpoint is kept.
        alone = not engine.gathers or engine.stops_together
        if checkpoints is not None and saved != (engine.step, progress.rows) and alone:
            _save(engine, feeds, progress, checkpoints)
        raise


def _update(engine: Engine, feeds: Feeds) -> dict[str, Tensor]:
    """One update of the task, seeded by the step."""
    engine.progress = feeds.share(engine.step)
    engine.progress_after = feeds.share(engine.step + 1)  # updated again with every batch drawn
    _reseed(engine, "step")
    logs = _average_over_processes(engine, engine.task.update(feeds, engine))
    if not engine.settled:
        raise LaminaError(
            f"an update of the task '{engine.task.name}' ended with pending gradients: "
            f"optimise() must be called engine.accumulate = {engine.accumulate} times for every step"
        )
    engine.step += 1
    if engine.step % CHECK_EVERY == 0:
        engine.check_finite()
    return logs


def _evaluate_epoch(
    engine: Engine, progress: _Progress, evaluate: Evaluate | None, forward: Callable[[], None] | None
) -> tuple[EpochDone, _Progress]:
    """Evaluate the finished epoch: the event to report, and the progress once it is reported."""
    engine.check_finite()
    engine.join_statistics()
    validation: dict[str, float] = {}
    _reseed(engine, "evaluate")
    for module in engine.raw.values():
        module.eval()
    if forward is not None:
        engine.measure_statistics(forward)
    if evaluate is not None:
        with engine.averaged(), torch.no_grad():
            validation = {name: float(value) for name, value in evaluate().items()}
        validation = engine.fabric.broadcast(validation)  # every process must make the same decision
    best, best_loss, better, improved = progress.best, progress.best_loss, True, True
    if evaluate is not None and engine.monitor is not None:
        score, loss = _score(engine, validation), validation.get("loss")
        improved = best is None or score > best
        # among epochs of equal metric the lower loss is kept; patience considers the metric alone
        tied = score == best and _lower(loss, best_loss)
        better = improved or tied
        best, best_loss = (score, loss) if better else (best, best_loss)
    event = EpochDone(progress.rows + 1, engine.step, progress.means(), validation, engine.rate, better, improved)
    return event, _Progress(event.epoch, best, best_loss, 0 if improved else progress.waited + 1)


def _lower(loss: float | None, than: float | None) -> bool:
    """Whether one loss is lower than another; NaN is worse than any, a missing loss is never lower."""
    if loss is None or than is None or math.isnan(loss):
        return False
    return loss < than or math.isnan(than)


def _average_over_processes(engine: Engine, logs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logged values averaged over processes. At every update, not once an epoch: the sums in a checkpoint are then
    global, and saving needs no gather."""
    if engine.fabric.world_size == 1:
        return logs
    device, count = engine.fabric.device, len(logs)
    mine = [value.detach().to(device, torch.float64) for value in logs.values()]
    asked = torch.tensor(asked_to_stop(), dtype=torch.float64, device=device)
    values = torch.cat([torch.stack(mine), asked] if mine else [asked])
    torch.distributed.all_reduce(values)
    if device.type == "cpu" or engine.step % STOP_EVERY == 0:
        engine.stops_together = stop_together(values[count:].tolist())
    return dict(zip(logs, values[:count] / engine.fabric.world_size, strict=True))


def _score(engine: Engine, validation: dict[str, float]) -> float:
    """The monitored metric, with its sign set so that greater is better; NaN becomes -inf."""
    assert engine.monitor is not None
    name, mode = engine.monitor
    if name not in validation:
        raise unknown("metric to monitor", name, validation)
    value = validation[name] if mode == "max" else -validation[name]
    return -math.inf if math.isnan(value) else value


def _start_phase(engine: Engine, feeds: Feeds, phase: Phase | None) -> None:
    """Start a phase: set the batch size, start a new epoch of every stream (except at step 0), reset optimisers."""
    in_training, engine.phase = engine.phase is not None, phase
    if phase is None:
        return
    feeds.resize(phase.batch_size or engine.recipe.batch_size)
    if in_training:
        feeds.next_epoch()
    if phase.reset_optimisers:
        for optimiser in engine.optimisers.values():
            optimiser.optimizer.state.clear()


def _reseed(engine: Engine, purpose: str) -> None:
    """Seed torch's default generators, so that dropout, randn_like etc. are functions of (seed, step, rank)."""
    seed = derive(engine.recipe.seed, purpose, engine.step, engine.fabric.global_rank)
    seed_generators(engine.fabric.device, seed)


def _save(engine: Engine, feeds: Feeds, progress: _Progress, checkpoints: Checkpoints) -> Saved:
    engine.check_finite()
    engine.join_statistics()
    state = {
        "format": 1,
        "engine": engine.state_dict(),
        "positions": feeds.state_dict(),
        "phase": None if engine.phase is None else asdict(engine.phase),
        "progress": dict(vars(progress)),
        "rows": progress.rows,
    }
    if engine.divided:
        checkpoints.save_shards(engine.step, state, engine.fabric.global_rank)
    elif engine.fabric.is_global_zero:
        checkpoints.save(engine.step, state)
    return Saved(engine.step, checkpoints.path(engine.step))


def _restore(path: Path, engine: Engine, feeds: Feeds, progress: _Progress) -> None:
    state: dict[str, Any] = load_checkpoint(path, mesh=engine.mesh)
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
