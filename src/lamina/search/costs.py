"""What a model costs, and proxies of what it is worth that need no training: named as such."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.inspection.layers import layer_table, total
from lamina.runs.training import Training
from lamina.torch_internals import BatchOrInstanceNorm

CALLS = 20
"""calls whose median is the latency, after a quarter as many to warm up"""
SAMPLES = 32
"""samples of which jacov compares the gradients"""


def first_batch(training: Training, samples: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of the model for training samples."""
    batch = next(training.stream.batches(0))
    preprocess = training.parts.preprocess
    few = {
        name: value[:samples] if isinstance(value, Tensor) and value.ndim else value for name, value in batch.items()
    }
    args, options = preprocess.call(few)
    return tuple(args), dict(options)


def cost(training: Training, name: str) -> int:
    """The parameters of a prepared training's model, or the multiply-adds of one input."""
    if name == "parameters":
        return training.parameters
    args, options = first_batch(training, 1)
    if len(args) == 1 and isinstance(args[0], Tensor) and args[0].is_floating_point() and not options:
        return total(layer_table(training.parts.model, args[0].shape[1:])).macs
    names = _names(training.parts.model, len(args))
    inputs: Mapping[str, Tensor] = {**dict(zip(names, args, strict=True)), **options}
    return total(layer_table(training.parts.model, inputs)).macs


def _names(model: nn.Module, count: int) -> list[str]:
    import inspect

    return list(inspect.signature(model.forward).parameters)[:count]


def latency(training: Training) -> float:
    """Milliseconds of one call with one sample, on the device of the training: the median of 20."""
    model, device = training.parts.model, training.fabric.device
    args, options = first_batch(training, 1)
    times = []
    with evaluation_mode(model), torch.no_grad():
        for _ in range(CALLS // 4 + CALLS):
            _wait(device)
            began = time.perf_counter()
            model(*args, **options)
            _wait(device)
            times.append(time.perf_counter() - began)
    return 1000 * median(times[CALLS // 4 :])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _inputs(training: Training, samples: int, proxy: str) -> Tensor:
    """The first so many training samples, however many a batch has."""
    found: list[Tensor] = []
    for batch in training.stream.batches(0):
        args, options = training.parts.preprocess.call(batch)
        if len(args) != 1 or options or not isinstance(args[0], Tensor) or not args[0].is_floating_point():
            raise UsageError(f"the proxy {proxy} is for models of one input of numbers")
        found.append(args[0])
        if sum(map(len, found)) >= samples:
            break
    return torch.cat(found)[:samples]


def synflow(training: Training) -> float:
    """Synaptic flow (Tanaka et al., NeurIPS 2020), its logarithm: the sum over weights of |w dR/dw|, R the sum of the
    outputs for an input of ones, with all weights made positive and norms left out."""
    shape = _inputs(training, 1, "synflow").shape
    model = copy.deepcopy(training.parts.model).double().cpu().eval()
    for name, module in model.named_modules():
        if isinstance(module, BatchOrInstanceNorm):
            _replace(model, name, nn.Identity())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    out = model(torch.ones(1, *shape[1:], dtype=torch.float64))
    (out[0] if isinstance(out, tuple) else out).sum().backward()
    flow = sum(float((p.detach() * p.grad).abs().sum()) for p in model.parameters() if p.grad is not None)
    return math.log(flow) if flow > 0 else -math.inf


def _replace(model: nn.Module, name: str, other: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, other)


def jacov(training: Training) -> float:
    """Jacobian covariance (Mellor et al., 2020): how little the gradients with respect to 32 inputs are correlated."""
    x = _inputs(training, SAMPLES, "jacov").detach().clone().requires_grad_(True)
    model = copy.deepcopy(training.parts.model).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        out = model(x)
    (out[0] if isinstance(out, tuple) else out).sum().backward()
    assert x.grad is not None
    rows = x.grad.flatten(1).double()
    correlation = torch.corrcoef(rows)
    if not bool(torch.isfinite(correlation).all()):
        return -math.inf
    values = torch.linalg.eigvalsh(correlation)
    small = 1e-5
    return float(-(torch.log(values.clamp(min=0) + small) + 1 / (values.clamp(min=0) + small)).sum())


PROXIES: Mapping[str, Callable[[Training], float]] = {
    "parameters": lambda training: float(cost(training, "parameters")),
    "macs": lambda training: float(cost(training, "macs")),
    "synflow": synflow,
    "jacov": jacov,
}
"""scores of an untrained model; greater is better"""
