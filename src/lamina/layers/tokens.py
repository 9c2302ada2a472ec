"""Checks at the door of a model that takes tokens, and what is real in a batch padded on the right.

Legend: B batch, T tokens of the longest row.
"""

from __future__ import annotations

import torch
from torch import Tensor


def expect_tokens(tokens_BT: Tensor, vocab_size: int, context: int | None = None, name: str = "tokens") -> None:
    """Raise ValueError unless ``tokens_BT`` holds whole numbers (B, T), both at least 1, and T at most ``context``.

    On a CPU also where a token is not in the vocabulary, padding included; a GPU would have to wait for the answer.
    While a graph is traced only what holds for all lengths is looked at.
    """
    shape = tuple(tokens_BT.shape)
    if len(shape) != 2 or tokens_BT.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"expected {name} as whole numbers (batch, length), got {_dtype(tokens_BT)} of shape {shape}")
    if torch.compiler.is_compiling():
        return
    if 0 in shape:
        raise ValueError(f"expected {name} of at least one row and one position, got shape {shape}")
    if context is not None and shape[1] > context:
        raise ValueError(f"{shape[1]} {name} a row are more than the context of {context}")
    if tokens_BT.device.type == "cpu":
        least, most = torch.aminmax(tokens_BT)
        if least < 0 or most >= vocab_size:
            wrong = int(least if least < 0 else most)
            raise ValueError(f"{name} are numbers from 0 to {vocab_size - 1}, got {wrong}")


def expect_lengths(lengths_B: Tensor | None, tokens_BT: Tensor, name: str = "lengths") -> None:
    """Raise ValueError unless ``lengths_B`` is None or states a number from 1 to T for each row of ``tokens_BT``."""
    if lengths_B is None:
        return
    batch, length = tokens_BT.shape[:2]
    shape = tuple(lengths_B.shape)
    if len(shape) != 1 or lengths_B.is_floating_point() or lengths_B.dtype == torch.bool:
        raise ValueError(f"expected {name} as whole numbers (batch,), got {_dtype(lengths_B)} of shape {shape}")
    if torch.compiler.is_compiling():
        return
    if shape[0] != batch:
        raise ValueError(f"{shape[0]} {name} for {batch} rows")
    least, most = (int(number) for number in torch.aminmax(lengths_B))
    if least < 1 or most > length:
        raise ValueError(f"{name} must lie from 1 to {length}, got {least if least < 1 else most}")


def real_positions(tokens_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Bool (B, T): True where a row's token is real, False where it is padding."""
    return torch.arange(tokens_BT.shape[1], device=tokens_BT.device) < lengths_B[:, None]


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
