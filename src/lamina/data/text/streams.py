"""Batches of tokens, each a pure function of (seed, epoch, index, rank).

Running text in rows or windows; texts and pairs batched by length.

Legend: N tokens in all or samples, B rows of a batch, T tokens of a row, S tokens of a source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lamina.data.streams import IGNORED, Batch, InCuts, InMemory, share_of, weighed
from lamina.errors import UsageError
from lamina.randomness import derive

POOL = 100
"""batches whose samples are sorted by length together"""
MIN_ROW = 10_000
"""minimum tokens of a row of running text in evaluation, so that few tokens lack their context"""


@dataclass(frozen=True)
class Ragged:
    """Concatenated token sequences of different length, with other tensors for each sample."""

    tokens: Tensor
    """of all samples, int32"""
    offsets: Tensor
    """(N + 1,) int64 on the CPU: sample i is ``tokens[offsets[i]:offsets[i + 1]]``"""
    tensors: Batch
    """other tensors; dimension 0 is the sample"""
    second: tuple[Tensor, Tensor] | None = None
    """tokens (with ``<bos>`` and ``<eos>``) and offsets of the translations of pairs"""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Tensor:
        """Tokens of each sample (N,), on the CPU; for pairs of both texts (N, 2)."""
        first = self.offsets.diff()
        return first if self.second is None else torch.stack([first, self.second[1].diff()], dim=1)

    def to(self, device: torch.device) -> Ragged:
        second = None if self.second is None else (self.second[0].to(device), self.second[1])
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return Ragged(self.tokens.to(device), self.offsets, tensors, second)

    def take(self, index: Tensor, share: slice = slice(None)) -> Batch:
        """The part ``share`` of the samples at ``index`` (on the CPU), padded to the longest of all at ``index``.

        {"tokens" (B, T), "lengths" (B,), ...}, padded with 0; for pairs {"source" (B, S), "source_lengths", "tokens"
        (B, T), "lengths", "target" (B, T)}, the target shifted by one token and padded with -100.
        """
        first, lengths = _rows(self.tokens, self.offsets, index, share)
        rest = {name: tensor[index[share].to(tensor.device)] for name, tensor in self.tensors.items()}
        if self.second is None:
            return {"tokens": first, "lengths": lengths, **rest}
        whole, ends = _rows(*self.second, index, share)
        real = torch.arange(whole.shape[1] - 1, device=whole.device) < (ends - 1)[:, None]
        return {
            "source": first,
            "source_lengths": lengths,
            "tokens": torch.where(real, whole[:, :-1], 0),
            "lengths": ends - 1,
            "target": torch.where(real, whole[:, 1:], IGNORED),
            **rest,
        }


def _rows(tokens: Tensor, offsets: Tensor, index: Tensor, share: slice) -> tuple[Tensor, Tensor]:
    """(B, T) int64 padded with 0, and lengths (B,), on the device of the tokens."""
    counts = offsets[index + 1] - offsets[index]
    steps_T = torch.arange(int(counts.max()))
    lengths_B1 = counts[share, None]
    place_BT = torch.where(steps_T < lengths_B1, offsets[index[share], None] + steps_T, 0).to(tokens.device)
    lengths_B = lengths_B1[:, 0].to(tokens.device)
    real_BT = steps_T.to(tokens.device) < lengths_B[:, None]
    return torch.where(real_BT, tokens[place_BT].long(), 0), lengths_B


@dataclass(frozen=True)
class Running(InMemory):
    """The tokens of running text, {"tokens": (N,) int32}, and, counted when it is evaluated, their characters."""

    count: Callable[[], Tensor] = lambda: torch.zeros(0)

    @cached_property
    def characters_N(self) -> Tensor:  # noqa: N802
        """The characters of the text that each token stands for, (N,) int32."""
        return self.count().to(self.tensors["tokens"].device)

    def to(self, device: torch.device) -> Running:
        return Running({name: tensor.to(device) for name, tensor in self.tensors.items()}, self.count)


@dataclass(frozen=True)
class Contiguous:
    """Training rows of running text: row b is the b-th of B equal parts, and each batch continues the previous one.

    A state can therefore be carried from batch to batch. {"tokens" (B, T), "target" (B, T)}, the target shifted by one
    token. The remainder of an incomplete window is dropped, at another position each epoch.

    Example: ``Contiguous(tokens_N, rows=20, window=35, seed=0)``
    """

    tokens_N: Tensor
    rows: int
    """rows in a batch, over all ranks"""
    window: int
    """tokens of a row"""
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        _expect_shares(self.rows, self.world)
        if self.per_epoch < 1:
            raise UsageError(
                f"the training text has {len(self.tokens_N)} tokens, too few for {self.rows} rows of {self.window}; "
                "use a smaller --batch-size or --window"
            )

    @property
    def per_epoch(self) -> int:
        return (len(self.tokens_N) - 1) // self.rows // self.window

    def with_batch_size(self, batch_size: int) -> Contiguous:
        return replace(self, rows=batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        length = self.per_epoch * self.window
        spare = len(self.tokens_N) - 1 - self.rows * length
        first = derive(self.seed, "rows", epoch) % (spare + 1)
        share = self.rows // self.world
        begins_B = first + length * torch.arange(self.rank * share, (self.rank + 1) * share)
        for index in range(start, self.per_epoch):
            yield _window(self.tokens_N, begins_B + index * self.window, self.window)


@dataclass(frozen=True)
class Windows(InCuts):
    """Shuffled training windows of running text, with another offset each epoch: {"tokens" (B, T), "target" (B, T)}.

    Cut into batches as ``data.streams.Cut`` says.

    Example: ``Windows(tokens_N, batch_size=32, window=256, seed=0)``
    """

    tokens_N: Tensor
    batch_size: int
    """windows in a batch, over all ranks"""
    window: int
    """tokens of a window"""
    seed: int
    rank: int = 0
    world: int = 1
    whole: bool = False
    """whether an epoch of few batches leaves no sample out"""
    fixed: int | None = None

    def __post_init__(self) -> None:
        _expect_shares(self.batch_size, self.world)
        if self._length < 1:
            raise UsageError(
                f"the training text has {len(self.tokens_N)} tokens, fewer than a window of {self.window} and its "
                f"target; use a --window of {max(1, len(self.tokens_N) - 1)} or less"
            )
        if self.per_epoch < 1:
            raise UsageError(
                f"batch size {self.batch_size} is larger than the training data ({self._length} windows of "
                f"{self.window} tokens); use --batch-size {self._length} or less"
            )

    @property
    def _length(self) -> int:
        """Windows in an epoch, for any offset; at least one if the text has room for one."""
        predicted = len(self.tokens_N) - 1
        return max((predicted - self.window + 1) // self.window, min(1, predicted // self.window))

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        spare = len(self.tokens_N) - 1 - self._length * self.window
        first = derive(self.seed, "window", epoch) % (min(spare, self.window - 1) + 1)
        generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
        begins = first + self.window * torch.randperm(self._length, generator=generator)
        for block in self.cut.blocks(begins)[start:]:
            mine = block[share_of(len(block), self.rank, self.world)]
            yield weighed(_window(self.tokens_N, mine, self.window), len(mine), len(block), self.world)


@dataclass(frozen=True)
class ByLength(InCuts):
    """Training batches of texts or pairs of similar length, to reduce padding; see ``Ragged.take``.

    The samples of a hundred batches at a time are sorted by length and divided, as ``data.streams.Cut`` says; the order
    of batches is random.

    Example: ``ByLength(samples, batch_size=32, seed=0)``
    """

    samples: Ragged
    batch_size: int
    """samples in a batch, over all ranks"""
    seed: int
    longest: int | None = None
    """samples with more tokens than this, in either text of a pair, are excluded"""
    rank: int = 0
    world: int = 1
    whole: bool = False
    """whether an epoch of few batches leaves no sample out"""
    fixed: int | None = None

    def __post_init__(self) -> None:
        _expect_shares(self.batch_size, self.world)
        if self.batch_size > len(self._kept):
            raise UsageError(
                f"batch size {self.batch_size} is larger than the training data ({len(self._kept)} samples); "
                f"use --batch-size {max(1, len(self._kept))} or less"
            )

    @cached_property
    def _lengths(self) -> Tensor:
        """(N, 1 or 2)"""
        return self.samples.lengths.reshape(len(self.samples), -1)

    @cached_property
    def _kept(self) -> Tensor:
        most = int(self._lengths.max()) if self.longest is None else self.longest
        return torch.nonzero((self._lengths <= most).all(1))[:, 0]

    @property
    def _length(self) -> int:
        return len(self._kept)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
        drawn = torch.randperm(len(self._kept), generator=generator)[: sum(self.cut.sizes)]
        order = self._kept[drawn]
        pool = torch.arange(len(order)) // (POOL * self.batch_size)
        first, last = self._lengths[order, 0], self._lengths[order, -1]
        most = int(self._lengths.max()) + 1
        # sorted by the first text, then by the second, ascending and descending in turn, so that neighbours are similar
        turned = torch.where(first % 2 == 0, last, most - last)
        order = order[((pool * most + first) * most + turned).argsort(stable=True)]
        blocks = self.cut.blocks(order)
        for index in torch.randperm(self.per_epoch, generator=generator).tolist()[start:]:
            block = blocks[index]
            share = share_of(len(block), self.rank, self.world)
            yield weighed(self.samples.take(block, share), share.stop - share.start, len(block), self.world)


@dataclass(frozen=True)
class TextInOrder:
    """Evaluation batches for models with a state: contiguous rows, every token but the first predicted once.

    Fewer rows than ``rows`` if they would have less than 10,000 tokens each. The last batch may be shorter; after the
    end of a row the target is -100. Ranks divide the rows. With ``characters_N`` batches have "characters" (B, T),
    those of the targets.
    """

    tokens_N: Tensor
    rows: int
    window: int
    rank: int = 0
    world: int = 1
    characters_N: Tensor | None = None

    def __iter__(self) -> Iterator[Batch]:
        predicted = len(self.tokens_N) - 1
        rows = max(1, min(self.rows, predicted // MIN_ROW))
        length = -(-predicted // rows)
        begins = length * torch.arange(rows)[self.rank :: self.world]
        ends = (begins + length).clamp(max=predicted)
        for start in range(0, length if len(begins) else 0, self.window):
            yield _window(self.tokens_N, begins + start, min(self.window, length - start), ends, self.characters_N)


@dataclass(frozen=True)
class WindowsInOrder:
    """Evaluation batches for models with a context: consecutive windows, every token but the first predicted once.

    The last window is padded, its target with -100; ranks alternate. "characters" as ``TextInOrder`` has them.
    """

    tokens_N: Tensor
    batch_size: int
    window: int
    rank: int = 0
    world: int = 1
    characters_N: Tensor | None = None

    def __iter__(self) -> Iterator[Batch]:
        predicted = len(self.tokens_N) - 1
        begins = torch.arange(0, max(predicted, 0), self.window)
        for block in _blocks(begins, self.batch_size)[self.rank :: self.world]:
            ends = torch.tensor(predicted)
            yield _window(self.tokens_N, block, min(self.window, predicted), ends, self.characters_N)


@dataclass(frozen=True)
class RaggedInOrder:
    """Evaluation batches of texts or pairs in order, with a possibly shorter last batch; ranks alternate."""

    samples: Ragged
    batch_size: int
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[Batch]:
        for block in _blocks(torch.arange(len(self.samples)), self.batch_size)[self.rank :: self.world]:
            yield self.samples.take(block)


def _window(
    tokens_N: Tensor,
    begins_B: Tensor,
    window: int,
    ends_B: Tensor | None = None,
    characters_N: Tensor | None = None,
) -> Batch:
    """Tokens from each start, and targets shifted by one, with their characters; padded from ``ends_B`` on."""
    place_BT = (begins_B[:, None] + torch.arange(window)).to(tokens_N.device)
    if ends_B is None:
        return {"tokens": tokens_N[place_BT].long(), "target": tokens_N[place_BT + 1].long()}
    real_BT = place_BT < ends_B.reshape(-1, 1).to(tokens_N.device)
    place_BT = torch.where(real_BT, place_BT, 0)
    tokens_BT, target_BT = tokens_N[place_BT].long(), tokens_N[place_BT + 1].long()
    batch = {"tokens": torch.where(real_BT, tokens_BT, 0), "target": torch.where(real_BT, target_BT, IGNORED)}
    if characters_N is not None:
        batch["characters"] = torch.where(real_BT, characters_N[place_BT + 1], 0)
    return batch


def _blocks(index: Tensor, size: int) -> list[Tensor]:
    return [index[start : start + size] for start in range(0, len(index), size)]


def _expect_shares(batch_size: int, world: int) -> None:
    if batch_size < 1 or batch_size % world:
        raise UsageError(f"batch size {batch_size} is not divisible by {world} processes")
