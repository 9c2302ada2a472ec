"""Variational autoencoders: the two parts of the evidence lower bound, and the importance-weighted bound.

Papers: Kingma, Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv 1312.6114; Rezende, Mohamed, Wierstra, ICML
2014, arXiv 1401.4082; Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, arXiv 1509.00519;
Higgins et al., "beta-VAE", ICLR 2017; Kingma et al., arXiv 1606.04934 (free bits).

Reductions: a log-likelihood is a sum over the dimensions of the input, a divergence one over those of the latent; a
loss is the mean of both over the batch. A mean over dimensions in either place multiplies beta by a constant.

Legend: B batch, L latent dimensions, K samples of z for each input; x any shape after the batch. All values in nats.

    >>> kl_to_standard_normal(torch.tensor([[0.5, -1.0]]), torch.tensor([[0.2, -0.7]]))
    tensor([0.7340])
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamina.equations.losses import log_sum_exp

LOG_2PI = math.log(2 * math.pi)


def reparameterise(mean_BL: Tensor, log_variance_BL: Tensor, noise_BL: Tensor) -> Tensor:
    """z = mu + sigma epsilon, sigma = exp(log sigma^2 / 2): a sample whose gradient reaches mu and sigma."""
    return mean_BL + torch.exp(0.5 * log_variance_BL) * noise_BL


def kl_to_standard_normal(mean_BL: Tensor, log_variance_BL: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = -1/2 sum_l (1 + log sigma_l^2 - mu_l^2 - sigma_l^2), (B,)."""
    return -0.5 * (1 + log_variance_BL - mean_BL**2 - torch.exp(log_variance_BL)).sum(1)


def kl_between_gaussians(
    mean_BL: Tensor, log_variance_BL: Tensor, other_mean_BL: Tensor, other_log_variance_BL: Tensor
) -> Tensor:
    """KL(N(m1, s1^2) || N(m2, s2^2)) = 1/2 sum_l (log s2^2 - log s1^2 + (s1^2 + (m1 - m2)^2) / s2^2 - 1), (B,)."""
    other_variance_BL = torch.exp(other_log_variance_BL)
    ratio_BL = (torch.exp(log_variance_BL) + (mean_BL - other_mean_BL) ** 2) / other_variance_BL
    return 0.5 * (other_log_variance_BL - log_variance_BL + ratio_BL - 1).sum(1)


def gaussian_log_density(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(x; mu, sigma^2) = -1/2 sum (log 2 pi + log sigma^2 + (x - mu)^2 / sigma^2), over an input, (B,)."""
    terms = LOG_2PI + log_variance + (x - mean) ** 2 / torch.exp(log_variance)
    return -0.5 * terms.expand_as(x).flatten(1).sum(1)


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """sum x log p + (1 - x) log (1 - p), p = sigmoid(a), over an input, (B,); x lies in [0, 1].

    x a - log(1 + e^a) without overflow: x a - max(a, 0) - log(1 + e^-|a|).
    """
    terms = x * logits - logits.clamp(min=0) - torch.log1p(torch.exp(-logits.abs()))
    return terms.flatten(1).sum(1)


def negative_elbo(log_likelihood_B: Tensor, kl_B: Tensor, beta: float = 1.0) -> Tensor:
    """-E_q[log p(x|z)] + beta KL(q(z|x) || p(z)), a mean over the batch; beta = 1 bounds -log p(x) from above."""
    return (beta * kl_B - log_likelihood_B).mean()


def free_bits(kl_BL: Tensor, minimum: float) -> Tensor:
    """sum_l max(minimum, mean_b KL_bl): a dimension that costs less than ``minimum`` nats is not pressed further."""
    return kl_BL.mean(0).clamp(min=minimum).sum()


def importance_weighted_bound(log_joint_BK: Tensor, log_q_BK: Tensor) -> Tensor:
    """log 1/K sum_k p(x, z_k) / q(z_k|x), z_k ~ q, (B,): the ELBO for K = 1, and log p(x) in the limit."""
    return log_sum_exp(log_joint_BK - log_q_BK) - math.log(log_joint_BK.shape[1])


def corrupt_masking(x: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Values are set to 0 where u < share (Vincent et al., ICML 2008); ``uniform`` u has the shape of x."""
    return torch.where(uniform < share, torch.zeros_like(x), x)


def corrupt_salt_and_pepper(x: Tensor, uniform: Tensor, share: float, low: float, high: float) -> Tensor:
    """A share of the values is set to the lowest or the highest, half of it each (Vincent et al., JMLR 2010)."""
    noisy = torch.where(uniform < share / 2, torch.full_like(x, low), x)
    return torch.where((uniform >= share / 2) & (uniform < share), torch.full_like(x, high), noisy)


def optimal_denoiser_slope(variance: float, noise_variance: float) -> float:
    """E[x | x~] = s^2 / (s^2 + sigma^2) x~ for x ~ N(0, s^2) and x~ = x + N(0, sigma^2)."""
    return variance / (variance + noise_variance)
