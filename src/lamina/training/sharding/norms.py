"""Batch norms over all processes: a divided net is one net, whose batch is the global one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _SumOverProcesses(torch.autograd.Function):
    """The sum over processes; the gradient of each process's copy flows into every summand."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total


def join_batch_norms(model: nn.Module) -> None:
    """Batch norms of ``model`` take mean and variance over the batches of all processes, which may be of unequal
    sizes: the results are those of one process with the whole batch (torch's SyncBatchNorm is for GPUs alone)."""
    for part in model.modules():
        if isinstance(part, BATCH_NORMS):
            part.forward = partial(_normalise, part, part.forward)  # type: ignore[method-assign] # on this one


def _normalise(norm: BatchNorm, alone: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not norm.training and norm.running_mean is not None:
        return alone(x)
    axes, shape = [axis for axis in range(x.dim()) if axis != 1], [1, -1, *[1] * (x.dim() - 2)]
    value = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    count = value.new_tensor([x.numel() // x.shape[1]])
    total: Tensor = _SumOverProcesses.apply(torch.cat([value.sum(axes), count]))  # type: ignore[no-untyped-call] # torch's
    number = total[-1].detach()
    mean = total[:-1] / number
    centred = value - mean.view(shape)
    squares: Tensor = _SumOverProcesses.apply(centred.square().sum(axes))  # type: ignore[no-untyped-call] # torch's
    variance = squares / number
    if norm.training and norm.track_running_stats:
        _follow(norm, mean.detach(), (squares / (number - 1)).detach())
    out = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        out = out * norm.weight.view(shape) + norm.bias.view(shape)
    return out.to(x.dtype)


def _follow(norm: BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics towards those of a batch, as torch's norms do."""
    share = norm.momentum
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        share = 1.0 / float(norm.num_batches_tracked) if share is None else share
    with torch.no_grad():
        for running, now in ((norm.running_mean, mean), (norm.running_var, variance)):
            if running is not None:
                running.lerp_(now.to(running.dtype), share or 0.0)
