"""The batches that suit what a split became and the model that reads it, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lamina.data.preprocess import Preprocess
from lamina.data.streams import CPU, Augment, Batch, InMemory, InOrder, Shuffled, Stream, Streamed
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.streams import (
    ByLength,
    Contiguous,
    Ragged,
    RaggedInOrder,
    TextInOrder,
    Windows,
    WindowsInOrder,
)
from lamina.decoding.decoder import limits
from lamina.errors import UsageError
from lamina.options.recipe import Recipe

Samples = InMemory | Streamed | Ragged
"""A split as a preprocess encodes it."""

WINDOW = 35
"""tokens that a gradient reaches back where neither recipe nor model says it (Zaremba et al. 2014)"""
EVALUATION_BATCH = 256
"""samples of a batch at least, where no gradient is wanted"""


@dataclass(frozen=True)
class Place:
    """Where batches go: to a device, in one of several processes."""

    device: torch.device = CPU
    rank: int = 0
    world: int = 1


def training_stream(
    samples: Samples, recipe: Recipe, preprocess: Preprocess, model: nn.Module, augment: Augment | None, place: Place
) -> Stream:
    """Shuffled samples; texts and pairs of like length together; running text in contiguous rows for a model that
    carries a state, in shuffled windows for one with a context.

    Raises UsageError for a batch or a window that does not fit.
    """
    size, seed, rank, world = recipe.batch_size, recipe.seed, place.rank, place.world
    tokens_N = _running(samples)
    if recipe.window is not None and tokens_N is None:
        raise UsageError("window is for running text: the data have samples of their own")
    if isinstance(samples, Ragged):
        assert isinstance(preprocess, TextPreprocess)
        longest = None if samples.second is None else preprocess.max_tokens
        return ByLength(samples, size, seed, longest=longest, rank=rank, world=world)
    if tokens_N is not None:
        window = window_of(recipe, model)
        if limits(model)[1] is None:
            return Contiguous(tokens_N, size, window, seed, rank=rank, world=world)
        return Windows(tokens_N, size, window, seed, rank=rank, world=world)
    return Shuffled(
        samples,
        size,
        seed,
        prepare=preprocess.prepare,
        augment=augment,
        workers=recipe.workers,
        device=place.device,
        rank=rank,
        world=world,
    )


def evaluation_batches(
    samples: Samples, recipe: Recipe, preprocess: Preprocess, model: nn.Module, place: Place, workers: int = 0
) -> Iterable[Batch]:
    """Every sample once, in order; of running text every token but the first."""
    rank, world = place.rank, place.world
    size = max(1, recipe.batch_size // world)  # of texts no larger than in training: logits of all tokens are large
    if isinstance(samples, Ragged):
        return RaggedInOrder(samples, size, rank=rank, world=world)
    if (tokens_N := _running(samples)) is not None:
        window = window_of(recipe, model)
        if limits(model)[1] is None:
            return TextInOrder(tokens_N, recipe.batch_size, window, rank=rank, world=world)
        return WindowsInOrder(tokens_N, size, window, rank=rank, world=world)
    return InOrder(
        samples,
        max(size, EVALUATION_BATCH // world),
        prepare=preprocess.prepare,
        workers=workers,
        device=place.device,
        rank=rank,
        world=world,
    )


def window_of(recipe: Recipe, model: nn.Module) -> int:
    """Tokens of a row of running text. Raises UsageError where the model takes fewer."""
    context = limits(model)[1]
    if recipe.window is None:
        return WINDOW if context is None else context
    if context is not None and recipe.window > context:
        raise UsageError(f"window {recipe.window} is longer than the model's context of {context}")
    return recipe.window


def _running(samples: Samples) -> Tensor | None:
    """The tokens of running text; None for everything that has samples."""
    return samples.tensors.get("tokens") if isinstance(samples, InMemory) else None
