"""Adversarial networks: what discriminator and generator minimise, and what keeps a discriminator smooth.

Papers: Goodfellow et al., "Generative adversarial nets", NIPS 2014, arXiv 1406.2661 (minimax, non-saturating); Mao et
al., ICCV 2017, arXiv 1611.04076 (least squares); Lim, Ye, arXiv 1705.02894 (hinge); Arjovsky, Chintala, Bottou, ICML
2017, arXiv 1701.07875 (Wasserstein); Gulrajani et al., NIPS 2017, arXiv 1704.00028 (gradient penalty); Mescheder,
Geiger, Nowozin, ICML 2018, arXiv 1801.04406 (R1); Miyato et al., ICLR 2018, arXiv 1802.05957 (spectral norm);
Durugkar, Gemp, Mahadevan, ICLR 2017, arXiv 1611.01673 (several discriminators).

All losses are minimised and are means over the samples. ``real`` and ``fake`` are outputs of the discriminator before
any sigmoid: logits, or scores of a critic. Large values stand for "real".

Legend: B batch, N discriminators; x any shape after the batch.

    >>> minimax_discriminator_loss(torch.zeros(3), torch.zeros(3))  # log 4: it cannot tell them apart
    tensor(1.3863)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

EPSILON = 1e-12
"""inside the root of a norm, which has no gradient at 0"""


def softplus(z: Tensor) -> Tensor:
    """log(e^0 + e^z), without overflow; -log sigmoid(z) is softplus(-z)."""
    return torch.logaddexp(z, torch.zeros_like(z))


def minimax_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))): the negative of the value V(D, G). Also of the non-saturating game."""
    return softplus(-real).mean() + softplus(fake).mean()


def minimax_generator_loss(fake: Tensor) -> Tensor:
    """E log(1 - D(G(z))): saturates, its gradient -sigmoid(fake) vanishes where the discriminator is sure."""
    return -softplus(fake).mean()


def non_saturating_generator_loss(fake: Tensor) -> Tensor:
    """-E log D(G(z)): the gradient is sigmoid(fake) - 1, about -1 where the discriminator is sure."""
    return softplus(-fake).mean()


def least_squares_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2."""
    return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2


def least_squares_generator_loss(fake: Tensor) -> Tensor:
    """1/2 E (D(G(z)) - 1)^2."""
    return ((fake - 1) ** 2).mean() / 2


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
    return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()


def wasserstein_critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E D(G(z)) - E D(x): the negative of the estimated distance, if the critic is 1-Lipschitz."""
    return fake.mean() - real.mean()


def wasserstein_generator_loss(fake: Tensor) -> Tensor:
    """-E D(G(z)). Also of the hinge game."""
    return -fake.mean()


def optimal_discriminator(p: Tensor, q: Tensor) -> Tensor:
    """D*(x) = p(x) / (p(x) + q(x)) for the densities of data and generator; its logit is log p - log q."""
    return p / (p + q)


def value_at_optimum(jensen_shannon: float) -> float:
    """V(D*, G) = -log 4 + 2 JSD(p || q): -log 4 at equilibrium, 0 for disjoint supports (JSD = log 2)."""
    return -math.log(4) + 2 * jensen_shannon


def interpolates(real: Tensor, fake: Tensor, epsilon_B: Tensor) -> Tensor:
    """x^ = epsilon x + (1 - epsilon) G(z): one epsilon for each sample, the same for all of its values."""
    epsilon = epsilon_B.view(-1, *[1] * (real.ndim - 1))
    return epsilon * real + (1 - epsilon) * fake


def input_gradient(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of each sample's output by that sample, itself differentiable. Without batch normalisation only: a
    sample's output would depend on the other samples."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], mixed: Tensor, wanted: float = 1.0) -> Tensor:
    """E (||grad D(x^)||_2 - 1)^2, the norm of a sample over all of its values: sqrt(sum of squares + epsilon)."""
    squared_B = (input_gradient(discriminator, mixed).flatten(1) ** 2).sum(1)
    return ((torch.sqrt(squared_B + EPSILON) - wanted) ** 2).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """1/2 E ||grad D(x)||^2 at real samples; times gamma, and times k if taken at every k-th step only."""
    return (input_gradient(discriminator, real).flatten(1) ** 2).sum(1).mean() / 2


def clip_weights(parameters: Iterable[Tensor], bound: float) -> None:
    """Every weight into [-c, c], in place."""
    with torch.no_grad():
        for weight in parameters:
            weight.clamp_(-bound, bound)


def spectrally_normalised(weight: Tensor) -> Tensor:
    """W / sigma(W), the largest singular value of the weight as a matrix (outputs, everything else)."""
    sigma: Tensor = torch.linalg.svdvals(weight.flatten(1)).max()
    return weight / sigma


def mean_of_losses(loss_N: Tensor) -> Tensor:
    """1/N sum V_n."""
    return loss_N.mean()


def largest_loss(loss_N: Tensor) -> Tensor:
    """max V_n: of the discriminator that the generator fools least."""
    return loss_N.max()


def softmax_weighted_loss(loss_N: Tensor, sharpness: float) -> Tensor:
    """sum w_n V_n, w = softmax(lambda V): between the mean (lambda 0) and the largest (lambda to infinity)."""
    weight_N = torch.exp(sharpness * (loss_N - loss_N.max()))
    return (weight_N / weight_N.sum() * loss_N).sum()
