"""A source in memory: raw splits and their spec, before any preprocessing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from lamina.data.spec import DataSpec


class Split(Protocol):
    """The raw data of one split; each modality has its own class."""

    def __len__(self) -> int: ...


class Samples(Split, Protocol):
    """A split of independent samples, which can be subset.

    ``targets`` are (N,) int64 class indices, or (N, K) float32 labels (0 or 1) or regression values; None without
    targets.
    """

    @property
    def targets(self) -> Tensor | None: ...

    def subset(self, index: Sequence[int]) -> Self: ...

    def with_targets(self, targets: Tensor | None) -> Self: ...

    def joined(self, other: Self) -> Self:
        """Concatenation, without targets. Raises DataError for samples that cannot be combined."""


class Comparable(Split, Protocol):
    """A split that can say how many of its samples are in another."""

    def repeated(self, other: Self) -> int:
        """The number of samples that are in ``other``, too, with the same target; 0 where it is dear to find out."""


def repeats(
    inputs: Iterable[Hashable], targets: Tensor | None, others: Iterable[Hashable], other_targets: Tensor | None
) -> int:
    """How many of the samples are among the others, input and target."""
    there = set(_keys(others, other_targets))
    return sum(key in there for key in _keys(inputs, targets))


def _keys(inputs: Iterable[Hashable], targets: Tensor | None) -> Iterable[Hashable]:
    if targets is None:
        return inputs
    return zip(inputs, map(tuple, targets.reshape(len(targets), -1).tolist()), strict=True)


def chosen_targets(targets: Tensor | None, index: Tensor) -> Tensor | None:
    """The targets at ``index``."""
    return None if targets is None else targets[index]


def targets_of(split: Split) -> Tensor | None:
    """The targets of a split, or None."""
    targets: Tensor | None = getattr(split, "targets", None)
    return targets


def as_index(index: Sequence[int]) -> Tensor:
    """Sample indices as an int64 tensor."""
    return torch.as_tensor(index, dtype=torch.int64)


@dataclass(frozen=True)
class Source:
    """Splits by name ("train", optionally "validation" and "test") and their spec.

    Example: ``len(open_source("iris").splits["train"])``
    """

    spec: DataSpec
    splits: Mapping[str, Split]
