"""What every classifier does alike: its output layer, and the choice of stages whose features are wanted."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def linear_head(features: int, outputs: int, like: Tensor | None = None) -> nn.Module:
    """A new output layer (B, features) -> (B, outputs), on the device and in the dtype of ``like``; 0 outputs: none,
    the features pass through."""
    if not outputs:
        return nn.Identity()
    if like is None:
        return nn.Linear(features, outputs)
    return nn.Linear(features, outputs, device=like.device, dtype=like.dtype)


def stage_numbers(stages: Sequence[int] | None, count: int) -> list[int]:
    """The stages wanted, numbered from 0; None means all ``count``, a negative one counts from the last, as in a list.

    Raises ValueError for a stage that is not there.
    """
    numbers = list(range(count)) if stages is None else list(stages)
    for stage in numbers:
        if not -count <= stage < count:
            raise ValueError(f"there is no stage {stage}: this model has {count}, numbered from 0")
    return [stage % count for stage in numbers]
