"""Toy tasks, one for each contract of the loop, and the means to run, interrupt and compare their fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from lamina.data.streams import Batch, InMemory, Shuffled, Stream
from lamina.options.recipe import Recipe
from lamina.randomness import derive
from lamina.tasks.base import Phase, Task
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.engine import FABRIC_PRECISION, Engine
from lamina.training.events import EpochDone, Event, Saved, StepDone, Stopped
from lamina.training.loop import fit

# ---------------------------------------------------------------- running, interrupting, comparing


def make_engine(task: Task, models: Mapping[str, nn.Module], fabric: Fabric | None = None, **recipe: Any) -> Engine:
    made = Recipe(**recipe)
    return Engine(fabric or single(FABRIC_PRECISION[made.precision]), task, models, made)


@cache
def single(precision: str) -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision=precision)


@dataclass
class Fit:
    """What ``fit`` is called with; a Case makes a fresh one each time."""

    engine: Engine
    streams: Any
    evaluate: Callable[[], dict[str, float]] | None = None


Case = Callable[[], Fit]


@dataclass
class Log:
    """A consumer that keeps its rows as the CSV of a run does: cut to the checkpoint's ``rows`` on resuming."""

    events: list[Event] = field(default_factory=list)
    rows: list[EpochDone] = field(default_factory=list)
    steps: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, EpochDone):
            self.rows.append(event)
        if isinstance(event, StepDone):
            logs = {name: float(value) for name, value in event.logs.items()}
            self.steps[event.step] = (event.epoch, event.samples, logs)

    def cut(self, checkpoint: dict[str, Any]) -> None:
        del self.rows[checkpoint["rows"] :]
        self.steps = {step: row for step, row in self.steps.items() if step <= checkpoint["engine"]["step"]}

    @property
    def reason(self) -> str:
        stopped = self.events[-1]
        assert isinstance(stopped, Stopped)
        return stopped.reason


def run(case: Case, folder: Path | None = None) -> tuple[Engine, Log]:
    """A fit from start to end."""
    made, log = case(), Log()
    checkpoints = Checkpoints(folder) if folder else None
    for event in fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=checkpoints):
        log.add(event)
    return made.engine, log


def run_interrupted(case: Case, folder: Path, stop: int) -> tuple[Engine, Log]:
    """A fit closed at event number ``stop`` (0 is the first), then resumed by a fresh one."""
    made, log = case(), Log()
    checkpoints = Checkpoints(folder)
    events = fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=checkpoints)
    for _ in range(stop + 1):
        log.add(next(events))
    events.close()
    return resume(case, folder, log)


def resume(case: Case, folder: Path, log: Log) -> tuple[Engine, Log]:
    made, checkpoints = case(), Checkpoints(folder)
    latest = checkpoints.latest()
    if latest is not None:
        log.cut(load_checkpoint(latest))
    for event in fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=checkpoints, resume=True):
        log.add(event)
    return made.engine, log


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a nested state by place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{place}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, f"{place}/{index}")
    else:
        yield place, value


def differences(a: Any, b: Any) -> list[str]:
    """The places at which two states are not bit for bit the same."""
    left, right = dict(leaves(a)), dict(leaves(b))
    changed = left.keys() ^ right.keys()
    for place in left.keys() & right.keys():
        x, y = left[place], right[place]
        same = torch.equal(x, y) and x.dtype == y.dtype if isinstance(x, Tensor) else type(x) is type(y) and x == y
        if not same:
            changed.add(place)
    return sorted(changed)


def assert_same_fit(a: tuple[Engine, Log], b: tuple[Engine, Log]) -> None:
    """Weights, optimisers, averages, carry, task state, counters and all that was reported are bit for bit the same."""
    assert differences(a[0].state_dict(), b[0].state_dict()) == []
    assert a[1].rows == b[1].rows
    assert a[1].steps == b[1].steps
    assert a[1].reason == b[1].reason


def assert_resumes_anywhere(case: Case, folder: Path) -> list[Event]:
    """Close the fit at each of its events in turn and resume it: nothing may differ. Returns the events."""
    whole = run(case, folder / "whole")
    for stop in range(len(whole[1].events)):
        assert_same_fit(whole, run_interrupted(case, folder / str(stop), stop))
    return whole[1].events


def places(events: list[Event]) -> str:
    """Events in short: s step, E epoch, c checkpoint, . stopped."""
    return "".join({StepDone: "s", EpochDone: "E", Saved: "c", Stopped: "."}[type(event)] for event in events)


# ---------------------------------------------------------------- classification: the plain case


class Classify(Task):
    name = "classify"
    monitor = ("accuracy", "max")

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        logits = model(batch["x"])
        accuracy = (logits.argmax(1) == batch["y"]).float().mean()
        return functional.cross_entropy(logits, batch["y"]), {"accuracy": accuracy}


def net(width: int = 16, seed: int = 0) -> nn.Sequential:
    """Everything that has a state or draws random numbers: batch norm and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 3))


def plain_net(width: int = 16, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 3))


def points(count: int) -> Batch:
    """Separable: the class is the greatest of the first three coordinates."""
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(0))
    return {"x": x, "y": x[:, :3].argmax(1)}


class Jitter:
    """An augmentation: shifts each sample by a number of its own."""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        return {"by": torch.randn(size, 1, generator=generator)}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        return {**batch, "x": batch["x"] + 0.1 * parameters["by"]}


def classification(
    samples: int = 70, batch_size: int = 10, *, evaluate: bool = True, seed: int = 0, **recipe: Any
) -> Fit:
    engine = make_engine(Classify(), {"model": net()}, batch_size=batch_size, seed=seed, **recipe)
    stream = Shuffled(InMemory(points(samples)), batch_size, seed, augment=Jitter())
    return Fit(engine, stream, accuracy(engine) if evaluate else None)


def accuracy(engine: Engine) -> Callable[[], dict[str, float]]:
    held_out = points(400)

    def evaluate() -> dict[str, float]:
        dtype = next(engine.raw["model"].parameters()).dtype
        right = engine.raw["model"](held_out["x"].to(dtype)).argmax(1) == held_out["y"]
        noise = torch.rand(()).item()  # an evaluation may draw random numbers (a sampled bound, generated pictures)
        return {"accuracy": right.float().mean().item(), "noise": noise}

    return evaluate


# ---------------------------------------------------------------- several players: WGAN-GP


class WGANGP(Task):
    """Gulrajani et al. 2017, arXiv 1704.00028, algorithm 1: n_critic steps of the critic, one of the generator."""

    name = "wgan-gp"
    players = ("generator", "critic")
    average = ("generator",)
    n_critic = 5

    def __init__(self, freeze: bool = True) -> None:
        self.freeze = freeze
        self.penalty_mean = torch.zeros(())  # something of the task's own that must be saved

    def update(self, batches: Any, engine: Any) -> dict[str, Tensor]:
        generator, critic = engine.models["generator"], engine.models["critic"]
        logs: dict[str, Tensor] = {}
        for _ in range(self.n_critic):
            x = next(batches)["x"]
            with torch.no_grad():
                fake = generator(torch.randn(len(x), 2, dtype=x.dtype))
            u = torch.rand(len(x), 1, dtype=x.dtype)
            mixed = (u * x + (1 - u) * fake).requires_grad_()
            real_score, fake_score, mixed_score = critic(torch.cat([x, fake, mixed])).chunk(3)
            slope = torch.autograd.grad(mixed_score.sum(), mixed, create_graph=True)[0].norm(dim=1)
            penalty = (slope - 1).square().mean()
            distance = real_score.mean() - fake_score.mean()
            engine.optimise(-distance + 10 * penalty, "critic")
            self.penalty_mean = self.penalty_mean.lerp(penalty.detach().float(), 0.1)
            logs = {"distance": distance.detach(), "penalty": penalty.detach()}
        z = torch.randn(len(x), 2, dtype=x.dtype)
        if self.freeze:
            with engine.frozen("critic"):
                loss = -critic(generator(z)).mean()
                engine.optimise(loss, "generator")
        else:
            loss = -critic(generator(z)).mean()
            engine.optimise(loss, "generator")
        return {**logs, "loss": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        return {"penalty_mean": self.penalty_mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.penalty_mean = state["penalty_mean"]


def small_mlp(inputs: int, outputs: int, width: int = 32) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


def gan(
    samples: int = 640, batch_size: int = 64, task: WGANGP | None = None, fabric: Fabric | None = None, **r: Any
) -> Fit:
    """A generator that must find N(1, 0.3)."""
    torch.manual_seed(0)
    models = {"generator": nn.Linear(2, 1), "critic": small_mlp(1, 1)}
    recipe = {"optimizer": "adam", "lr": 2e-3, "beta1": 0.0, "beta2": 0.9, "ema": 0.95, "batch_size": batch_size} | r
    engine = make_engine(task or WGANGP(), models, fabric, **recipe)
    x = 1 + 0.3 * torch.randn(samples, 1, generator=torch.Generator().manual_seed(0))
    rank, world = engine.fabric.global_rank, engine.fabric.world_size
    return Fit(engine, Shuffled(InMemory({"x": x}), batch_size, 0, rank=rank, world=world))


# ---------------------------------------------------------------- phases: resolution, batch size, rate, fade


class Growing(Task):
    """Images of 4 pixels a side, then of 8, faded in (Karras et al. 2018, arXiv 1710.10196, figure 2)."""

    name = "growing"

    def __init__(self, turn: int = 72, fade_over: int = 64) -> None:
        self.turn, self.fade_over = turn, fade_over

    def phase(self, images_seen: int) -> Phase:
        if images_seen < self.turn:
            return Phase(index=0, batch_size=16, resolution=4)
        fade = min(1.0, (images_seen - self.turn) / self.fade_over)
        return Phase(index=1, batch_size=8, resolution=8, rate=0.5, fade=fade, reset_optimisers=True)

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        phase, x = engine.phase, batch["x"]
        coarse = functional.avg_pool2d(x, 2)
        if phase.resolution == 4:
            x = coarse
        else:
            x = phase.fade * x + (1 - phase.fade) * functional.interpolate(coarse, scale_factor=2)
        logits = model(x)
        logs = {"accuracy": (logits.argmax(1) == batch["y"]).float().mean(), "rate": torch.tensor(engine.rate)}
        logs |= {"fade": torch.tensor(phase.fade), "side": torch.tensor(float(x.shape[-1]))}
        return functional.cross_entropy(logits, batch["y"]), logs


def growing(task: Growing | None = None, samples: int = 104, **recipe: Any) -> Fit:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (samples,), generator=generator)
    x = torch.randn(samples, 1, 8, 8, generator=generator) * 0.3
    x[:, :, :, :4] += (2.0 * y - 1)[:, None, None, None]  # the left half is bright or dark
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    recipe = {"batch_size": 16, "optimizer": "adam", "lr": 0.02, "images": 200, "ema": 0.9} | recipe
    engine = make_engine(task or Growing(), {"model": model}, **recipe)
    return Fit(engine, Shuffled(InMemory({"x": x, "y": y}), 16, 0))


# ---------------------------------------------------------------- truncated back-propagation through time


class Recaller(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(3, 8), nn.Dropout(0.1)
        self.lstm, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 2)

    def forward(self, tokens_BT: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Any]:
        hidden_BTH, state = self.lstm(self.dropout(self.embedding(tokens_BT)), state)
        return self.head(hidden_BTH), state


class Recall(Task):
    """Say at every time step which token the sequence began with: chunks after the first know it by the carry alone."""

    name = "recall"

    def __init__(self, carries: bool = True) -> None:
        self.carries = carries
        self.received: list[bool] = []

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        self.received.append(engine.carry is not None)
        logits, state = model(batch["tokens"], engine.carry if self.carries else None)
        engine.carry = tuple(tensor.detach() for tensor in state)
        target = batch["target"]
        accuracy = (logits.argmax(2) == target).float().mean()
        return functional.cross_entropy(logits.flatten(0, 1), target.flatten()), {"accuracy": accuracy}


@dataclass(frozen=True)
class Chunks:
    """Rows of contiguous text: batch i holds the i-th chunk of every row. The rows are new in every epoch."""

    batch_size: int = 16
    length: int = 5
    per_epoch: int = 6
    rank: int = 0
    world: int = 1

    def with_batch_size(self, batch_size: int) -> Stream:
        return replace(self, batch_size=batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(derive(0, "rows", epoch))
        first = torch.randint(0, 2, (self.batch_size, 1), generator=generator)
        tokens = torch.full((self.batch_size, self.length * self.per_epoch), 2)
        tokens[:, :1] = first
        share = self.batch_size // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        for i in range(start, self.per_epoch):
            chunk = tokens[mine, i * self.length : (i + 1) * self.length]
            yield {"tokens": chunk, "target": first[mine].expand_as(chunk)}


def recall(task: Recall | None = None, fabric: Fabric | None = None, **recipe: Any) -> Fit:
    torch.manual_seed(0)
    recipe = {"optimizer": "adam", "lr": 0.02, "clip": 1.0, "batch_size": 16, "epochs": 2} | recipe
    engine = make_engine(task or Recall(), {"model": Recaller()}, fabric, **recipe)
    return Fit(engine, Chunks(rank=engine.fabric.global_rank, world=engine.fabric.world_size))


# ---------------------------------------------------------------- two named streams


class TwoSides(Task):
    """Stream "A" shows a curve left of zero, stream "B" right of it: the model must come to know both."""

    name = "two-sides"

    def update(self, batches: Any, engine: Any) -> dict[str, Tensor]:
        logs, loss = {}, torch.zeros(())
        for side in ("A", "B"):
            batch = next(batches[side])
            logs[side] = (engine.models["model"](batch["x"]) - batch["y"]).square().mean()
            loss = loss + logs[side]
        engine.optimise(loss)
        return {"loss": loss.detach(), **{side: value.detach() for side, value in logs.items()}}


def two_sides(**recipe: Any) -> Fit:
    """Epochs of 7 batches of 8 ("A", which counts) and of 5 batches of 4 ("B")."""
    generator = torch.Generator().manual_seed(0)
    streams = {}
    for side, sign, count, size in (("A", -1, 60, 8), ("B", 1, 23, 4)):
        x = sign * torch.rand(count, 1, generator=generator)
        streams[side] = Shuffled(InMemory({"x": x, "y": torch.sin(3 * x)}), size, 0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
    recipe = {"optimizer": "adam", "lr": 0.02, "batch_size": 8, "epochs": 2} | recipe
    return Fit(make_engine(TwoSides(), {"model": model}, **recipe), streams)
