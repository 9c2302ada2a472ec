"""Verifying an export: its outputs are compared with the model's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lamina.errors import ExportError
from lamina.export.facts import ExportFacts
from lamina.export.inputs import TRIED, example_of
from lamina.torch_internals import tree_leaves

BATCHES = tuple(batch for batch, *_ in TRIED)
TOLERANCE = 1e-4
TOLERANCE_FP16 = 1e-2
"""of weights in 16 bits, which have three digits"""


def verify(exported: Callable[..., Any], model: nn.Module, facts: ExportFacts, what: str) -> float:
    """The largest relative difference of the outputs over random inputs in batches of 1, 2 and 5, and for tokens of
    other lengths than those traced; see ``relative_difference``.

    ``model`` has the signature of the file and is in evaluation mode, float32, on the CPU; ``what`` names the file in
    messages. Raises ExportError for a difference above 1e-4 (1e-2 for weights in 16 bits), for different shapes, and
    where ``exported`` fails.
    """
    tolerance = tolerance_of(facts)
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for sizes in TRIED:
        batch, given = sizes[0], example_of(facts, sizes, random)
        with torch.no_grad():
            expected = model(*given)
        try:
            actual = exported(*given)
        except Exception as error:  # every engine has its own exceptions
            raise ExportError(f"{what} is not written: it fails for a batch of {batch} ({_one_line(error)})") from error
        shapes = [[tuple(part.shape) for part in tree_leaves(outputs)] for outputs in (actual, expected)]
        if shapes[0] != shapes[1]:
            gives, wanted = (" and ".join(map(str, found)) for found in shapes)
            raise ExportError(f"{what} is not written: for a batch of {batch} it gives {gives}, the model {wanted}")
        pairs = zip(tree_leaves(actual), tree_leaves(expected), strict=True)
        difference = max(relative_difference(*pair) for pair in pairs)
        if not difference <= tolerance:  # NaN, too
            raise ExportError(
                f"{what} is not written: for a batch of {batch} its outputs differ from the model's by "
                f"{difference:.1e} of the largest; {tolerance:.0e} is allowed"
            )
        worst = max(worst, difference)
    return worst


def tolerance_of(facts: ExportFacts) -> float:
    """The largest difference that is allowed."""
    return TOLERANCE_FP16 if facts.precision == "fp16" else TOLERANCE


def relative_difference(actual: Tensor, expected: Tensor) -> float:
    """max|actual - expected| / max|expected|; 0 if both are all zero."""
    difference = (actual.double() - expected.double()).abs().max().item()
    scale = expected.double().abs().max().item()
    return difference / scale if scale else difference


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
