"""Architecture search by weight sharing: a network of all operations, and a player that decides between them.

The weights learn from one part of the training data (stream "train"), the architecture from the other (stream
"validation"), in turn. The run's own validation split stays aside, for evaluation.

Legend: B batch, E edges, K classes, O operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.tasks.architecture_search.hypergradient import by_differences, second_order
from lamina.tasks.architecture_search.options import DartsOptions, EnasOptions, SharingOptions
from lamina.tasks.base import Batch, Batches, Call, Engine, Task
from lamina.tasks.classification import Classification, balanced_weights
from lamina.tasks.kind import TaskKind, TaskSetup, serves_targets
from lamina.tasks.verbs import VERBS

WEIGHTS, ALPHAS, CONTROLLER = "weights", "alphas", "controller"
TRAIN, VALIDATION = "train", "validation"


class ArchitectureSearch(Classification):
    """Base class: a classifier whose ``weights`` and second player are trained in turn; the last weights are kept.

    A model holds both players as attributes; ``weights(x, choices) -> logits (B, K)``.
    """

    name = "architecture-search"
    average = (WEIGHTS,)
    monitor = None  # type: ignore[assignment] # of the base class it is never None
    mixes = False
    architect: str
    """the second player"""
    options: SharingOptions

    def __init__(self, classes: int, call: Call, options: SharingOptions, **settings: Any) -> None:
        super().__init__(classes, call, **settings)
        self.options = options
        self.players = (WEIGHTS, self.architect)
        self.shares = {TRAIN: 1 - options.share, VALIDATION: options.share}

    def initialise(self, model: nn.Module) -> None:
        """Raises UsageError for a model without the players."""
        missing = [player for player in self.players if not isinstance(getattr(model, player, None), nn.Module)]
        if missing:
            raise UsageError(
                f"the task {self.name} with this objective is for models with {' and '.join(self.players)}, as "
                f"attributes: {type(model).__name__.lower()} has no {missing[0]}"
            )

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        """The recipe for the weights; for the second player Adam at a constant rate."""
        if player == WEIGHTS:
            return recipe
        own = self.options
        return replace(
            recipe,
            optimizer="adam",
            lr=own.lr,
            beta1=own.beta1,
            beta2=own.beta2,
            weight_decay=own.weight_decay,
            decay_norm_and_bias=True,
            schedule="constant",
            warmup=0.0,
            clip=None,
            layer_decay=1.0,
        )

    def weights_step(self, engine: Engine, batch: Batch, choices: Any) -> dict[str, Tensor]:
        """A batch of the weights' step; detached scalars to log."""
        (x,), _ = self.call(batch)
        logits_BK = engine.models[WEIGHTS](x, choices)
        loss = self.training_cost(logits_BK, batch["target"])
        engine.optimise(loss + self.untouched(engine.plain[WEIGHTS]), WEIGHTS)
        return {"loss": loss.detach(), **self.scores(logits_BK.detach(), batch["target"])}

    def untouched(self, network: nn.Module) -> Tensor | float:
        """A zero whose gradient is a zero for each weight, where some are not in every architecture."""
        return 0.0

    def scores(self, logits_BK: Tensor, target_B: Tensor) -> dict[str, Tensor]:
        """What is logged beside the loss."""
        return {"accuracy": (logits_BK.argmax(1) == target_B).float().mean()}

    def training_cost(self, logits_BK: Tensor, target_B: Tensor) -> Tensor:
        """The loss with class weights and smoothing."""
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(logits_BK)
        return self.cost(logits_BK, target_B, self.class_weights, self.label_smoothing)


class Darts(ArchitectureSearch):
    """DARTS: the alphas descend the loss on their data, as given the weights (first order), or as after a step of the
    weights that answers them (second order).

    Example: ``Darts(10, preprocess.call, DartsOptions(order="second"))``
    """

    architect = ALPHAS
    options: DartsOptions

    def __init__(self, classes: int, call: Call, options: DartsOptions | None = None, **settings: Any) -> None:
        super().__init__(classes, call, options or DartsOptions(), **settings)
        if self.options.order != "first":
            self.differentiated_twice = (WEIGHTS,)

    def update(self, batches: Batches, engine: Engine) -> dict[str, Tensor]:
        """A step of the alphas, then one of the weights, each on ``engine.accumulate`` batches."""
        logs: dict[str, Tensor] = {}
        trained = [next(batches[TRAIN]) for _ in range(engine.accumulate)]
        for batch in trained:
            other = next(batches[VALIDATION])
            if engine.progress >= self.options.warmup:
                _add(logs, {"search_loss": self.alphas_step(engine, batch, other)})
        with torch.no_grad():
            mixtures = engine.plain[ALPHAS]()
        for batch in trained:
            _add(logs, self.weights_step(engine, batch, mixtures))
        return {name: value / engine.accumulate for name, value in logs.items()}

    def alphas_step(self, engine: Engine, batch: Batch, other: Batch) -> Tensor:
        """A batch of the alphas' step; their loss, detached."""
        (x,), _ = self.call(other)
        with engine.frozen(WEIGHTS):
            if self.options.order == "first" or self.options.xi == 0:
                loss = self.training_cost(engine.models[WEIGHTS](x, engine.models[ALPHAS]()), other["target"])
                engine.optimise(loss, ALPHAS)
                return loss.detach()
        losses: list[Tensor] = []
        gradient = self.hypergradient(engine, batch, other, losses)
        alphas = list(engine.plain[ALPHAS].parameters())
        # a loss whose gradient is this one
        engine.optimise(torch.stack([(a * g).sum() for a, g in zip(alphas, gradient, strict=True)]).sum(), ALPHAS)
        return losses[0]

    def hypergradient(self, engine: Engine, batch: Batch, other: Batch, losses: list[Tensor]) -> list[Tensor]:
        """The gradient for each parameter of the alphas through a step of the weights; ``losses`` gets the loss after
        it. Running statistics are left alone."""
        network, alphas = engine.plain[WEIGHTS], engine.plain[ALPHAS]
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}

        def loss_on(part: Batch) -> Callable[[Mapping[str, Tensor]], Tensor]:
            (x,), _ = self.call(part)
            return lambda weights: self.training_cost(
                functional_call(network, {**weights, **buffers}, (x, alphas())), part["target"]
            )

        def judged(weights: Mapping[str, Tensor]) -> Tensor:
            loss = loss_on(other)(weights)
            losses.append(loss.detach())
            return loss

        xi = engine.rate if self.options.xi is None else self.options.xi
        weights, parameters = dict(network.named_parameters()), list(alphas.parameters())
        if self.options.order == "differences":
            return by_differences(loss_on(batch), judged, weights, parameters, xi, self.options.epsilon)
        return second_order(loss_on(batch), judged, weights, parameters, xi)


class Enas(ArchitectureSearch):
    """ENAS: the weights learn from architectures that the controller samples; the controller learns, by REINFORCE,
    which of them are right about more of its data with these weights.

    The rewards' moving average is the task's own state. A sampled architecture is judged in training mode, by the
    statistics of its batch; the one that is evaluated, the most probable, by statistics measured for it.
    """

    architect = CONTROLLER
    options: EnasOptions

    def __init__(self, classes: int, call: Call, options: EnasOptions | None = None, **settings: Any) -> None:
        super().__init__(classes, call, options or EnasOptions(), **settings)
        self.average_reward: float | None = None

    def update(self, batches: Batches, engine: Engine) -> dict[str, Tensor]:
        """A step of the weights on ``engine.accumulate`` batches, an architecture each; every ``interval`` steps one of
        the controller."""
        logs: dict[str, Tensor] = {}
        for _ in range(engine.accumulate):
            with torch.no_grad():
                (choices,) = engine.plain[CONTROLLER](1).plans
            _add(logs, self.weights_step(engine, next(batches[TRAIN]), choices))
        if engine.progress >= self.options.warmup and (engine.step + 1) % self.options.interval == 0:
            for _ in range(engine.accumulate):
                _add(logs, self.controller_step(engine, next(batches[VALIDATION])))
        return {name: value / engine.accumulate for name, value in logs.items()}

    def controller_step(self, engine: Engine, batch: Batch) -> dict[str, Tensor]:
        """A batch of the controller's step: -(reward - average) log p, a mean over sampled architectures."""
        sampled = engine.models[CONTROLLER](self.options.samples)
        reward_A = torch.stack([self.reward(engine.plain[WEIGHTS], batch, plan) for plan in sampled.plans])
        reward_A = reward_A + self.options.entropy * sampled.entropy_A.detach()
        mean = float(reward_A.mean())
        before, decay = self.average_reward, self.options.baseline
        self.average_reward = mean if before is None else decay * before + (1 - decay) * mean
        loss = -((reward_A - self.average_reward) * sampled.log_probability_A).mean()
        engine.optimise(loss, CONTROLLER)
        return {"reward": reward_A.mean(), "choice_entropy": sampled.entropy_A.detach().mean()}

    @torch.no_grad()
    def reward(self, network: nn.Module, batch: Batch, choices: Any) -> Tensor:
        """The share of a batch that an architecture is right about, with the shared weights."""
        (x,), _ = self.call(batch)
        right_B: Tensor = network(x, choices).argmax(1) == batch["target"]
        return right_B.float().mean()

    def untouched(self, network: nn.Module) -> Tensor | float:
        """Weights out of use go on with their momentum and decay, as in the released code; torch's fused optimisers
        need every gradient."""
        return 0.0 * torch.stack([weight.sum() for weight in network.parameters()]).sum()

    def state_dict(self) -> dict[str, Any]:
        return {"average_reward": self.average_reward}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average_reward = state["average_reward"]


def _add(logs: dict[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        logs[name] = logs[name] + value if name in logs else value


TASKS_OF: dict[str, Callable[..., ArchitectureSearch]] = {"darts": Darts, "enas": Enas}


def make(setup: TaskSetup) -> Task:
    """Raises UsageError for the second order on several devices."""
    objective, recipe = setup.objective, setup.recipe
    if recipe.processes > 1 and getattr(objective.options, "order", "first") != "first":
        raise UsageError("the second order runs on one device: use --devices 1, or --objective.order first")
    return TASKS_OF[objective.name](
        setup.preprocess.target.outputs,
        setup.preprocess.call,
        objective.options,
        label_smoothing=recipe.label_smoothing,
        class_weights=balanced_weights(setup),
    )


KIND = TaskKind(
    name="architecture-search",
    make=make,
    serves=serves_targets("classification"),
    objectives={"darts": DartsOptions, "enas": EnasOptions},
    verbs=VERBS["architecture-search"],
    weighs_classes=True,
    automatic=False,
)
