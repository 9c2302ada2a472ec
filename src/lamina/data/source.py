"""A source in memory: raw splits and their spec, before any preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from lamina.data.spec import DataSpec


class Split(Protocol):
    """The data of one split, as a modality keeps them."""

    def __len__(self) -> int: ...


class Samples(Split, Protocol):
    """A split of samples that stand for themselves: some of them can be taken out.

    ``targets`` are (N,) int64 class indices, or (N, K) float32: zeros and ones of labels, values of a regression; None
    where the source has none.
    """

    @property
    def targets(self) -> Tensor | None: ...

    def subset(self, index: Sequence[int]) -> Self: ...

    def with_targets(self, targets: Tensor | None) -> Self: ...

    def joined(self, other: Self) -> Self:
        """These samples and then the others, without targets. Raises DataError where they do not go together."""


def chosen_targets(targets: Tensor | None, index: Tensor) -> Tensor | None:
    """The targets of some samples."""
    return None if targets is None else targets[index]


def targets_of(split: Split) -> Tensor | None:
    """The targets of a split; None where it has none."""
    targets: Tensor | None = getattr(split, "targets", None)
    return targets


def as_index(index: Sequence[int]) -> Tensor:
    """Places of samples as a tensor."""
    return torch.as_tensor(index, dtype=torch.int64)


@dataclass(frozen=True)
class Source:
    """Named splits ("train", and where they exist "validation" and "test") and what is known of them."""

    spec: DataSpec
    splits: Mapping[str, Split]
