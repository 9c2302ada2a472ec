"""The maps that a model's own forward goes through, stage by stage, for any model with ``features``.

A family's ``forward`` takes the maps from its ``features``; inside ``captured_features`` all of them are kept.
No layer has to be named or guessed: the stage of a Swin or a ConvNeXt is found as that of a ResNet is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.layers.heads import stage_numbers

Features = Callable[[Tensor, Sequence[int] | None], list[Tensor]]


def feature_maps(model: nn.Module, x: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
    """The maps (B, C, H, W) after each of the ``stages`` named, from 0, all when None; (B, D) of a perceptron's layers.

    In evaluation mode, without gradients. Raises UsageError for a model without ``features``, an input it does not take
    and a stage that is not there.
    """
    features = features_of(model)
    with evaluation_mode(model), torch.no_grad():
        try:
            return list(features(x, stages))
        except ValueError as error:
            raise UsageError(str(error)) from error


@contextmanager
def captured_features(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list into which the maps of all stages come, first to last, when the model's forward is called."""
    features, maps = features_of(model), list[Tensor]()

    def keep(x: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        maps[:] = features(x, None)
        return [maps[stage] for stage in stage_numbers(stages, len(maps))]

    model.features = keep  # type: ignore[assignment]  # of this one object; its class keeps its own
    try:
        yield maps
    finally:
        del model.features


def features_of(model: nn.Module) -> Features:
    """Its method. Raises UsageError for a model that has none."""
    features = getattr(model, "features", None)
    if features is None or isinstance(features, nn.Module):  # torchvision calls its layers so
        raise UsageError(f"{type(model).__name__} has no method features(x, stages): its maps cannot be looked at")
    found: Features = features
    return found


def stage_number(stage: int, count: int) -> int:
    """A stage of ``count``, numbered from 0 or, negative, from the last. Raises UsageError."""
    try:
        return stage_numbers([stage], count)[0]
    except ValueError as error:
        raise UsageError(str(error)) from error
