"""What a model of the registry is called with, player by player: for tables and drawings of its layers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.cards import Variant
from lamina.export.example import input_shape

Given = tuple[int, ...] | Mapping[str, Tensor]
"""a shape without the batch, or keyword arguments of forward: what ``layer_table`` takes"""


def subjects(
    row: Variant, model: nn.Module, config: Any, shape: tuple[int, ...] | None = None
) -> Iterator[tuple[str, nn.Module, Given]]:
    """(player, module, input) for each player of ``model``; one with the name "" where it has none.

    ``shape`` is that of an input of a model of one tensor, by default as its card and ``config`` say.
    """
    if not row.players:
        yield "", model, row.example(config, 1) if row.example is not None else shape or input_shape(row, config)
        return
    for player in row.players:
        one = row.player(player)
        module: nn.Module = getattr(model, player)
        if one.example is not None:
            yield player, module, one.example(config, 1)
            continue
        given = input_shape(one, config)
        if getattr(module, "classes", 0) > 0:  # a label beside the tensor
            tensors = (torch.zeros(1, *given), torch.zeros(1, dtype=torch.int64))
            yield player, module, dict(zip(inspect.signature(module.forward).parameters, tensors, strict=False))
        else:
            yield player, module, given
