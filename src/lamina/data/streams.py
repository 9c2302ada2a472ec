"""Batches as a pure function of (seed, epoch, index, rank): only positions need to be saved.

Batches are global: one order is drawn for all ranks, and each takes its slice; augmentation is drawn for the global
batch before slicing. Results therefore do not depend on the number of processes or on interruptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, Self, cast, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from lamina.errors import LaminaError, UsageError
from lamina.options.recipe import Recipe
from lamina.randomness import derive

Batch = dict[str, Tensor]
CPU = torch.device("cpu")
IGNORED = -100
"""target without a prediction, ignored by torch's losses"""
WEIGHT = "weight"
"""(B,) in a batch whose samples do not divide equally among ranks: by it a rank's mean counts in the mean over ranks"""
BLANK = "blank"
"""(B,) bool in a batch of user input: rows without content, which have no prediction but keep their place"""


@dataclass(frozen=True)
class Place:
    """The device of batches, and the rank among processes."""

    device: torch.device = CPU
    rank: int = 0
    world: int = 1


@runtime_checkable
class Stream(Protocol):
    """The interface of training batches.

    Example: ``next(stream.batches(epoch=0))``
    """

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the ``start``-th on; deterministic."""

    def with_batch_size(self, batch_size: int) -> Stream:
        """The same data in batches of another size."""


@runtime_checkable
class Elastic(Protocol):
    """A stream whose remainder is cut in another way on another number of ranks."""

    def with_count(self, count: int) -> Stream:
        """The same data in so many batches, where that is how they are cut on another number of ranks."""


@dataclass(frozen=True)
class InMemory:
    """Samples held as tensors (dimension 0), in their stored type, on the device of training.

    Example: ``InMemory({"image": images_NCHW, "target": targets_N})``
    """

    tensors: Batch

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def take(self, index: Tensor | slice) -> Batch:
        """The samples of an index tensor (on the same device) as copies, or of a slice as views."""
        if isinstance(index, slice):
            return {name: tensor[index] for name, tensor in self.tensors.items()}
        return {name: tensor.index_select(0, index) for name, tensor in self.tensors.items()}

    def batches(self, blocks: Sequence[Tensor], workers: int, device: torch.device) -> Iterator[Batch]:
        """The samples of each block of indices, in order."""
        home = next(iter(self.tensors.values())).device
        # the whole order is copied to the device at once, not in pieces before every batch
        order = torch.cat(list(blocks)).to(home)
        for index in order.split_with_sizes([len(block) for block in blocks]):
            yield self.take(index)

    def to(self, device: torch.device) -> InMemory:
        return InMemory({name: tensor.to(device) for name, tensor in self.tensors.items()})


class Streamed(Dataset[Batch]):
    """Samples loaded one at a time by ``load(i)``, optionally in worker processes.

    ``load`` must be picklable (an object or a module-level function) and must not draw random numbers; it may raise
    LaminaError.
    """

    def __init__(self, length: int, load: Callable[[int], Batch]) -> None:
        self.length, self.load = length, load

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        return self.load(index)

    def batches(self, blocks: Sequence[Tensor], workers: int, device: torch.device) -> Iterator[Batch]:
        """The samples of each block of indices, in order, loaded by ``workers`` processes (0: this process)."""
        loader = DataLoader(
            _Guarded(self),
            batch_sampler=[block.tolist() for block in blocks],
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=device.type == "cuda",
            # otherwise the loader draws its workers' seed from the default generator, which changes dropout
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch

    def to(self, device: torch.device) -> Streamed:
        """Itself: batches are moved when they are loaded."""
        return self


class Augment(Protocol):
    """A random augmentation of a batch; parameters are drawn separately from their application."""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """Parameters for ``size`` samples, each tensor with ``size`` on dimension 0."""

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The augmented batch; the batch is on the device, the parameters on the CPU."""


def _as_is(batch: Batch) -> Batch:
    return batch


FEW_BATCHES = 20
"""an epoch of fewer batches leaves no samples out"""


@dataclass(frozen=True)
class Cut:
    """How an epoch of ``samples`` is cut into batches of ``batch_size``, over all ranks.

    The remainder that fills no batch is left out, another one each epoch. With ``whole`` an epoch of fewer than 20
    batches leaves nothing out: the remainder is a batch of its own, smaller, and where it has fewer than two samples a
    rank, they join the last batch.

    Example: ``Cut(samples=70, batch_size=32, whole=True).sizes`` is ``[32, 32, 6]``.
    """

    samples: int
    batch_size: int
    whole: bool = False
    world: int = 1
    fixed: int | None = None
    """batches in an epoch, as on the number of processes with which training began; None: as above"""

    def __post_init__(self) -> None:
        if self.fixed is not None and self._apart and self._rest < self.world:
            raise UsageError(
                f"the last batch of an epoch has {self._rest} samples, too few for {self.world} processes: resume with "
                f"--devices {self._rest} or less"
            )

    @property
    def _full(self) -> int:
        return self.samples // self.batch_size

    @property
    def _rest(self) -> int:
        rest = self.samples % self.batch_size
        return rest if self.whole and 0 < self._full < FEW_BATCHES else 0

    @property
    def _apart(self) -> bool:
        """Whether the remainder is a batch of its own."""
        if self.fixed is not None:
            return self.fixed > self._full and self._rest > 0
        return self._rest >= 2 * self.world

    @property
    def count(self) -> int:
        """Batches in an epoch."""
        return self._full + self._apart

    @property
    def sizes(self) -> list[int]:
        """Samples in each batch of an epoch."""
        sizes = [self.batch_size] * self._full + [self._rest] * self._apart
        if self._rest and not self._apart:
            sizes[-1] += self._rest
        return sizes

    def blocks(self, order: Tensor) -> tuple[Tensor, ...]:
        """The samples of each batch, in the given order of all."""
        return order[: sum(self.sizes)].split_with_sizes(self.sizes)


def share_of(size: int, rank: int, world: int) -> slice:
    """A rank's share of a batch: equal shares, but that the first have one more of what is left over."""
    each, more = divmod(size, world)
    first = rank * each + min(rank, more)
    return slice(first, first + each + (rank < more))


def weighed(batch: Batch, mine: int, size: int, world: int) -> Batch:
    """A rank's share of a batch, with its weight where shares are unequal."""
    if mine * world == size:
        return batch
    return {**batch, WEIGHT: torch.full((mine,), mine * world / size, dtype=torch.float64)}


class InCuts:
    """What frozen dataclasses have in common whose epochs are one order of samples, cut as ``Cut`` says."""

    batch_size: int
    whole: bool
    world: int
    fixed: int | None

    @property
    def _length(self) -> int:
        """Samples in the order of an epoch."""
        raise NotImplementedError

    @cached_property
    def cut(self) -> Cut:
        """Of the samples of an epoch."""
        return Cut(self._length, self.batch_size, self.whole, self.world, self.fixed)

    @cached_property
    def per_epoch(self) -> int:  # read several times in every step
        return self.cut.count

    def with_batch_size(self, batch_size: int) -> Self:
        return self._with(batch_size=batch_size, fixed=None)

    def with_count(self, count: int) -> Self:
        """The same data in so many batches, where that is how they are cut on another number of ranks."""
        return self._with(fixed=count)

    def _with(self, **fields: int | None) -> Self:
        changed: Self = replace(cast(Any, self), **fields)
        return changed


@dataclass(frozen=True)
class Shuffled(InCuts):
    """Training batches, shuffled every epoch, cut as ``Cut`` says.

    Example: ``Shuffled(samples, batch_size=32, seed=0).batches(epoch=0)``
    """

    samples: InMemory | Streamed
    batch_size: int
    """samples in a batch, over all ranks"""
    seed: int
    prepare: Callable[[Batch], Batch] = _as_is
    """applied on the device after augmentation: conversion to float, normalisation"""
    augment: Augment | None = None
    workers: int = 0
    device: torch.device = CPU
    rank: int = 0
    world: int = 1
    whole: bool = False
    """whether an epoch of few batches leaves no sample out"""
    fixed: int | None = None
    """batches in an epoch, where training began on another number of ranks"""

    def __post_init__(self) -> None:
        if self.batch_size > len(self.samples):
            raise UsageError(
                f"batch size {self.batch_size} is larger than the training data ({len(self.samples)} samples); "
                f"use --batch-size {len(self.samples)} or less"
            )
        if self.batch_size < 1 or self.batch_size % self.world:
            raise UsageError(f"batch size {self.batch_size} is not divisible by {self.world} processes")

    @property
    def _length(self) -> int:
        return len(self.samples)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
        order = torch.randperm(len(self.samples), generator=generator)
        blocks = self.cut.blocks(order)[start:]
        shares = [share_of(len(block), self.rank, self.world) for block in blocks]
        mine = [block[share] for block, share in zip(blocks, shares, strict=True)]
        drawn_in_order = self.samples.batches(mine, self.workers, self.device) if mine else ()
        for index, (raw, block, share) in enumerate(zip(drawn_in_order, blocks, shares, strict=True), start):
            batch = _move(raw, self.device)
            if self.augment is not None:
                generator = torch.Generator().manual_seed(derive(self.seed, "augment", epoch, index))
                drawn = self.augment.draw(len(block), generator)
                batch = self.augment.apply(batch, {name: value[share] for name, value in drawn.items()})
            yield weighed(self.prepare(batch), len(block[share]), len(block), self.world)


@dataclass(frozen=True)
class InOrder:
    """Evaluation batches: every sample once, in order, with a possibly shorter last batch; ranks alternate."""

    samples: InMemory | Streamed
    batch_size: int
    prepare: Callable[[Batch], Batch] = _as_is
    workers: int = 0
    device: torch.device = CPU
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[Batch]:
        total = len(self.samples)
        blocks = [torch.arange(i, min(i + self.batch_size, total)) for i in range(0, total, self.batch_size)]
        mine = blocks[self.rank :: self.world]
        for raw in self.samples.batches(mine, self.workers, self.device) if mine else ():
            yield self.prepare(_move(raw, self.device))


EVALUATION_BATCH = 256
"""minimum batch size without gradients"""


def in_order(
    samples: InMemory | Streamed, recipe: Recipe, place: Place, prepare: Callable[[Batch], Batch], workers: int = 0
) -> InOrder:
    """Evaluation batches of equally sized samples, at least as large as in training."""
    size = max(1, recipe.batch_size // place.world)
    return InOrder(
        samples,
        max(size, EVALUATION_BATCH // place.world),
        prepare=prepare,
        workers=workers,
        device=place.device,
        rank=place.rank,
        world=place.world,
    )


def shuffled(
    samples: InMemory | Streamed,
    recipe: Recipe,
    place: Place,
    prepare: Callable[[Batch], Batch],
    augment: Augment | None = None,
    whole: bool = False,
) -> Shuffled:
    """Training batches of equally sized samples. Raises UsageError for a window (an option of running text) and an
    unsuitable batch size."""
    if recipe.window is not None:
        raise UsageError("window is for running text, but the data consist of separate samples")
    return Shuffled(
        samples,
        recipe.batch_size,
        recipe.seed,
        prepare=prepare,
        augment=augment,
        workers=recipe.workers,
        device=place.device,
        rank=place.rank,
        world=place.world,
        whole=whole,
    )


@dataclass(frozen=True)
class _Failure:
    """An error returned from a worker: raised there, its message would contain a traceback."""

    error: LaminaError


class _Guarded(Dataset["Batch | _Failure"]):
    def __init__(self, samples: Streamed) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch | _Failure:
        try:
            return self.samples[index]
        except LaminaError as error:
            return _Failure(error)


def _collate(items: list[Batch | _Failure]) -> Batch | _Failure:
    for item in items:
        if isinstance(item, _Failure):
            return item
    batch: Batch = default_collate(items)
    return batch


def _move(batch: Batch, device: torch.device) -> Batch:
    return {name: value.to(device, non_blocking=True) for name, value in batch.items()}
