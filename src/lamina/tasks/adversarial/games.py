"""What the players of an adversarial game minimise, as data: games, their options, penalties of the discriminator.

Legend: B batch, N discriminators, P patches that each judges (mostly one); x any shape after the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.errors import UsageError

EPSILON = 1e-12
"""inside the root of a norm, which has no gradient at 0"""


@dataclass(frozen=True, kw_only=True)
class AdversarialOptions:
    """Options of every adversarial objective."""

    n_critic: int = 1
    """steps of the discriminator for each of the generator"""
    discriminator_rate: float = 1.0
    """factor on the discriminator's learning rate"""
    r1: float = 0.0
    """gamma of R1, gamma/2 ||grad D(x)||^2 at real samples; not with batch normalisation in the discriminator"""
    r1_interval: int = 1
    """R1 is taken at every so many steps of the discriminator, with so many times the weight"""
    aggregate: Literal["mean", "max", "softmax"] = "mean"
    """what the generator minimises of its losses against several discriminators: their mean, the largest, or a mean
    weighted by the softmax of ``sharpness`` times the losses"""
    sharpness: float = 1.0
    """aggregate softmax: 0 is the mean, large values come near the largest"""

    def __post_init__(self) -> None:
        for name in ("n_critic", "r1_interval"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.discriminator_rate < math.inf:
            raise UsageError(f"discriminator_rate must be greater than 0, got {self.discriminator_rate}")
        if not 0 <= self.r1 < math.inf:
            raise UsageError(f"r1 must not be negative, got {self.r1}")
        if not 0 <= self.sharpness < math.inf:
            raise UsageError(f"sharpness must not be negative, got {self.sharpness}")


@dataclass(frozen=True, kw_only=True)
class ClippedOptions(AdversarialOptions):
    """Options of the objective "wasserstein"."""

    n_critic: int = 5
    """steps of the discriminator for each of the generator"""
    weight_clip: float = 0.01
    """every weight of the critic is kept within this of 0"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.weight_clip < math.inf:
            raise UsageError(f"weight_clip must be greater than 0, got {self.weight_clip}")


@dataclass(frozen=True, kw_only=True)
class PenaltyOptions(AdversarialOptions):
    """Options of the objective "wasserstein-gp"."""

    n_critic: int = 5
    """steps of the discriminator for each of the generator"""
    penalty: float = 10.0
    """weight of (||grad D|| - 1)^2 between real and generated samples"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.penalty < math.inf:
            raise UsageError(f"penalty must be greater than 0, got {self.penalty}")


@dataclass(frozen=True, kw_only=True)
class Game:
    """What is minimised, as functions of scores, element by element: large scores stand for "real"."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    middle: float | None = 0.0
    """the score between real and fake; None: scores have no absolute value"""


def _minus(score: Tensor) -> Tensor:
    return -score


def _plus(score: Tensor) -> Tensor:
    return score


def _surprise(score: Tensor) -> Tensor:
    """-log sigmoid(score)"""
    return F.softplus(-score)


WASSERSTEIN = Game(real=_minus, fake=_plus, generator=_minus, middle=None)
GAMES: Mapping[str, Game] = {
    "non-saturating": Game(real=_surprise, fake=F.softplus, generator=_surprise),
    "minimax": Game(real=_surprise, fake=F.softplus, generator=lambda score: -F.softplus(score)),
    "least-squares": Game(
        real=lambda score: (score - 1).square() / 2,
        fake=lambda score: score.square() / 2,
        generator=lambda score: (score - 1).square() / 2,
        middle=0.5,
    ),
    "hinge": Game(real=lambda score: F.relu(1 - score), fake=lambda score: F.relu(1 + score), generator=_minus),
    "wasserstein": WASSERSTEIN,
    "wasserstein-gp": WASSERSTEIN,
}
OPTIONS: Mapping[str, type[AdversarialOptions]] = {
    **dict.fromkeys(GAMES, AdversarialOptions),
    "wasserstein": ClippedOptions,
    "wasserstein-gp": PenaltyOptions,
}


def by_discriminator(scores: Tensor) -> Tensor:
    """Scores (B,), (B, N) or, of patches, (B, N, ...) as (B, N, P)."""
    return scores.reshape(len(scores), scores.shape[1] if scores.ndim > 1 else 1, -1)


def aggregated(loss_N: Tensor, aggregate: str, sharpness: float) -> Tensor:
    """What the generator faces of its losses against N discriminators, a scalar."""
    if aggregate == "max":
        return loss_N.amax()
    return ((sharpness * loss_N).softmax(0) * loss_N).sum() if aggregate == "softmax" else loss_N.mean()


def squared_slopes(discriminator: nn.Module, x: Tensor, label_B: Tensor | None) -> Tensor:
    """||grad D_n(x)||^2 of each sample over all of its values, (B, N), itself differentiable, in the type of the
    weights.

    ``discriminator`` is the module itself: under mixed precision a wrapped one cannot be differentiated twice.
    """
    x = x.detach().to(next(discriminator.parameters()).dtype).requires_grad_()
    score_N = by_discriminator(discriminator(x, label_B)).sum((0, 2))
    slopes = [torch.autograd.grad(score, x, create_graph=True, retain_graph=True)[0] for score in score_N]
    return torch.stack([slope.flatten(1).square().sum(1) for slope in slopes], 1)


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, label_B: Tensor | None) -> Tensor:
    """E (||grad D_n|| - 1)^2 at x^ = epsilon x + (1 - epsilon) G(z), one epsilon from U(0, 1) for each sample, (N,)."""
    epsilon = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
    mixed = epsilon * real + (1 - epsilon) * fake.to(real.dtype)
    norm_BN = (squared_slopes(discriminator, mixed, label_B) + EPSILON).sqrt()
    return (norm_BN - 1).square().mean(0)
