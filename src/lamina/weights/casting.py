"""Numbers of one type in another, where none of them changes."""

from __future__ import annotations

import torch
from torch import Tensor


def held_exactly(tensor: Tensor, dtype: torch.dtype) -> Tensor | None:
    """The same numbers as ``dtype``, or None where one of them would be another.

    >>> held_exactly(torch.tensor([0.5], dtype=torch.float16), torch.float32)
    tensor([0.5000])
    >>> held_exactly(torch.tensor([0.1], dtype=torch.float64), torch.float32) is None
    True
    """
    if tensor.dtype == dtype:
        return tensor
    if tensor.is_complex() or tensor.dtype == torch.bool or tensor.is_quantized:
        return None
    cast = tensor.to(dtype)
    before, after = tensor.double(), cast.double()  # every floating-point number fits into a double
    same = (before == after) | (before.isnan() & after.isnan())
    return cast if bool(same.all()) else None
