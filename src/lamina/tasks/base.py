"""The contract of a task: what the loop asks of it, and what the loop gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.options.recipe import Recipe

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
    def models(self) -> Mapping[str, nn.Module]:
        """The players as they are called in training: on their device, in the recipe's precision."""

    @property
    def plain(self) -> Mapping[str, nn.Module]:
        """The players themselves, in float32: for gradients of gradients, ``torch.autograd.grad`` of their output."""

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

    def optimise(self, loss: Tensor, *players: str) -> bool:
        """One backward into one player ("model" where none is named) or several; at every ``accumulate``-th call clip,
        step and average each. True when the optimisers stepped."""

    def frozen(self, player: str) -> AbstractContextManager[None]:
        """No gradients into this player's parameters inside the block."""


class EngineAtRest:
    """An engine outside training: a task's loss can be asked for inspection. It cannot optimise."""

    models: Mapping[str, nn.Module] = {}
    plain: Mapping[str, nn.Module] = {}
    step = 0
    images_seen = 0
    progress = 1.0
    phase: Phase | None = None
    accumulate = 1
    carry: Any = None

    def optimise(self, loss: Tensor, *players: str) -> bool:
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
    sides: tuple[str, ...] = ()
    """names of the unpaired sets that it draws from, ``next(batches["A"])``; empty: one set"""
    differentiated_twice: tuple[str, ...] = ()
    """players whose gradients are part of a loss: they are never compiled, and called as ``engine.plain[player]``"""
    find_unused_parameters: bool = False
    """whether some parameters get no gradient in some updates (of several processes, which wait for each other's)"""
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

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        """The recipe under which a player is optimised: another rate, other betas, another clip than the run's."""
        return recipe

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """What is fitted once the weights stand, over ``batches`` of the validation split: thresholds, latent moments.

        The model is in evaluation mode, gradients are off. The run keeps it; evaluation, prediction and export use it.
        """
        return {}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        """Use what ``finalize`` gave."""

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
