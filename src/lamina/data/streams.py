"""Batches as a pure function of (seed, epoch, index, rank): a position is all there is to save.

Batches are global: one order is drawn for all ranks, each takes its slice; augmentation is drawn for the global batch
before slicing. So two processes see what one sees, and a resumed run sees what the interrupted one would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from lamina.errors import LaminaError, UsageError
from lamina.options.recipe import Recipe
from lamina.randomness import derive

Batch = dict[str, Tensor]
CPU = torch.device("cpu")
IGNORED = -100
"""target where there is nothing to predict: torch's losses leave it out"""


@dataclass(frozen=True)
class Place:
    """Where batches go: to a device, in one of several processes."""

    device: torch.device = CPU
    rank: int = 0
    world: int = 1


@runtime_checkable
class Stream(Protocol):
    """What training draws from: any object with these three."""

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the ``start``-th on, the same whenever asked."""

    def with_batch_size(self, batch_size: int) -> Stream:
        """The same data in batches of another size."""


@dataclass(frozen=True)
class InMemory:
    """Tensors that share dimension 0, in their stored type, on the device they will be used on."""

    tensors: Batch

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def take(self, index: Tensor | slice) -> Batch:
        """The samples of an index tensor (on the same device), as copies; or of a slice, as views."""
        if isinstance(index, slice):
            return {name: tensor[index] for name, tensor in self.tensors.items()}
        return {name: tensor.index_select(0, index) for name, tensor in self.tensors.items()}

    def batches(self, blocks: Sequence[Tensor], workers: int, device: torch.device) -> Iterator[Batch]:
        """The samples of each block of numbers, in order."""
        home = next(iter(self.tensors.values())).device
        # the whole order goes to the device at once, not a piece of it before every batch
        order = torch.cat(list(blocks)).to(home)
        for index in order.split_with_sizes([len(block) for block in blocks]):
            yield self.take(index)

    def to(self, device: torch.device) -> InMemory:
        return InMemory({name: tensor.to(device) for name, tensor in self.tensors.items()})


class Streamed(Dataset[Batch]):
    """Samples made one at a time by ``load(i)``, in worker processes where asked.

    ``load`` must be picklable (an object or a module's function, no closure): workers may be started afresh. It must
    draw no random numbers, and may raise LaminaError.
    """

    def __init__(self, length: int, load: Callable[[int], Batch]) -> None:
        self.length, self.load = length, load

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        return self.load(index)

    def batches(self, blocks: Sequence[Tensor], workers: int, device: torch.device) -> Iterator[Batch]:
        """The samples of each block of numbers, in order, made by ``workers`` processes (0: by this one)."""
        loader = DataLoader(
            _Guarded(self),
            batch_sampler=[block.tolist() for block in blocks],
            num_workers=workers,
            collate_fn=_collate,
            pin_memory=device.type == "cuda",
            # its own generator: the loader would draw a seed for its workers from the default one, and shift dropout
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(batch, _Failure):
                raise batch.error
            yield batch

    def to(self, device: torch.device) -> Streamed:
        """Itself: samples go to a device as they are made."""
        return self


class Augment(Protocol):
    """A random change of a batch, its numbers drawn apart from its application."""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """Parameters for ``size`` samples, each tensor with ``size`` on dimension 0."""

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch changed as the parameters say; the batch is on the device, the parameters are on the CPU."""


def _as_is(batch: Batch) -> Batch:
    return batch


@dataclass(frozen=True)
class Shuffled:
    """Training batches: a new order every epoch, what fills no last batch left out (others each epoch)."""

    samples: InMemory | Streamed
    batch_size: int
    """samples in a batch, over all ranks"""
    seed: int
    prepare: Callable[[Batch], Batch] = _as_is
    """on the device, after augmentation: to floating point, normalised"""
    augment: Augment | None = None
    workers: int = 0
    device: torch.device = CPU
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch_size > len(self.samples):
            raise UsageError(
                f"batch size {self.batch_size} is larger than the training data ({len(self.samples)} samples); "
                f"use --batch-size {len(self.samples)} or less"
            )
        if self.batch_size < 1 or self.batch_size % self.world:
            raise UsageError(f"batch size {self.batch_size} does not divide among {self.world} processes")

    @property
    def per_epoch(self) -> int:
        return len(self.samples) // self.batch_size

    def with_batch_size(self, batch_size: int) -> Shuffled:
        return replace(self, batch_size=batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
        order = torch.randperm(len(self.samples), generator=generator)
        share = self.batch_size // self.world
        first = self.rank * share
        mine = [
            order[i * self.batch_size + first : i * self.batch_size + first + share]
            for i in range(start, self.per_epoch)
        ]
        drawn_in_order = self.samples.batches(mine, self.workers, self.device) if mine else ()
        for index, raw in enumerate(drawn_in_order, start):
            batch = _move(raw, self.device)
            if self.augment is not None:
                generator = torch.Generator().manual_seed(derive(self.seed, "augment", epoch, index))
                drawn = self.augment.draw(self.batch_size, generator)
                part = {name: value[first : first + share] for name, value in drawn.items()}
                batch = self.augment.apply(batch, part)
            yield self.prepare(batch)


@dataclass(frozen=True)
class InOrder:
    """Evaluation batches: every sample once, in order, the last batch as short as it comes; ranks take turns."""

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
"""samples of a batch at least, where no gradient is wanted"""


def in_order(
    samples: InMemory | Streamed, recipe: Recipe, place: Place, prepare: Callable[[Batch], Batch], workers: int = 0
) -> InOrder:
    """Evaluation batches of samples of one size: no smaller than in training."""
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
) -> Shuffled:
    """Training batches of samples of one size. Raises UsageError for a window, which is for running text, and for a
    batch that does not fit."""
    if recipe.window is not None:
        raise UsageError("window is for running text: the data have samples of their own")
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
    )


@dataclass(frozen=True)
class _Failure:
    """An error on its way out of a worker: raised there, its one line would come with a traceback in it."""

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
