"""The engine: models and optimisers on Lightning Fabric, and the optimiser step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import ModelParallelStrategy
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn

from lamina.errors import RunError, TrainingError
from lamina.options.recipe import Recipe
from lamina.tasks.base import Phase, Task
from lamina.torch_internals import (
    call_uncompiled,
    foreach_copy_,
    foreach_lerp_,
    precision_plugin,
    set_compiled_call,
    set_ddp_options,
)
from lamina.training.compiling import compiled, leave_loops_out
from lamina.training.finetuning import checkpoint_parts, checkpoint_stages, freeze
from lamina.training.optimisers import make_optimiser
from lamina.training.schedules import Plateau, check_schedule, rate_factor
from lamina.training.sharding.blocks import expect_shardable, gather_for, innermost_blocks
from lamina.training.sharding.whole import WholeCopy, divided_state, local, mesh_of
from lamina.training.statistics import RunningStatistics

FABRIC_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed", "fp64": "32-true"}
# fp64: Fabric's "64-true" casts every output back to fp32; its no-op "32-true" over a double model keeps all digits.

NO_RAMP = 10**12
"""number of EMA updates beyond which the decay has reached the recipe's"""


class Engine:
    """The engine passed to a task (see ``lamina.tasks.base.Engine``), and its checkpoint state.

    ``raw`` (``plain`` for tasks) are the modules themselves, ``models`` the same modules wrapped by Fabric (device,
    precision, DDP). Each player is optimised with the recipe from ``Task.recipe_of``.

    Example: ``Engine(Fabric(accelerator="cpu"), task, {"model": model}, Recipe(epochs=1))``
    """

    def __init__(self, fabric: Fabric, task: Task, models: Mapping[str, nn.Module], recipe: Recipe) -> None:
        check_schedule(recipe)
        self.fabric, self.task, self.recipe = fabric, task, recipe
        self.raw = {player: models[player] for player in task.players}
        self.recipes = {player: task.recipe_of(player, recipe) for player in task.players}
        for player_recipe in self.recipes.values():
            check_schedule(player_recipe)
        self.notes = _compile_notes(task, recipe)
        self.divided = isinstance(fabric.strategy, ModelParallelStrategy)
        """whether the net is divided among the processes, block by block (FSDP)"""
        self._whole: WholeCopy | None = None
        if recipe.strategy == "fsdp":
            expect_shardable(self.raw[task.players[0]], task, recipe)
            if not self.divided:
                alone = "--strategy fsdp: one process has the whole net; --devices N divides it among N"
                self.notes = (*self.notes, alone)
        # buffers are broadcast before every forward, and several players have several forwards in one update
        own_buffers = fabric.world_size > 1 and len(task.players) > 1
        if fabric.world_size > 1 and not self.divided:
            buffers = {"broadcast_buffers": False} if own_buffers else {}
            unused = {"find_unused_parameters": True} if task.find_unused_parameters else {}
            set_ddp_options(fabric, gradient_as_bucket_view=True, **buffers, **unused)  # no copy of the gradients
        self.models: dict[str, nn.Module] = {}
        self.optimisers: dict[str, Any] = {}
        self._frozen_modules = freeze(self.raw, recipe.freeze) if recipe.freeze else []
        for player, module in self.raw.items():
            if recipe.precision == "fp64":
                module.double()
            if recipe.channels_last:
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self.divided:
                self._whole = WholeCopy(module)
            if recipe.compile and player not in task.differentiated_twice:
                _compile(module, fabric.device.type)
            if recipe.checkpointing and recipe.strategy == "fsdp":
                checkpoint_parts(innermost_blocks(module))  # within what is gathered at once
            elif recipe.checkpointing:
                checkpoint_stages(module)
            if self.divided:  # the optimiser's parameters are the divided ones
                wrapped = fabric.setup_module(module, move_to_device=False)
                optimiser = fabric.setup_optimizers(make_optimiser(module, self.recipes[player]))
            else:
                wrapped, optimiser = fabric.setup(module, make_optimiser(module, self.recipes[player]))
            for method in task.forward_methods.get(player, ()):
                if self.divided:
                    gather_for(module, method)
                if fabric.world_size > 1 and not self.divided:
                    wrapped.mark_forward_method(method)
                else:  # here Fabric would bypass its wrapper and call the method without mixed precision
                    object.__setattr__(wrapped, method, _cast(fabric, getattr(module, method)))
            self.models[player], self.optimisers[player] = wrapped, optimiser
        self.accumulate = recipe.accumulate
        self.plateau = Plateau(recipe.gamma, recipe.plateau_patience)
        self.step = 0
        self.images_seen = 0
        self.progress = 0.0
        self.progress_after = 0.0
        self.phase: Phase | None = None
        self.carry: Any = None
        self.stops_together = False
        """whether all processes stop after this step"""
        self.average = self._start_average() if recipe.ema else {}
        self.averaged_updates = dict.fromkeys(self.average, 0)
        self.statistics = RunningStatistics(self.raw, self._frozen_modules)
        self._own_statistics = own_buffers and bool(self.statistics.norms)
        self._sources = {p: [local(_floating(self.raw[p])[name]) for name in self.average[p]] for p in self.average}
        self._averages = {p: [local(tensor) for tensor in self.average[p].values()] for p in self.average}
        self._pending = dict.fromkeys(task.players, 0)  # backward passes since the last optimiser step
        self._waits_for_loss = fabric.device.type == "cpu"  # on other devices reading a value would stall
        self._watched: dict[str, Tensor] = {}  # on those: sums of losses, read every CHECK_EVERY steps

    @property
    def plain(self) -> Mapping[str, nn.Module]:
        """The unwrapped players, without autocast."""
        return self.raw

    @property
    def monitor(self) -> tuple[str, str] | None:
        """The validation metric that chooses the best weights, and whether less ("min") or more ("max") is better."""
        return monitored(self.task, self.recipe)

    @property
    def rate(self) -> float:
        """The learning rate of the current update."""
        return self._rate(self.recipe)

    def _rate(self, recipe: Recipe) -> float:
        factor = rate_factor(recipe, self.progress, self.progress_after) * self.plateau.factor
        return recipe.lr * factor * (self.phase.rate if self.phase else 1.0)

    @property
    def settled(self) -> bool:
        """Whether no gradient is pending; checkpoints are complete only then."""
        return not any(self._pending.values())

    @property
    def gathers(self) -> bool:
        """Whether saving is a collective call, because each process has a part of the net, carries its own state or has
        running statistics of its own."""
        return self.divided or self._carries or self._own_statistics

    @property
    def _carries(self) -> bool:
        return self.fabric.world_size > 1 and (self.carry is not None or bool(self.task.state_dict()))

    def train_mode(self) -> None:
        """Put models in training mode and frozen modules in evaluation mode: no batch statistics, no dropout."""
        for module in self.raw.values():
            module.train()
        for module in self._frozen_modules:
            module.eval()

    def optimise(self, loss: Tensor, *players: str) -> bool:
        """Backward into one or several players; every ``accumulate``-th call clips, steps and averages each. Returns
        whether the optimisers stepped."""
        players = players or ("model",)
        self._watch(loss, " and ".join(players))
        for player in players:
            if self._pending[player] == 0:  # not after the step: another player's loss may have left gradients here
                self.optimisers[player].zero_grad(set_to_none=True)
        # DDP averages over processes at every backward, including those that only accumulate: the sum is the same.
        self.fabric.backward(loss if self.accumulate == 1 else loss / self.accumulate)
        for player in players:
            self._pending[player] += 1
        due = [player for player in players if self._pending[player] >= self.accumulate]
        # fp16: gradients are unscaled here, as Fabric refuses to do it for fused optimisers, and the scale changes once
        # all players have stepped, as their gradients are of one scale
        scaler = getattr(precision_plugin(self.fabric), "scaler", None)
        for player in due:
            self._step(player, scaler)
        if scaler is not None and due:
            scaler.update()
        return bool(due)

    def _step(self, player: str, scaler: torch.amp.GradScaler | None) -> None:
        """Clip, step and average one player."""
        recipe, model, optimiser = self.recipes[player], self.models[player], self.optimisers[player]
        # An infinite norm raises no error here: fp16 skips such a step, otherwise the next loss is not finite.
        if scaler is not None:
            scaler.unscale_(optimiser.optimizer)
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(self.raw[player].parameters(), recipe.clip)
        elif recipe.clip is not None:
            self.fabric.clip_gradients(model, optimiser, max_norm=recipe.clip, error_if_nonfinite=False)
        share = self._rate(recipe) / recipe.lr
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * share
        if scaler is not None:
            scaler.step(optimiser.optimizer)
        else:
            optimiser.step()
        self._pending[player] = 0
        self.statistics.measured = {}  # they were those of the weights before
        if player in self.average:
            with torch.no_grad():
                foreach_lerp_(self._averages[player], self._sources[player], 1 - self._decay(player))
            self.averaged_updates[player] += 1

    def _decay(self, player: str) -> float:
        """The decay of the next update of a player's average: a ramp, so that it forgets the initial weights."""
        updates = self.averaged_updates[player]
        return min(self.recipes[player].ema, (1 + updates) / (10 + updates))

    def settling_window(self, player: str, momentum: float) -> float:
        """Number of batches that the running statistics of a norm are a mean of; averaged weights have a mean of
        those."""
        own = 1 / momentum if momentum else math.inf
        return own + (self.accumulate / (1 - self._decay(player)) if player in self.average else 0.0)

    def settling_notes(self, per_epoch: int, epochs_done: int, measurable: bool) -> list[str]:
        """A note where running statistics will not have settled at the end of the next epoch."""
        batches = per_epoch * (epochs_done + 1)
        note = self.statistics.note(self.settling_window, batches, per_epoch, measurable)
        return [] if note is None else [note]

    def measure_statistics(self, forward: Callable[[], None]) -> None:
        """Measure anew the running statistics that cannot have settled, for use in ``averaged``.

        ``forward`` calls the models on training data, as they are evaluated. The models are in evaluation mode.
        """
        due = self.statistics.unsettled(self.settling_window)
        if due:
            with self.averaged(), torch.no_grad():
                self.statistics.measure(due, forward)

    def join_statistics(self) -> None:
        """Before the weights are judged or saved: running statistics become the means over the processes. A collective
        call where each process has its own."""
        if self._own_statistics:
            self.statistics.join(self.average)

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
        """Inside the block averaged players use their EMA weights, and norms the statistics measured for these weights;
        the others are unchanged."""
        own = {player: [t.detach().clone() for t in self._sources[player]] for player in self.average}
        with torch.no_grad():
            for player, average in self._averages.items():
                foreach_copy_(self._sources[player], average)
        try:
            with self.statistics.applied():
                yield
        finally:
            with torch.no_grad():
                for player, values in own.items():
                    foreach_copy_(self._sources[player], values)

    def check_finite(self) -> None:
        """Raise TrainingError if a loss since the last check or a weight is not finite (a finite loss can have an
        infinite gradient)."""
        for player, total in self._watched.items():
            if not math.isfinite(total.item()):
                self._not_finite(player, "at or shortly before")
        self._watched.clear()
        for player, module in self.raw.items():
            if not self._everywhere(_is_finite(module)):
                raise TrainingError(
                    f"a weight of '{player}' is not finite after step {self.step} (rate {self.rate:.3g})"
                )

    def _everywhere(self, value: bool) -> bool:
        """Whether it is true in all processes, each of which has seen its part of a divided net."""
        if not self.divided:
            return value
        found = torch.tensor([float(value)], device=self.fabric.device)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MIN)
        return bool(found.item())

    @property
    def mesh(self) -> Any:
        """The processes among which the net is divided, one axis; None where it is not."""
        return mesh_of(self.raw) if self.divided else None

    def whole_model(self, model: nn.Module, needed: bool = True) -> nn.Module:
        """The model as it is judged: of a divided net a copy on the CPU of the first process, where it is needed.
        A collective call then."""
        if self._whole is None or not needed:
            return model
        with self.averaged():
            return self._whole.gather(model, keep=self.fabric.is_global_zero) or model

    def copy_of(self, model: nn.Module) -> nn.Module:
        """The model, to be given other weights: of a divided net its copy."""
        return model if self._whole is None else self._whole.model

    def state_dict(self) -> dict[str, Any]:
        """The engine state that the next step depends on. A collective call where each process carries its own."""
        return {
            "models": {player: module.state_dict() for player, module in self.raw.items()},
            "optimisers": {player: optimiser.state_dict() for player, optimiser in self.optimisers.items()},
            "average": self.average,
            "averaged_updates": self.averaged_updates,
            "precision": precision_plugin(self.fabric).state_dict(),
            "plateau": self.plateau.state_dict(),
            "carried": self._carried(),
            "norm_batches_before": self.statistics.state_dict(),
            "step": self.step,
            "images_seen": self.images_seen,
            "progress": [self.progress, self.progress_after],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore ``state_dict``. Raises RunError if the number of processes has changed and they carried state."""
        if self.divided:
            state = divided_state(state, self.raw, self.optimisers, self.average)
        for player, module in self.raw.items():
            module.load_state_dict(state["models"][player])
            self.optimisers[player].load_state_dict(state["optimisers"][player])
        for player, values in self.average.items():
            for name, value in values.items():
                value.copy_(state["average"][player][name])
        precision_plugin(self.fabric).load_state_dict(state["precision"])
        self.plateau.load_state_dict(state["plateau"])
        if carried := state["carried"]:
            if len(carried) != self.fabric.world_size:
                raise RunError(
                    f"{len(carried)} processes carried the state: resume with --devices {len(carried)}, or as many "
                    "processes of torchrun or srun"
                )
            mine = self.fabric.to_device(carried[self.fabric.global_rank])
            self.carry = mine["carry"]
            self.task.load_state_dict(mine["task"])
        self.step, self.images_seen = state["step"], state["images_seen"]
        # checkpoints from before the ramp have no count: their average continues without a ramp
        self.averaged_updates = state.get("averaged_updates", dict.fromkeys(self.average, NO_RAMP))
        self.statistics.load_state_dict(state.get("norm_batches_before"))
        self.progress, self.progress_after = state["progress"]

    def _start_average(self) -> dict[str, dict[str, Tensor]]:
        return {
            player: {name: t.detach().clone() for name, t in _floating(self.raw[player]).items()}
            for player in self.task.average
        }

    def _carried(self) -> list[dict[str, Any]]:
        """The carried state of each process, by rank; empty if there is none."""
        mine = {"carry": self.carry, "task": self.task.state_dict()}
        if self._carries:
            everyone: list[Any] = [None] * self.fabric.world_size
            torch.distributed.all_gather_object(everyone, move_data_to_device(mine, torch.device("cpu")))
            return everyone
        return [mine] if self.carry is not None or mine["task"] else []

    def _watch(self, loss: Tensor, player: str) -> None:
        if self._waits_for_loss:
            if not math.isfinite(loss.item()):
                self._not_finite(player, "at")
        else:
            value = loss.detach()
            self._watched[player] = self._watched[player] + value if player in self._watched else value

    def _not_finite(self, player: str, when: str) -> None:
        broken = [name for name, module in self.raw.items() if not _is_finite(module)]
        cause = "" if player in broken or not broken else f": a weight of '{broken[0]}' is not"
        where = f"{when} step {self.step + 1} (rate {self.rate:.3g})"
        raise TrainingError(f"the loss of '{player}' is not finite {where}{cause}")


def _is_finite(module: nn.Module) -> bool:
    """Whether all weights are numbers; of a divided net those of this process."""
    weights = [part.detach() for part in map(local, module.parameters()) if part.numel()]
    return not weights or math.isfinite(nn.utils.get_total_norm(weights, math.inf).item())


def monitored(task: Task, recipe: Recipe) -> tuple[str, str] | None:
    """The recipe's metric to monitor, else the task's own; None where nothing chooses between epochs."""
    if recipe.monitor is None:
        return task.monitor
    if task.monitor is not None and task.monitor[0] == recipe.monitor:
        return task.monitor
    return recipe.monitor, "min" if recipe.monitor in task.lower_is_better else "max"


def _compile_notes(task: Task, recipe: Recipe) -> tuple[str, ...]:
    """Notes for the user on players that are not compiled."""
    eager = [player for player in task.differentiated_twice if player in task.players]
    if not recipe.compile or not eager:
        return ()
    verb, whose = ("is", "its") if len(eager) == 1 else ("are", "their")
    return (
        f"{' and '.join(eager)} {verb} not compiled: torch.compile does not support gradients of {whose} gradients",
    )


def _compile(module: nn.Module, device: str) -> None:
    """``module.compile()`` that also works for torch's own modules, such as a bare nn.Sequential.

    torch 2.13 silently ignores those; wrapping the call in our own function makes the compiler trace into them. The
    parameters keep their names.
    """
    call = call_uncompiled(module)

    def forward(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    leave_loops_out(module)
    set_compiled_call(module, compiled(forward, device=device))


def _cast(fabric: Fabric, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a model, called in the precision that Fabric uses for forward."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = precision_plugin(fabric).convert_input((args, kwargs))
        with fabric.autocast():
            result = method(*args, **kwargs)
        return precision_plugin(fabric).convert_output(result)

    return call


def _floating(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and floating-point buffers by name: the tensors themselves, not copies. A module's ``unaveraged``
    names buffers that are no weights, such as a position in training."""
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    own = {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules()
        for name in getattr(part, "unaveraged", ())
    }
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and name not in own}
