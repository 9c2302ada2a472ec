"""Linear layers that are fast when a model decodes on a CPU.

Decoding multiplies a few rows by every weight of the model, so its time is the time to read the weights. In float32
torch calls MKL, which reads them with one thread for a single row and hardly faster for a few; oneDNN, which torch also
ships, uses all threads. ``benchmarks/generation.py`` measures the gain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.torch_internals import HAS_ONEDNN_LINEAR, onednn_linear

LARGE = 2**18
"""elements of a weight, 1 MB in float32; smaller ones stay in the cache, and calling oneDNN costs more than it gains"""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b, (..., in) -> (..., out): ``torch.nn.functional.linear`` up to rounding.

    oneDNN computes it where that is faster and no gradient can be needed, which is in ``torch.inference_mode``.

    >>> linear(torch.ones(2, 3), torch.ones(4, 3)).shape
    torch.Size([2, 4])
    """
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
    """``torch.nn.Linear``, computed by ``linear``: (..., in) -> (..., out)."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
