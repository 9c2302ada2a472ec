"""The contract of a task: what the loop asks of it, and what the loop gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError

Batch = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stage of training that begins when its ``index`` first appears: it starts a new epoch of the data."""

    index: int
    batch_size: int | None = None
    """global batch size; None: the recipe's"""
    rate: float = 1.0
    """factor on the learning rate"""
    resolution: int | None = None
    """for the task's own use"""
    fade: float = 1.0
    """share of the new resolution; may change from step to step within a phase"""
    reset_optimisers: bool = False
    """forget the optimisers' running averages when the phase begins"""


class Batches(Protocol):
    """Where an update draws its batches: ``next(batches)``, or ``next(batches["A"])`` for a named stream."""

    def __next__(self) -> Batch: ...

    def __getitem__(self, name: str) -> Iterator[Batch]: ...


class Engine(Protocol):
    """What the loop hands to a task."""

    @property
    def models(self) -> Mapping[str, nn.Module]: ...

    @property
    def step(self) -> int:
        """Updates done so far."""

    @property
    def images_seen(self) -> int:
        """Samples drawn from the first stream so far, over all processes."""

    @property
    def progress(self) -> float:
        """Share of the training done, 0 to 1."""

    @property
    def phase(self) -> Phase | None: ...

    @property
    def accumulate(self) -> int: ...

    carry: Any
    """Detached tensors carried from update to update (truncated back-propagation); saved in checkpoints."""

    def optimise(self, loss: Tensor, player: str = "model") -> bool:
        """Backward; at every ``accumulate``-th call clip, step and average. True when the optimiser stepped."""

    def frozen(self, player: str) -> AbstractContextManager[None]:
        """No gradients into this player's parameters inside the block."""


class EngineAtRest:
    """An engine outside training: a task's loss can be asked for inspection. It cannot optimise."""

    models: Mapping[str, nn.Module] = {}
    step = 0
    images_seen = 0
    progress = 1.0
    phase: Phase | None = None
    accumulate = 1
    carry: Any = None

    def optimise(self, loss: Tensor, player: str = "model") -> bool:
        raise RuntimeError("nothing is being trained")

    def frozen(self, player: str) -> AbstractContextManager[None]:
        raise RuntimeError("nothing is being trained")


class Task:
    """What a model is trained for. One objective: write ``loss``. Several players: write ``update``."""

    name: str = "task"
    players: tuple[str, ...] = ("model",)
    """who has an optimiser"""
    average: tuple[str, ...] = ("model",)
    """who has an exponential moving average, when the recipe asks for one"""
    monitor: tuple[str, Literal["min", "max"]] | None = None
    """the validation metric that chooses the best weights; None: the last are the best"""
    mixes: bool = False
    """whether targets can be mixed, so that mixup and CutMix make sense"""
    needs_method: str | None = None
    """a method that the model must have beside forward"""
    forward_methods: Mapping[str, tuple[str, ...]] = {}
    """methods other than forward that the task calls on a player (they need marking under DDP)"""

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and detached scalars to log."""
        raise NotImplementedError

    def update(self, batches: Batches, engine: Engine) -> dict[str, Tensor]:
        """One optimiser step on ``engine.accumulate`` batches; returns detached scalars to log, "loss" among them."""
        total: dict[str, Tensor] = {}
        for _ in range(engine.accumulate):
            loss, logs = self.loss(engine.models[self.players[0]], next(batches), engine)
            engine.optimise(loss, self.players[0])
            for name, value in {"loss": loss.detach(), **logs}.items():
                total[name] = total[name] + value if name in total else value
        if engine.accumulate == 1:
            return total
        return {name: value / engine.accumulate for name, value in total.items()}

    def phase(self, images_seen: int) -> Phase | None:
        """The stage of training after this many samples; None where training has one stage."""
        return None

    def epoch_started(self, engine: Engine) -> None:
        """Called as the first batch of an epoch is drawn: what was carried does not belong to the new one."""
        engine.carry = None

    def state_dict(self) -> dict[str, Any]:
        """Whatever the task itself carries, as tensors and Python primitives."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` gave."""

    def metrics(self) -> Any:
        """What ``evaluate_step`` feeds in an evaluation, fresh and on the CPU: a torchmetrics.MetricCollection, or a
        Metric that computes several values by name."""
        raise NotImplementedError

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        """Feed one batch to the metrics; the model is in evaluation mode, gradients are off."""
        raise NotImplementedError

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The model's predictions for each input: tensors with the batch on dimension 0."""
        raise NotImplementedError

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """One row of what ``predict`` gives, as plain values by name: what ``Run.predict`` shows for a sample."""
        return {name: value.tolist() for name, value in prediction.items()}


Call = Callable[[Batch], tuple[tuple[Any, ...], dict[str, Any]]]
"""the arguments that a model is called with for a batch: ``Preprocess.call``"""


def one_tensor(key: str) -> Call:
    """A call with the one tensor that batches hold under ``key``: ``one_tensor("image")``."""
    return lambda batch: ((batch[key],), {})


class OneOutput(Task):
    """A task of models that give one tensor for a batch."""

    call: Call
    prediction_key: str
    """under which ``predict`` gives what stands beside the truth"""

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """What the model gives for a batch."""
        args, kwargs = self.call(batch)
        out: Tensor = model(*args, **kwargs)
        return out

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        """One output (B, K) from several of the same samples, for windows of an image. Raises UsageError where they
        have no mean."""
        raise UsageError(f"the outputs of the task '{self.name}' have no mean over ten crops")
