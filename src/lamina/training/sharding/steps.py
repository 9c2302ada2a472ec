"""Evaluation of a divided net: its processes call it together, as often as the one with the most batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from lamina.data.streams import Batch
from lamina.training.sharding.whole import is_divided


def in_step(batches: Iterable[Batch], model: nn.Module) -> Iterator[tuple[Batch, bool]]:
    """The batches of this process, and whether each counts. Of a divided net every process gets as many as any: one
    that has no more repeats another's, which does not count. A collective call then."""
    weight = next(model.parameters())
    if not is_divided(weight):
        yield from ((batch, True) for batch in batches)
        return
    mine, rank = iter(batches), torch.distributed.get_rank()
    while True:
        batch = next(mine, None)
        have: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(have, batch is not None)
        if not any(have):
            return
        if all(have) and batch is not None:
            yield batch, True
            continue
        first = have.index(True)
        shown: list[Any] = [None]
        if rank == first and batch is not None:
            shown = [{name: value.cpu() for name, value in batch.items()}]
        torch.distributed.broadcast_object_list(shown, first)
        if batch is None:
            yield {name: value.to(weight.device) for name, value in shown[0].items()}, False
        else:
            yield batch, True
