"""The feature maps of a model's forward pass, stage by stage, for any model with a ``features`` method.

The image classifiers' ``forward`` gets its maps from ``features``, so no layer has to be named or guessed: the stages
of a Swin or a ConvNeXt are found in the same way as those of a ResNet.
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
    """The feature map (B, C, H, W) of each of the ``stages``, counted from 0 (all when None); (B, D) for an MLP's
    layers.

    The model runs in evaluation mode, without gradients. Raises UsageError for a model without ``features``, an input
    that it does not accept and a stage that does not exist.
    """
    features = features_of(model)
    with evaluation_mode(model), torch.no_grad():
        try:
            return list(features(x, stages))
        except ValueError as error:
            raise UsageError(str(error)) from error


@contextmanager
def captured_features(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that receives the feature maps of all stages, in order, when the model's forward runs."""
    features, maps = features_of(model), list[Tensor]()

    def keep(x: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        maps[:] = features(x, None)
        return [maps[stage] for stage in stage_numbers(stages, len(maps))]

    model.features = keep  # type: ignore[assignment]  # on this instance only
    try:
        yield maps
    finally:
        del model.features


def features_of(model: nn.Module) -> Features:
    """The model's ``features`` method. Raises UsageError for a model without one."""
    features = getattr(model, "features", None)
    if features is None or isinstance(features, nn.Module):  # in torchvision the module of all layers
        raise UsageError(f"{type(model).__name__} has no method features(x, stages), which gives its feature maps")
    found: Features = features
    return found


def stage_number(stage: int, count: int) -> int:
    """The index of a stage of ``count``, which may be negative to count from the last. Raises UsageError."""
    try:
        return stage_numbers([stage], count)[0]
    except ValueError as error:
        raise UsageError(str(error)) from error
