"""The interface of a task, and of the engine that the training loop passes to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from lamina.data.streams import WEIGHT
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.tasks.facts import shortfall

Batch = dict[str, Tensor]
LOWER_IS_BETTER = ("loss", "error", "perplexity", "bits_per_character", "rmse", "mae", "mse")
"""metrics of our tasks of which less is better; of the others more"""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stage of training; a change of ``index`` starts the stage and a new epoch of the data.

    Example: ``Phase(index=1, batch_size=16, resolution=64, reset_optimisers=True)``
    """

    index: int
    batch_size: int | None = None
    """global batch size; None: the recipe's"""
    rate: float = 1.0
    """factor on the learning rate"""
    resolution: int | None = None
    """for the task's own use"""
    fade: float = 1.0
    """weight of the new resolution; may change from step to step within a phase"""
    reset_optimisers: bool = False
    """reset the state of the optimisers when the phase begins"""


@dataclass(frozen=True, kw_only=True)
class PhaseLength:
    """A phase that a training comes to, for the plan: ``PhaseLength(name="8 x 8", images=None, batch_size=128)``."""

    name: str
    images: int | None
    """that it takes; None: to the end"""
    batch_size: int
    """over all processes"""


class Batches(Protocol):
    """The batches of an update: ``next(batches)``, or ``next(batches["A"])`` for a named stream."""

    def __next__(self) -> Batch: ...

    def __getitem__(self, name: str) -> Iterator[Batch]: ...


class Engine(Protocol):
    """What the training loop passes to a task."""

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """The players to call in training: on their device, in the recipe's precision."""

    @property
    def plain(self) -> Mapping[str, nn.Module]:
        """The unwrapped players in float32, for gradients of gradients (``torch.autograd.grad`` of their output)."""

    @property
    def step(self) -> int:
        """Updates done so far."""

    @property
    def images_seen(self) -> int:
        """Samples drawn from the first stream so far, over all processes."""

    @property
    def progress(self) -> float:
        """Share of training done, 0 to 1."""

    @property
    def rate(self) -> float:
        """The recipe's learning rate at this update, by its schedule."""

    @property
    def phase(self) -> Phase | None: ...

    @property
    def accumulate(self) -> int: ...

    carry: Any
    """Detached tensors carried from update to update (truncated back-propagation); saved in checkpoints."""

    def optimise(self, loss: Tensor, *players: str) -> bool:
        """Backward into one or several players (default "model"); every ``accumulate``-th call clips, steps and
        averages each. Returns whether the optimisers stepped."""

    def frozen(self, player: str) -> AbstractContextManager[None]:
        """No gradients into this player's parameters inside the block."""


class EngineAtRest:
    """An engine outside training, to evaluate a task's loss (inspection). It cannot optimise."""

    models: Mapping[str, nn.Module] = {}
    plain: Mapping[str, nn.Module] = {}
    step = 0
    images_seen = 0
    progress = 1.0
    rate = 0.0
    phase: Phase | None = None
    accumulate = 1
    carry: Any = None

    def optimise(self, loss: Tensor, *players: str) -> bool:
        raise RuntimeError("nothing is being trained")

    def frozen(self, player: str) -> AbstractContextManager[None]:
        raise RuntimeError("nothing is being trained")


class Task:
    """The base class of tasks. Implement ``loss`` for one objective, ``update`` for several players.

    Example::

        class Reconstruction(Task):
            name, monitor = "reconstruction", ("loss", "min")

            def loss(self, model, batch, engine):
                return F.mse_loss(model(batch["image"]), batch["image"]), {}
    """

    name: str = "task"
    players: tuple[str, ...] = ("model",)
    """players with an optimiser"""
    average: tuple[str, ...] = ("model",)
    """players with an exponential moving average, if the recipe has ``ema``"""
    monitor: tuple[str, Literal["min", "max"]] | None = None
    """the validation metric that selects the best weights; None: the last weights are kept"""
    lower_is_better: tuple[str, ...] = LOWER_IS_BETTER
    """metrics of which less is better, for a recipe's ``monitor``; of the others more"""
    constant: str = "the same"
    """the best constant prediction in words, to which evaluation compares the model: "the most frequent class"; see
    ``tasks.facts``"""
    mixes: bool = False
    """whether targets can be mixed, as mixup and CutMix require"""
    needs_method: str | None = None
    """a method that the model must have besides forward"""
    sides: tuple[str, ...] = ()
    """names of the unpaired data sets to draw from, ``next(batches["A"])``; empty: one set"""
    shares: Mapping[str, float] = {}
    """streams by name that each draw from a part of the training data, and the shares of these parts; empty: one
    stream"""
    differentiated_twice: tuple[str, ...] = ()
    """players whose gradients are part of a loss: never compiled, and called as ``engine.plain[player]``"""
    weighs_processes: bool = False
    """whether ``loss`` weighs each process by its part of the batch itself, as a mean over tokens has to"""
    find_unused_parameters: bool = False
    """whether some parameters get no gradient in some updates (an option of DDP)"""
    forward_methods: Mapping[str, tuple[str, ...]] = {}
    """methods other than forward that the task calls on a player (DDP has to know them)"""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should read before training, a sentence each."""
        return ()

    def initialise(self, model: nn.Module) -> None:
        """Called once on a new model, before training: weights that the objective decides, such as a frozen part's.
        Raises UsageError for options that cannot be used."""

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and detached scalars to log."""
        raise NotImplementedError

    def update(self, batches: Batches, engine: Engine) -> dict[str, Tensor]:
        """One optimiser step on ``engine.accumulate`` batches; returns detached scalars to log, "loss" among them."""
        total: dict[str, Tensor] = {}
        for _ in range(engine.accumulate):
            batch = next(batches)
            loss, logs = self.loss(engine.models[self.players[0]], batch, engine)
            if WEIGHT in batch and not self.weighs_processes:
                weight = batch[WEIGHT][0].to(loss.device)
                loss, logs = loss * weight, {name: value.double() * weight for name, value in logs.items()}
            engine.optimise(loss, self.players[0])
            for name, value in {"loss": loss.detach(), **logs}.items():
                total[name] = total[name] + value if name in total else value
        if engine.accumulate == 1:
            return total
        return {name: value / engine.accumulate for name, value in total.items()}

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        """The recipe of a player, e.g. with its own rate, betas or clip: ``replace(recipe, beta1=0.5)``."""
        return recipe

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """Values fitted after training on ``batches`` of the validation split, such as thresholds or latent moments.

        The model is in evaluation mode, gradients are off. The run saves them for evaluation, prediction and export.
        """
        return {}

    def finalize_training(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """As ``finalize``, of the training split in its order: kept beside that. Called where it is overridden."""
        return {}

    def held_out(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """What ``finalize_across`` joins, of samples that a model was not trained on; ``finalize`` has seen those that
        it was. For tasks whose row says ``cross_fits``."""
        raise NotImplementedError

    def finalize_across(
        self, model: nn.Module, batches: Iterable[Batch], folds: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """``finalize`` without validation data: of all training samples, and ``held_out`` of each fold of them."""
        raise NotImplementedError

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        """Use the values returned by ``finalize``."""

    def length_notes(self, images: int, batch_size: int, world: int) -> list[str]:
        """What the user should know of a training of about so many samples with these batches. Raises UsageError."""
        return []

    def phases(self, images: int, batch_size: int) -> list[PhaseLength]:
        """The phases that a training of so many samples comes to; none where it has a single one."""
        return []

    def phase(self, images_seen: int) -> Phase | None:
        """The phase after this many samples; None if training has a single phase."""
        return None

    def epoch_started(self, engine: Engine) -> None:
        """Called before the first batch of an epoch; resets the carried state."""
        engine.carry = None

    def state_dict(self) -> dict[str, Any]:
        """The task's own state, as tensors and Python primitives."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``."""

    def metrics(self) -> Any:
        """New metrics for ``evaluate_step``, on the CPU: a torchmetrics.MetricCollection, or a Metric that computes
        several named values."""
        raise NotImplementedError

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        """Update the metrics with one batch; the model is in evaluation mode, gradients are off."""
        raise NotImplementedError

    def evaluated_with(self, options: Any) -> Task:
        """The task as ``evaluate`` uses it with these options, those of its verb: with another metric, say."""
        return self

    def shortfall(self, metrics: Mapping[str, float]) -> str | None:
        """What to tell of a model that is no better than a constant prediction, as the end of a sentence; else None.

        It reads ``tasks.facts`` among the metrics.
        """
        return shortfall(metrics, self.constant, self.lower_is_better)

    def predicted_with(self, options: Any) -> Task:
        """The task as ``predict`` uses it with these options, those of its verb: with another threshold, say."""
        return self

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Predictions for a batch: tensors by name, with the batch on dimension 0."""
        raise NotImplementedError

    def answer(self, prediction: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What an exported file gives that predicts by itself: the prediction, and what is decided by it."""
        return dict(prediction)

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """One row of ``predict`` as plain values by name: the result of ``Run.predict`` for a sample."""
        return {name: value.tolist() for name, value in prediction.items()}

    def format_rows(self, prediction: Mapping[str, Tensor], target: TargetCode) -> list[dict[str, Any]]:
        """The rows that a sample has in the result of ``Run.predict``: one, or one for each step of a forecast."""
        return [self.format_prediction(prediction, target)]


Call = Callable[[Batch], tuple[tuple[Any, ...], dict[str, Any]]]
"""maps a batch to the arguments of the model: ``Preprocess.call``"""


def one_tensor(key: str) -> Call:
    """A ``Call`` that passes the batch entry ``key``: ``one_tensor("image")``."""
    return lambda batch: ((batch[key],), {})


class OneOutput(Task):
    """Base class of tasks for models that return a single tensor."""

    call: Call
    prediction_key: str
    """the entry of ``predict`` to compare with the target"""

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's output for a batch."""
        args, kwargs = self.call(batch)
        out: Tensor = model(*args, **kwargs)
        return out

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        """The mean (B, K) of several outputs for the same samples (ten-crop evaluation). Raises UsageError if the task
        defines none."""
        raise UsageError(f"the task '{self.name}' cannot average its outputs over ten crops")
