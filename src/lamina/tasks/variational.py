"""Variational autoencoding: the evidence lower bound.

-log p(x|z) is a sum over the values of an input, the divergence one over the dimensions of the latent, the loss the
mean of both over the batch, so that ``beta`` is that of the paper (Higgins et al., ICLR 2017). Targets, where there are
some, stay in the batch and never reach the loss.

Legend: B batch, L latent dimensions, K importance samples; x any shape after the batch.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.errors import UsageError
from lamina.layers.gaussian import Gaussian
from lamina.tasks.base import Batch, Call, Engine, Task
from lamina.tasks.kind import Objective, TaskKind, TaskSetup, serves_numbers
from lamina.tasks.likelihoods import (
    Bernoulli,
    Decoded,
    FixedGaussian,
    LearnedGaussian,
    Likelihood,
    LikelihoodName,
    chosen,
    expect_unit,
)
from lamina.tasks.reconstruction import Reconstruction, Restored, noise
from lamina.tasks.verbs import VERBS


@dataclass(frozen=True, kw_only=True)
class ELBOOptions:
    """Options of the objective "elbo"."""

    likelihood: LikelihoodName = "auto"
    """p(x|z): bernoulli, for values from 0 to 1; gaussian, of the standard deviation scale; gaussian-shared, of one
    learned variance; gaussian-learned, of a learned variance of each value; auto: bernoulli for values from 0 to 1,
    else gaussian-shared"""
    scale: float = 1.0
    """of the likelihood gaussian: its standard deviation, in units of the prepared values"""
    beta: float = 1.0
    """weight of the KL divergence; above 1: beta-VAE"""
    kl_warmup: float = 0.0
    """share of training over which the weight of the divergence rises from 0 to beta"""
    free_bits: float = 0.0
    """nats of each latent dimension that cost nothing"""

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise UsageError(f"scale must be greater than 0, got {self.scale}")
        if not 0 <= self.kl_warmup <= 1:
            raise UsageError(f"kl_warmup is a share of training, from 0 to 1, got {self.kl_warmup}")
        for name in ("beta", "free_bits"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")


class Variational(Reconstruction):
    """-E_q[log p(x|z)] + beta KL(q(z|x) || N(0, 1)). Models return (p(x|z), q(z|x)), z drawn from q in training, and
    have ``encode`` and ``decode``.

    Example: ``Variational(preprocess.call, Bernoulli(), ELBOOptions(beta=4.0))``
    """

    name = "variational"
    scores = ("elbo", "reconstruction", "latent")
    has_prior = True
    needs_method = "decode"
    lower_is_better = (*Task.lower_is_better, "reconstruction", "kl")

    def __init__(
        self,
        call: Call,
        likelihood: Likelihood,
        options: ELBOOptions | None = None,
        preprocess: Preprocess | None = None,
        importance_samples: int = 0,
    ) -> None:
        super().__init__(call, likelihood, preprocess)
        self.options, self.importance_samples = options or ELBOOptions(), importance_samples

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.input(batch)
        decoded, latent = model(x)
        reconstruction = self.likelihood.negative_log_likelihood(decoded, x).mean()
        kl_L = kl_by_dimension(Gaussian(*latent)).mean(0)
        weighed = kl_L.clamp(min=self.options.free_bits).sum() if self.options.free_bits else kl_L.sum()
        logs = {"reconstruction": reconstruction.detach(), "kl": kl_L.sum().detach()}
        return reconstruction + self.weight(engine.progress) * weighed, logs

    def weight(self, progress: float) -> float:
        """Of the divergence: beta, less during the warm-up."""
        warmup = self.options.kl_warmup
        return self.options.beta * (min(1.0, progress / warmup) if warmup else 1.0)

    def metrics(self) -> Any:
        """ "loss" with the whole weight beta and without free bits; "elbo", "reconstruction" (-E_q[log p(x|z)], by one
        draw for each input, or K) and "kl" in nats; with K importance samples "iw_bound" on log p(x)."""
        from lamina.tasks.means import Means

        return Means("loss", "elbo", "reconstruction", "kl", *(["iw_bound"] if self.importance_samples else []))

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        x, net = self.input(batch), cast(Any, model)  # with ``encode`` and ``decode``
        self.likelihood.check(x)
        latent: Gaussian = net.encode(x)
        kl_B = kl_by_dimension(latent).sum(1)
        errors_KB, log_weights_KB = self.draws(net, x, latent)
        reconstruction_B = errors_KB.mean(0)
        values = {
            "loss": reconstruction_B + self.options.beta * kl_B,
            "elbo": -reconstruction_B - kl_B,
            "reconstruction": reconstruction_B,
            "kl": kl_B,
        }
        if self.importance_samples:
            values["iw_bound"] = torch.logsumexp(log_weights_KB, 0) - math.log(self.importance_samples)
        metrics.update(**values)

    def evaluated_with(self, options: Any) -> Task:
        """With ``importance_samples``, those of the bound on log p(x)."""
        task = copy(self)
        task.importance_samples = options.importance_samples
        return task

    def draws(self, model: Any, x: Tensor, latent: Gaussian) -> tuple[Tensor, Tensor]:
        """-log p(x|z_k) and log p(x|z_k) p(z_k) / q(z_k|x) of the importance samples, or of one, (K, B)."""
        errors, log_weights = [], []
        for _ in range(max(1, self.importance_samples)):
            noise_BL = torch.randn_like(latent.mean)
            z_BL = latent.mean + torch.exp(0.5 * latent.log_variance) * noise_BL
            error_B = self.likelihood.negative_log_likelihood(shaped(model.decode(z_BL), x), x)
            # log p(z) - log q(z|x); the constants cancel
            ratio_BL = 0.5 * (noise_BL.square() + latent.log_variance - z_BL.square())
            errors.append(error_B.double())
            log_weights.append(ratio_BL.sum(1).double() - error_B)
        return torch.stack(errors), torch.stack(log_weights)

    def restore(self, model: nn.Module, x: Tensor) -> Restored:
        """With z at the mean of q: nothing is drawn."""
        decoded, latent = self.outputs(model, x)
        cost_B = kl_by_dimension(latent).sum(1)
        return Restored(self.likelihood.mean(decoded), self.likelihood.losses(decoded, x), cost_B, latent.mean)

    def outputs(self, model: nn.Module, x: Tensor) -> tuple[Decoded, Gaussian]:
        """p(x|z) and q(z|x), of a model, or of the file of one, which gives their tensors one after the other."""
        decoded, *latent = model(x)
        if len(latent) == 1:
            return decoded, Gaussian(*latent[0])
        *variance, mean, log_variance = latent
        return Gaussian(decoded, variance[0]) if variance else decoded, Gaussian(mean, log_variance)

    def dimension_costs(self, model: nn.Module, x: Tensor) -> Tensor:
        """The divergence of each latent dimension, (B, L)."""
        return kl_by_dimension(self.outputs(model, x)[1])

    def span(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """The prior's."""
        size = latent_size(model)
        return torch.zeros(size), torch.ones(size)

    def draw(self, model: nn.Module, count: int, seed: int) -> Tensor:
        """Codes (N, L) from the prior; the i-th depends on the seed and i alone."""
        return noise(count, latent_size(model), seed)


def latent_size(model: nn.Module) -> int:
    """The number of latent dimensions. Raises UsageError for a model that does not say."""
    size = getattr(getattr(model, "config", None), "latent", None)
    if size is None:
        raise UsageError(f"{type(model).__name__} does not say how many latent dimensions it has: config.latent")
    return int(size)


def shaped(decoded: Decoded, x: Tensor) -> Decoded:
    """A decoder's output in the shape of the input."""
    if isinstance(decoded, Tensor):
        return decoded.reshape(x.shape)
    return Gaussian(*(part.reshape(x.shape) for part in decoded))


def kl_by_dimension(latent: Gaussian) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) of each dimension, (B, L)."""
    return 0.5 * (latent.mean.square() + latent.log_variance.exp() - 1 - latent.log_variance)


def likelihood_of(objective: Objective, preprocess: Preprocess) -> Likelihood:
    """The likelihood of an objective on these data. Raises UsageError where the data are out of its range."""
    options: ELBOOptions = objective.options
    name = chosen(options.likelihood, preprocess)
    if name == "bernoulli":
        expect_unit(preprocess)
        return Bernoulli()
    return FixedGaussian(scale=options.scale) if name == "gaussian" else LearnedGaussian()


def make(setup: TaskSetup) -> Task:
    likelihood = likelihood_of(setup.objective, setup.preprocess)
    return Variational(setup.preprocess.call, likelihood, setup.objective.options, setup.preprocess)


def model_options(objective: Objective, preprocess: Preprocess) -> dict[str, Any]:
    """The decoder's variance, which the likelihood decides."""
    name = chosen(objective.options.likelihood, preprocess)
    return {"variance": {"gaussian-shared": "shared", "gaussian-learned": "each"}.get(name, "none")}


KIND = TaskKind(
    name="variational",
    make=make,
    serves=serves_numbers,
    objectives={"elbo": ELBOOptions},
    verbs=VERBS["variational"],
    needs_targets=False,
    automatic=False,
    calibrates=True,
    cross_fits=True,
    image_range="unit",
    model_options=model_options,
)
