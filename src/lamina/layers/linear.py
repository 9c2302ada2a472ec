"""Linear layers that read large weights fast where a model decodes on a CPU.

Decoding multiplies a few rows by every weight of the model: its time is the time of reading them. In float32 torch asks
MKL, which for a single row reads with one thread, and for a few hardly faster; oneDNN, which torch has, too, reads with
all. ``benchmarks/generation.py`` measures what that gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.torch_internals import HAS_ONEDNN_LINEAR, onednn_linear

LARGE = 2**18
"""numbers in a weight, 1 MB in float32: smaller ones stay in the cache, and oneDNN's calls cost more than they gain"""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b, (..., in) -> (..., out), as ``torch.nn.functional.linear`` but for rounding: oneDNN calculates where
    it is faster and no gradient can be asked for, which is in inference mode."""
    if (
        HAS_ONEDNN_LINEAR
        and not torch.compiler.is_compiling()
        and torch.is_inference_mode_enabled()
        and weight.numel() >= LARGE
        and weight.device.type == x.device.type == "cpu"
        and weight.dtype == x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    ):
        return onednn_linear(x, weight, bias)
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """torch's, by way of ``linear``."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
