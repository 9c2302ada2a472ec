"""The engine: models and optimisers on Lightning Fabric, and one optimiser step done right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lamina.errors import TrainingError
from lamina.tasks.base import Phase, Task
from lamina.training.optimisers import make_optimiser
from lamina.training.recipe import Recipe
from lamina.training.schedules import Plateau, check_schedule, rate_factor

FABRIC_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed", "fp64": "32-true"}
# fp64: Fabric's "64-true" casts every output back to fp32; its no-op "32-true" over a model in double keeps all digits.


class Engine:
    """What the loop hands to a task (see ``lamina.tasks.base.Engine``), and what a checkpoint must hold of it.

    ``raw`` are the modules themselves, ``models`` the same ones wrapped by Fabric (device, precision, DDP).
    """

    def __init__(self, fabric: Fabric, task: Task, models: Mapping[str, nn.Module], recipe: Recipe) -> None:
        check_schedule(recipe)
        self.fabric, self.task, self.recipe = fabric, task, recipe
        self.raw = {player: models[player] for player in task.players}
        self.models: dict[str, nn.Module] = {}
        self.optimisers: dict[str, Any] = {}
        for player, module in self.raw.items():
            if recipe.precision == "fp64":
                module.double()
            if recipe.compile:
                module.compile()
            wrapped, optimiser = fabric.setup(module, make_optimiser(module, recipe))
            for method in task.forward_methods.get(player, ()):
                wrapped.mark_forward_method(method)
            self.models[player], self.optimisers[player] = wrapped, optimiser
        self.accumulate = recipe.accumulate
        self.plateau = Plateau(recipe.gamma, recipe.plateau_patience)
        self.step = 0
        self.images_seen = 0
        self.progress = 0.0
        self.progress_after = 0.0
        self.phase: Phase | None = None
        self.carry: Any = None
        self.average = self._start_average() if recipe.ema else {}
        self._sources = {p: [_floating(self.raw[p])[name] for name in self.average[p]] for p in self.average}
        self._pending = dict.fromkeys(task.players, 0)  # backward passes since the last optimiser step
        self._watched: dict[str, Tensor] = {}  # sums of losses on a device whose values are read now and then only

    @property
    def rate(self) -> float:
        """The learning rate of the update under way."""
        factor = rate_factor(self.recipe, self.progress, self.progress_after) * self.plateau.factor
        return self.recipe.lr * factor * (self.phase.rate if self.phase else 1.0)

    @property
    def settled(self) -> bool:
        """Whether no gradient is waiting for an optimiser step: only then is a checkpoint the whole truth."""
        return not any(self._pending.values())

    def optimise(self, loss: Tensor, player: str = "model") -> bool:
        """Backward; at every ``accumulate``-th call clip, step, zero and average. True when the optimiser stepped."""
        self._watch(loss, player)
        model, optimiser = self.models[player], self.optimisers[player]
        self._pending[player] += 1
        last = self._pending[player] == self.accumulate
        if last:
            self.fabric.backward(loss if self.accumulate == 1 else loss / self.accumulate)
        else:
            with self.fabric.no_backward_sync(model):
                self.fabric.backward(loss / self.accumulate)
            return False
        if self.recipe.clip is not None:
            self.fabric.clip_gradients(model, optimiser, max_norm=self.recipe.clip)
        share = self.rate / self.recipe.lr
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * share
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        self._pending[player] = 0
        if player in self.average:
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average[player].values()), self._sources[player], 1 - self.recipe.ema)
        return True

    @contextmanager
    def frozen(self, player: str) -> Iterator[None]:
        """No gradients into this player's parameters inside the block."""
        trainable = [p for p in self.raw[player].parameters() if p.requires_grad]
        for parameter in trainable:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the averaged players have their averaged weights; others, and all without EMA, their own."""
        own = {player: [t.detach().clone() for t in self._sources[player]] for player in self.average}
        with torch.no_grad():
            for player, average in self.average.items():
                torch._foreach_copy_(self._sources[player], list(average.values()))
        try:
            yield
        finally:
            with torch.no_grad():
                for player, values in own.items():
                    torch._foreach_copy_(self._sources[player], values)

    def check_finite(self) -> None:
        """Raise TrainingError where a loss was not finite since the last check, on a device not read every step."""
        for player, total in self._watched.items():
            if not math.isfinite(total.item()):
                self._not_finite(player, "at or shortly before")
        self._watched.clear()

    def state_dict(self) -> dict[str, Any]:
        """Everything of the engine that the next step depends on. Collective where something is carried under DDP."""
        return {
            "models": {player: module.state_dict() for player, module in self.raw.items()},
            "optimisers": {player: optimiser.state_dict() for player, optimiser in self.optimisers.items()},
            "average": self.average,
            "precision": self.fabric._precision.state_dict(),
            "plateau": self.plateau.state_dict(),
            "carry": self._carries(),
            "task": self.task.state_dict(),
            "step": self.step,
            "images_seen": self.images_seen,
            "progress": [self.progress, self.progress_after],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for player, module in self.raw.items():
            module.load_state_dict(state["models"][player])
            self.optimisers[player].load_state_dict(state["optimisers"][player])
        for player, values in self.average.items():
            for name, value in values.items():
                value.copy_(state["average"][player][name])
        self.fabric._precision.load_state_dict(state["precision"])
        self.plateau.load_state_dict(state["plateau"])
        self.carry = self.fabric.to_device(state["carry"][self.fabric.global_rank]) if state["carry"] else None
        self.task.load_state_dict(state["task"])
        self.step, self.images_seen = state["step"], state["images_seen"]
        self.progress, self.progress_after = state["progress"]

    def _start_average(self) -> dict[str, dict[str, Tensor]]:
        return {
            player: {name: t.detach().clone() for name, t in _floating(self.raw[player]).items()}
            for player in self.task.average
        }

    def _carries(self) -> list[Any]:
        """What each rank carries, in order of rank; empty where nothing is carried."""
        if self.carry is None:
            return []
        if self.fabric.world_size == 1:
            return [self.carry]
        carries: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(carries, self.carry)
        return carries

    def _watch(self, loss: Tensor, player: str) -> None:
        if loss.device.type == "cpu":
            if not math.isfinite(loss.item()):
                self._not_finite(player, "at")
        else:
            value = loss.detach()
            self._watched[player] = self._watched[player] + value if player in self._watched else value

    def _not_finite(self, player: str, when: str) -> None:
        raise TrainingError(f"the loss of '{player}' is not finite {when} step {self.step + 1} (rate {self.rate:.3g})")


def _floating(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and floating-point buffers by name: the tensors themselves, not copies."""
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
