"""Variational autoencoders of the 8 × 8 digits, small enough for a claim.

Legend: N samples, B batch, F pixels, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import generator
from lamina.equations import variational
from lamina.registry import create_model

TRAIN = 1500

Loss = Callable[[Tensor, Tensor], Tensor]
"""of log p(x|z), (B, F) by pixel, and KL(q(z|x) || p(z)), (B, L) by dimension"""


class Training(Protocol):
    """What a training needs of a claim's settings."""

    @property
    def hidden(self) -> int: ...
    @property
    def latent(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def lr(self) -> float: ...


def digits(seed: int) -> tuple[Tensor, Tensor]:
    """Training and test digits (N, 64), grey levels from 0 to 1, split at random."""
    from sklearn.datasets import load_digits

    x_NF = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    x_NF = x_NF[torch.randperm(len(x_NF), generator=generator(seed, "split"))]
    return x_NF[:TRAIN], x_NF[TRAIN:]


def train_vae(settings: Training, x_NF: Tensor, seed: int, beta: float = 1.0, loss: Loss | None = None) -> Any:
    """A VAE with Bernoulli likelihood after ``settings.steps`` steps of Adam on the negative ELBO, or on ``loss``. Nets
    of one seed start alike and see the same batches and noise."""
    net: Any = drawn(partial(_vae, settings, x_NF.shape[1]), seed, "weights")
    draw = generator(seed, "batches")
    optimiser = torch.optim.Adam(net.parameters(), settings.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    for _ in range(settings.steps):
        x_BF = x_NF[torch.randint(len(x_NF), (settings.batch,), generator=draw)]
        log_likelihood_BF, kl_BL = parts(net, x_BF, draw)
        if loss is None:
            error = variational.negative_elbo(log_likelihood_BF.sum(1), kl_BL.sum(1), beta)
        else:
            error = loss(log_likelihood_BF, kl_BL)
        optimiser.zero_grad()
        torch.autograd.backward(error)
        optimiser.step()
        schedule.step()
    return net


def _vae(settings: Training, inputs: int) -> Any:
    return create_model("vae", in_features=inputs, hidden=(settings.hidden,), latent=settings.latent)


def parts(net: Any, x_BF: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """log p(x|z) by pixel (B, F), one draw of z, and KL(q(z|x) || p(z)) by dimension (B, L)."""
    mean_BL, log_variance_BL = net.encode(x_BF)
    noise_BL = torch.randn(mean_BL.shape, generator=draw, dtype=mean_BL.dtype)
    logits_BF = net.decode(variational.reparameterise(mean_BL, log_variance_BL, noise_BL))
    by_pixel = variational.bernoulli_log_likelihood(x_BF.reshape(-1, 1), logits_BF.reshape(-1, 1))
    by_dimension = variational.kl_to_standard_normal(mean_BL.reshape(-1, 1), log_variance_BL.reshape(-1, 1))
    return by_pixel.view_as(x_BF), by_dimension.view_as(mean_BL)


def elbo_parts(net: Any, x_NF: Tensor, seed: int, draws: int) -> tuple[float, float]:
    """E_q[log p(x|z)] and the divergence, means over the samples."""
    draw = generator(seed, "evaluation")
    with torch.no_grad():
        both = [parts(net, x_NF, draw) for _ in range(draws)]
    log_likelihood, kl = (torch.cat(of).double().sum(1).mean().item() for of in zip(*both, strict=True))
    return log_likelihood, kl
