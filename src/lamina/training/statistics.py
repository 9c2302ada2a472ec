"""Running statistics of batch norm that few steps leave wrong, measured anew before the weights are judged.

A batch norm begins with mean 0 and variance 1 and moves towards those of each batch by ``momentum``. After t batches it
holds a mean over the last 1/momentum of them or so, and (1 - momentum)^t of what it began with. In a short training
both differ from the statistics of the present weights: evaluation then computes another function than training did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor, nn

from lamina.data.streams import Batch, Stream
from lamina.torch_internals import BatchOrInstanceNorm, foreach_copy_

WINDOWS = 10
"""Statistics have settled after this many times the batches that they are a mean of: what is left of the first ones is
below e^-10, and the weights of a tenth of the training count."""
BATCHES = 100
"""maximum number of training batches that statistics are measured on"""

RUNNING = ("running_mean", "running_var")

Window = Callable[[str, float], float]
"""number of batches that the statistics of a player's norm of a momentum are a mean of"""


class RunningStatistics:
    """The batch norms of the players, frozen ones left out, and what was measured for them.

    Example: ``RunningStatistics({"model": model}, frozen=[model.stem]).unsettled(window)``
    """

    def __init__(self, models: Mapping[str, nn.Module], frozen: Sequence[nn.Module] = ()) -> None:
        fixed = {part for module in frozen for part in module.modules()}
        self.norms: dict[str, BatchOrInstanceNorm] = {}
        self._players: dict[str, str] = {}
        for player, model in models.items():
            for name, module in model.named_modules():
                if module in fixed or not isinstance(module, BatchOrInstanceNorm):
                    continue
                if module.running_mean is not None and module.momentum != 0:
                    self.norms[f"{player}/{name}"], self._players[f"{player}/{name}"] = module, player
        self._before: dict[str, int] | None = {name: _tracked(norm) for name, norm in self.norms.items()}
        # batches of earlier trainings; None: this one was begun by a version that measured nothing anew
        self.measured: dict[str, tuple[Tensor, Tensor]] = {}
        """mean and variance by norm, for the present weights; empty where all have settled"""

    def unsettled(self, window: Window) -> dict[str, BatchOrInstanceNorm]:
        """The norms whose running statistics cannot have settled."""
        if (before := self._before) is None:
            return {}
        return {
            name: norm for name, norm in self.norms.items() if _tracked(norm) - before[name] < self.needed(name, window)
        }

    def needed(self, name: str, window: Window) -> float:
        """Batches after which the statistics of a norm have settled; infinite for a mean over all of training."""
        momentum = self.norms[name].momentum
        return WINDOWS * window(self._players[name], momentum or 0.0)

    def note(self, window: Window, batches: int, per_epoch: int, measurable: bool) -> str | None:
        """What the user should know where statistics will not have settled after so many batches."""
        slowest = max((self.needed(name, window) for name in self.norms), default=0.0)
        if batches >= slowest:
            return None
        settle = "never settle" if math.isinf(slowest) else f"settle after about {round(slowest):,} batches"
        start = f"batch norm: running statistics {settle}, and an epoch has {per_epoch:,}"
        if not measurable:
            return f"{start}; the task has neither evaluate_step nor loss to measure them anew with"
        return (
            f"{start}; until then they are measured anew for each evaluation and for the weights that are saved, on "
            f"training data without augmentation (at most {BATCHES} batches)"
        )

    def measure(self, norms: Mapping[str, BatchOrInstanceNorm], forward: Callable[[], None]) -> None:
        """Measure the statistics of ``norms`` in ``forward``, which calls the models in evaluation mode without
        gradients: means over its batches. The norms are left as they were. A collective call."""
        self.measured = {}
        with _collecting(norms) as found:
            forward()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            world = torch.distributed.get_world_size()
            for pair in found.values():
                for value in pair:
                    torch.distributed.all_reduce(value)
                    value /= world
        self.measured = found

    def join(self, averages: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Replace the running statistics, also those among the ``averages`` of players, by their means over the
        processes, each of which has seen other samples. A collective call."""
        tensors = [tensor for norm in self.norms.values() for tensor in _running(norm)]
        for name in self.norms:
            player, _, own = name.partition("/")
            prefix = f"{own}." if own else ""
            tensors += [averages[player][f"{prefix}{key}"] for key in RUNNING if player in averages]
        with torch.no_grad():
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)
                tensor /= torch.distributed.get_world_size()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the norms have what was measured for them."""
        targets = [tensor for name in self.measured for tensor in _running(self.norms[name])]
        own = [tensor.clone() for tensor in targets]
        with torch.no_grad():
            foreach_copy_(targets, [value for pair in self.measured.values() for value in pair]) if targets else None
        try:
            yield
        finally:
            with torch.no_grad():
                foreach_copy_(targets, own) if targets else None

    def state_dict(self) -> dict[str, int] | None:
        return None if self._before is None else dict(self._before)

    def load_state_dict(self, state: Mapping[str, int] | None) -> None:
        """Restore ``state_dict``. None, as in checkpoints from before it: the training ends as it was begun."""
        self._before = None if state is None else dict(state)


def first_batches(streams: Mapping[str, Stream], batch_size: int) -> Iterator[Batch]:
    """The batches to measure on: at most ``BATCHES`` of the first epoch of each stream."""
    for stream in streams.values():
        yield from islice(stream.with_batch_size(batch_size).batches(0), BATCHES)


@contextmanager
def _collecting(norms: Mapping[str, BatchOrInstanceNorm]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """The norms normalise by their batches and add up a mean over them; what they called is filled in at the end."""
    own = [(norm, norm.momentum, norm.training, [b.clone() for b in norm.buffers()]) for norm in norms.values()]
    calls: dict[nn.Module, int] = dict.fromkeys(norms.values(), 0)

    def average(norm: Any, _: object) -> None:
        calls[norm] += 1
        norm.momentum = 1 / calls[norm]

    hooks = [norm.register_forward_pre_hook(average) for norm in norms.values()]
    found: dict[str, tuple[Tensor, Tensor]] = {}
    try:
        for norm in norms.values():
            norm.reset_running_stats()
            norm.train()
        yield found
        for name, norm in norms.items():
            if calls[norm]:
                mean, variance = _running(norm)
                found[name] = mean.clone(), variance.clone()
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum, training, values in own:
            norm.momentum = momentum
            norm.train(training)
            for buffer, value in zip(norm.buffers(), values, strict=True):
                buffer.copy_(value)


def _running(norm: BatchOrInstanceNorm) -> tuple[Tensor, Tensor]:
    return cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)


def _tracked(norm: BatchOrInstanceNorm) -> int:
    """Batches that a norm has seen. Instance norms do not count theirs: they never count as settled."""
    return 0 if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
