"""Shared by all classifiers: the output layer, and the indices of the stages whose features are requested."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def linear_head(features: int, outputs: int, like: Tensor | None = None) -> nn.Module:
    """A new linear output layer (B, features) -> (B, outputs), with the device and dtype of ``like``; with 0 outputs
    the identity, which returns the features."""
    if not outputs:
        return nn.Identity()
    if like is None:
        return nn.Linear(features, outputs)
    return nn.Linear(features, outputs, device=like.device, dtype=like.dtype)


def stage_numbers(stages: Sequence[int] | None, count: int) -> list[int]:
    """Stage indices from 0 to ``count`` - 1: all of them if ``stages`` is None, negative ones counted from the end.

    Raises ValueError for a stage that does not exist.

    >>> stage_numbers([-1, 0], count=4)
    [3, 0]
    """
    numbers = list(range(count)) if stages is None else list(stages)
    for stage in numbers:
        if not -count <= stage < count:
            raise ValueError(f"there is no stage {stage}: this model has {count}, numbered from 0")
    return [stage % count for stage in numbers]
