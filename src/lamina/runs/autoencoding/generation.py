"""What autoencoders generate: from codes that are drawn, between two items, along one dimension.

Legend: N samples, L numbers of a code.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.errors import UsageError
from lamina.runs.code_paths import between
from lamina.runs.evaluation import like, predicting
from lamina.runs.opened import Opened
from lamina.tasks.autoencoder_options import SampleOptions
from lamina.tasks.reconstruction import noise

REACH = 3.0
"""standard deviations that a walk goes to both sides"""
CHUNK = 256
"""codes decoded at once"""


def generated(run: Opened, options: SampleOptions, noisy: bool = False) -> list[Any]:
    """Pictures (H, W, C) uint8, or rows, as ``Preprocess.undo`` makes them; ``noisy``: with values drawn from p(x|z)
    where the options leave it open. Raises UsageError or DataError."""
    code_NL, given = code_path(run, options), getattr(options, "noise", False)
    drawn = noisy if given is None else given
    values = decoded(run, code_NL, options.seed if drawn else None)
    return [run.preprocess.undo(value) for value in values]


def decoded(run: Opened, code_NL: Tensor, seed: int | None = None) -> Tensor:
    """What codes stand for, on the CPU, in the shape of an input: each alone gives the same as among others. With a
    seed values are drawn from p(x|z)."""
    return decoded_by(run.task, run.preprocess, run.model, code_NL, seed)


def decoded_by(task: Any, preprocess: Preprocess, model: nn.Module, code_NL: Tensor, seed: int | None = None) -> Tensor:
    """As ``decoded``, by a model in training."""
    shape = tuple(int(size) for size in preprocess.signature()[0].shape)
    noise_N = None if seed is None else noise(len(code_NL), math.prod(shape), seed, "values")
    made = []
    with predicting(model):
        for i in range(0, len(code_NL), CHUNK):
            part = slice(i, i + CHUNK)
            values: Tensor = task.decode(model, code_NL[part], shape, None if noise_N is None else noise_N[part])
            made.append(values.float().cpu())
    return torch.cat(made)


def code_path(run: Opened, options: SampleOptions) -> Tensor:
    """The codes (N, L) that are decoded."""
    task: Any = run.task
    if options.interpolate is not None:
        first, last = (code_of(run, item) for item in options.interpolate)
        share_N = torch.linspace(0, 1, options.count, dtype=torch.float64)
        return between(first, last, share_N, options.path)
    if options.walk is not None:
        return along(run, options.walk, options.count)
    drawn: Tensor = task.draw(run.model, options.count, options.seed)
    return drawn


def code_of(run: Opened, item: Any) -> Tensor:
    """The code (L,) of one item. Raises UsageError for an item of several samples."""
    task: Any = run.task
    batches = list(run.preprocess.input_batches(item))
    with predicting(run.model):
        found = [task.code(run.model, x := task.input(like(run.model, b)), task.restore(run.model, x)) for b in batches]
    code_NL = torch.cat(found)
    if len(code_NL) != 1:
        raise UsageError(f"interpolate goes from one sample to another, but '{item}' holds {len(code_NL)}")
    return code_NL[0].double().cpu()


def along(run: Opened, axis: int, count: int, middle: Tensor | None = None) -> Tensor:
    """Codes (N, L) three standard deviations to both sides of the middle in one dimension. Raises UsageError."""
    task: Any = run.task
    mean, deviation = task.span(run.model)
    if axis >= len(mean):
        raise UsageError(f"walk={axis}: the code has {len(mean)} dimensions, 0 to {len(mean) - 1}")
    code_NL = (mean if middle is None else middle).double().repeat(count, 1)
    steps = torch.linspace(-REACH, REACH, count, dtype=torch.float64)
    code_NL[:, axis] = mean[axis].double() + steps * deviation[axis].double()
    return code_NL
