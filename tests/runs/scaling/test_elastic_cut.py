"""The remainder of an epoch is cut as on the number of processes with which training began."""

from __future__ import annotations

import pytest
import torch

from lamina.data.streams import Cut, InMemory, Shuffled
from lamina.data.text.streams import Windows
from lamina.errors import UsageError


@pytest.mark.parametrize("kind", ["samples", "windows"])
def test_batches_of_two_are_those_of_four_once_the_count_is_known(kind: str) -> None:
    """13 x 8 - 3: two processes have a last batch of 5; four would let it join the one before."""
    numbers = torch.arange(101)

    def stream(rank: int, world: int) -> Shuffled | Windows:
        if kind == "windows":
            return Windows(torch.arange(102), 8, 1, 0, rank=rank, world=world, whole=True)
        return Shuffled(InMemory({"tokens": numbers}), 8, 0, rank=rank, world=world, whole=True)

    def drawn(world: int, count: int | None) -> list[list[int]]:
        ranks = [stream(rank, world) for rank in range(world)]
        ranks = ranks if count is None else [one.with_count(count) for one in ranks]
        shares = zip(*(one.batches(3) for one in ranks), strict=True)
        return [torch.cat([share["tokens"].flatten() for share in batch]).tolist() for batch in shares]

    assert stream(0, 2).per_epoch == 13
    assert stream(0, 4).per_epoch == 12
    assert stream(0, 4).with_count(13).per_epoch == 13
    assert stream(0, 2).with_count(12).per_epoch == 12
    assert drawn(4, 13) == drawn(2, None) == drawn(1, 13)
    assert drawn(2, 12) == drawn(4, None)
    assert stream(0, 4).with_count(7).per_epoch != 7  # other data
    assert stream(0, 4).with_count(13).with_batch_size(4).per_epoch == stream(0, 4).with_batch_size(4).per_epoch


def test_a_last_batch_of_fewer_samples_than_processes() -> None:
    with pytest.raises(UsageError, match="the last batch of an epoch has 3 samples, too few for 4 processes"):
        Cut(99, 8, whole=True, world=4, fixed=13)
