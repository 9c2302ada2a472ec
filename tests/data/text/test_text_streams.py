"""Streams of tokens are pure functions of (seed, epoch, index, rank), and lose no token that they should give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lamina.data.streams import Batch, Stream
from lamina.data.text.streams import (
    ByLength,
    Contiguous,
    Ragged,
    RaggedInOrder,
    TextInOrder,
    Windows,
    WindowsInOrder,
)
from lamina.errors import UsageError


def tokens(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.int32)


def ragged(count: int, *, pairs: bool = False, longest: int = 30) -> Ragged:
    """Sample i is i, i, i, ... of a length that is drawn; its target is i, its translation 1000 + i, and longer."""
    generator = torch.Generator().manual_seed(count)
    first = torch.randint(2, longest, (count,), generator=generator)

    def rows(base: int) -> tuple[Tensor, Tensor]:
        lengths = (first + torch.randint(0, 5, (count,), generator=generator)) if base else first
        flat = (base + torch.arange(count)).repeat_interleave(lengths).int()
        return flat, torch.cat([torch.tensor([0]), lengths.cumsum(0)])

    tensors = {} if pairs else {"target": torch.arange(count)}
    return Ragged(*rows(0), tensors, rows(1000) if pairs else None)


def same(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        assert all(one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one)


MAKERS: dict[str, Callable[..., Any]] = {
    "rows": lambda **how: Contiguous(tokens(1_000), 6, 7, **how),
    "windows": lambda **how: Windows(tokens(1_000), 6, 7, **how),
    "texts": lambda **how: ByLength(ragged(100), 6, **how),
    "pairs": lambda **how: ByLength(ragged(100, pairs=True), 6, **how),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_pure_function_of_seed_epoch_and_index(kind: str) -> None:
    stream = MAKERS[kind](seed=3)
    assert isinstance(stream, Stream)
    whole = list(stream.batches(2))
    assert len(whole) == stream.per_epoch > 3
    torch.rand(5)
    same(whole, list(MAKERS[kind](seed=3).batches(2)))
    same(whole[2:], list(stream.batches(2, 2)))
    for other in (MAKERS[kind](seed=4).batches(2), stream.batches(3)):
        assert any(
            not torch.equal(a["tokens"], b["tokens"]) if a["tokens"].shape == b["tokens"].shape else True
            for a, b in zip(whole, other, strict=True)
        )
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(stream.batches(0))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_see_what_one_process_sees(kind: str, world: int) -> None:
    ranks = [list(MAKERS[kind](seed=1, rank=rank, world=world).batches(1)) for rank in range(world)]
    together = [
        {name: torch.cat([part[name] for part in parts]) for name in parts[0]} for parts in zip(*ranks, strict=True)
    ]
    same(list(MAKERS[kind](seed=1).batches(1)), together)


@pytest.mark.parametrize("kind", MAKERS)
def test_other_batch_sizes(kind: str, refused: Any) -> None:
    stream = MAKERS[kind](seed=1).with_batch_size(2)
    assert len(next(stream.batches(0))["tokens"]) == 2
    assert stream.per_epoch >= 3 * MAKERS[kind](seed=1).per_epoch
    with refused(UsageError, "batch size 6", "4 processes"):
        MAKERS[kind](seed=1, world=4)


@settings(max_examples=60)
@given(count=st.integers(2, 300), rows=st.integers(1, 6), window=st.integers(1, 12), epoch=st.integers(0, 5))
def test_rows_go_on_where_the_batch_before_ended(count: int, rows: int, window: int, epoch: int) -> None:
    if (count - 1) // rows < window:
        with pytest.raises(UsageError, match=f"{count} tokens, too few for {rows} rows of {window}"):
            Contiguous(tokens(count), rows, window, 0)
        return
    stream = Contiguous(tokens(count), rows, window, 0)
    batches = list(stream.batches(epoch))
    assert all(torch.equal(batch["target"], batch["tokens"] + 1) for batch in batches)
    joined = torch.cat([batch["tokens"] for batch in batches], dim=1)
    assert joined.dtype == torch.int64
    # each row is a run, the rows are pieces of one run, and what is left out is less than a window of each row
    assert torch.equal(joined.flatten(), joined[0, 0] + torch.arange(joined.numel()))
    assert count - 1 - joined.numel() < rows * window + rows
    assert int(joined[0, 0]) >= 0
    assert int(joined[-1, -1]) + 1 < count


@settings(max_examples=200)
@given(count=st.integers(2, 300), size=st.integers(1, 4), window=st.integers(1, 12), epoch=st.integers(0, 5))
@example(count=5, size=2, window=2, epoch=0)
@example(count=5, size=1, window=3, epoch=0)
def test_windows_do_not_overlap(count: int, size: int, window: int, epoch: int) -> None:
    # wherever the first begins there are as many; but for one window that there is room for
    least = window + 1 if size == 1 else size * window + window
    if count < least:
        with pytest.raises(UsageError, match=r"window|larger than the training data"):
            Windows(tokens(count), size, window, 0)
        return
    batches = list(Windows(tokens(count), size, window, 0).batches(epoch))
    assert all(torch.equal(batch["target"], batch["tokens"] + 1) for batch in batches)
    seen = torch.cat([batch["tokens"].flatten() for batch in batches])
    assert len(seen.unique()) == len(seen)
    assert int(seen.max()) < count - 1
    first = torch.cat([batch["tokens"][:, 0] for batch in batches])
    assert len((first % window).unique()) == 1
    assert count - 1 - len(seen) < (size + 1) * window


def test_windows_are_cut_elsewhere_each_epoch() -> None:
    stream = Windows(tokens(1_000), 6, 7, 0)
    phases = {int(next(stream.batches(epoch))["tokens"][0, 0]) % 7 for epoch in range(40)}
    assert phases == set(range(7))
    order = next(stream.batches(0))["tokens"][:, 0].tolist()
    assert order != sorted(order)


def test_a_text_shorter_than_a_window(refused: Any) -> None:
    with refused(UsageError, "8 tokens", "window of 8", "7 or less"):
        Windows(tokens(8), 1, 8, 0)
    (batch,) = Windows(tokens(9), 1, 8, 0).batches(0)
    assert batch["target"].tolist() == [list(range(1, 9))]


@settings(max_examples=40)
@given(count=st.integers(1, 80), size=st.integers(1, 9), epoch=st.integers(0, 3), pairs=st.booleans())
def test_an_epoch_has_each_sample_at_most_once_and_whole(count: int, size: int, epoch: int, pairs: bool) -> None:
    size = min(size, count)
    samples = ragged(count, pairs=pairs)
    batches = list(ByLength(samples, size, 0).batches(epoch))
    assert len(batches) == count // size
    seen = []
    for batch in batches:
        first, lengths = (batch["source"], batch["source_lengths"]) if pairs else (batch["tokens"], batch["lengths"])
        assert first.shape == (size, int(lengths.max()))
        for row, length in zip(first, lengths.tolist(), strict=True):
            index = int(row[0])
            own = samples.lengths[index, 0] if pairs else samples.lengths[index]
            assert row.tolist() == [index] * length + [0] * (len(row) - length)
            assert length == int(own)
            seen.append(index)
        if not pairs:
            assert batch["target"].tolist() == first[:, 0].tolist()
    assert len(seen) == len(set(seen)) == len(batches) * size


def test_translations_are_one_token_ahead() -> None:
    second = torch.tensor([2, 7, 8, 3, 2, 9, 3], dtype=torch.int32), torch.tensor([0, 4, 7])
    samples = Ragged(torch.tensor([5, 3, 6, 6, 3], dtype=torch.int32), torch.tensor([0, 2, 5]), {}, second)
    batch = samples.take(torch.tensor([1, 0]))
    assert {name: value.tolist() for name, value in batch.items()} == {
        "source": [[6, 6, 3], [5, 3, 0]],
        "source_lengths": [3, 2],
        "tokens": [[2, 9, 0], [2, 7, 8]],
        "lengths": [2, 3],
        "target": [[9, 3, -100], [7, 8, 3]],
    }
    assert {value.dtype for value in batch.values()} == {torch.int64}


@pytest.mark.parametrize(("pairs", "most"), [(False, 0.02), (True, 0.05)])
def test_little_is_padding(pairs: bool, most: float) -> None:
    """Lengths spread evenly from 2 to 60: in the order of the samples about half would be padding."""

    def share(batches: Any) -> float:
        total = padding = 0
        for batch in batches:
            for name, lengths in (("source", "source_lengths"), ("tokens", "lengths")):
                if name in batch:
                    total += batch[name].numel()
                    padding += batch[name].numel() - int(batch[lengths].sum())
        return padding / total

    samples = ragged(20_000, pairs=pairs, longest=60)
    assert share(RaggedInOrder(samples, 32)) > 0.4
    assert share(ByLength(samples, 32, 0).batches(0)) < most


def test_batches_of_like_length_come_in_any_order_and_company() -> None:
    stream = ByLength(ragged(3_000), 10, 0)
    lengths = [int(batch["lengths"].max()) for batch in stream.batches(0)]
    assert lengths != sorted(lengths)
    company = [{*batch["target"].tolist()} for batch in stream.batches(0)]
    again = [{*batch["target"].tolist()} for batch in stream.batches(1)]
    assert not any(group in company for group in again)


def test_longer_samples_are_left_out(refused: Any) -> None:
    samples = ragged(200, pairs=True)
    kept = (samples.lengths <= 12).all(1)
    stream = ByLength(samples, 1, 0, longest=12)
    assert stream.per_epoch == int(kept.sum())
    seen = sorted(int(batch["source"][0, 0]) for batch in stream.batches(0))
    assert seen == torch.nonzero(kept)[:, 0].tolist()
    with refused(UsageError, "batch size 1", "0 samples"):
        ByLength(samples, 1, 0, longest=1)


@settings(max_examples=40)
@given(count=st.integers(2, 500), window=st.integers(1, 60), rows=st.integers(1, 5), world=st.integers(1, 3))
def test_evaluation_predicts_every_token_but_the_first_once(count: int, window: int, rows: int, world: int) -> None:
    for kind in (TextInOrder, WindowsInOrder):
        seen: list[int] = []
        for rank in range(world):
            for batch in kind(tokens(count), rows, window, rank=rank, world=world):
                real = batch["target"] != -100
                assert torch.equal(batch["target"][real], batch["tokens"][real] + 1)
                assert real.any()
                assert batch["tokens"].shape[1] <= window
                seen += batch["target"][real].tolist()
        assert sorted(seen) == list(range(1, count))


def test_rows_of_evaluation_are_contiguous_and_long() -> None:
    batches = list(TextInOrder(tokens(35_003), 8, 1_000))
    assert {len(batch["tokens"]) for batch in batches} == {3}  # of 8 rows each would have less than 10,000
    joined = torch.cat([batch["tokens"] for batch in batches], dim=1)
    target = torch.cat([batch["target"] for batch in batches], dim=1)
    assert joined.shape == (3, 11_668)  # the last batch is short
    assert joined[:, 0].tolist() == [0, 11_668, 23_336]
    assert (target[2] == -100).sum() == 2
    assert torch.equal(joined[1], 11_668 + torch.arange(11_668))
    assert len(next(iter(TextInOrder(tokens(100_001), 8, 10)))["tokens"]) == 8


def test_texts_in_their_own_order() -> None:
    batches = list(RaggedInOrder(ragged(25), 10))
    assert [len(batch["target"]) for batch in batches] == [10, 10, 5]
    assert torch.cat([batch["target"] for batch in batches]).tolist() == list(range(25))
    ranks = [
        torch.cat([b["target"] for b in RaggedInOrder(ragged(25), 10, rank=r, world=2)]).tolist() for r in range(2)
    ]
    assert sorted(ranks[0] + ranks[1]) == list(range(25))


def test_samples_move_with_all_that_belongs_to_them() -> None:
    meta = torch.device("meta")
    moved = ragged(5, pairs=True).to(meta)
    assert moved.second is not None
    assert {moved.tokens.device, moved.second[0].device} == {meta}
    assert ragged(5).to(meta).tensors["target"].device == meta
    assert len(moved) == 5
