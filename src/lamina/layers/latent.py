"""What players share. Generators: noise as a function of (seed, number of the sample), labels beside it, samples.
Discriminators: several as one player, spectral normalisation.

Papers: Durugkar, Gemp, Mahadevan, "Generative multi-adversarial networks", ICLR 2017, arXiv 1611.01673; Miyato et al.,
"Spectral normalization for generative adversarial networks", ICLR 2018, arXiv 1802.05957.

Legend: B batch, L latent dimensions, K classes, N discriminators; x any shape after the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from lamina.layers.shapes import expect_features

Prior = Literal["normal", "uniform"]
CHUNK = 64
"""samples generated at once"""
WEIGHTED = (nn.Linear, nn.Conv2d)
"""layers of a discriminator whose weights are normalised"""


def latent_noise(
    count: int, size: int, seed: int, prior: Prior = "normal", *, first: int = 0, purpose: str = "latent"
) -> Tensor:
    """z (count, size) from N(0, 1) or U(-1, 1), the i-th row a function of seed and ``first`` + i: row 0 is the same
    for every ``count``. Another ``purpose`` has other numbers.

    >>> torch.equal(latent_noise(9, 4, seed=1)[:1], latent_noise(1, 4, seed=1))
    True
    """
    generator, z = torch.Generator(), torch.empty(count, size)
    for i, row in enumerate(z, first):
        key = hashlib.blake2b(f"{purpose} {seed} {i}".encode(), digest_size=8).digest()
        generator.manual_seed(int.from_bytes(key, "little") >> 1)
        _fill(row, prior, generator)
    return z


def _fill(z: Tensor, prior: Prior, generator: torch.Generator | None = None) -> Tensor:
    return z.normal_(generator=generator) if prior == "normal" else z.uniform_(-1, 1, generator=generator)


def one_hot(label_B: Tensor | None, classes: int, like: Tensor) -> Tensor:
    """(B, K) in the type of ``like``; (B, 0) for a model without classes, whose labels are ignored.

    Raises ValueError for a model of classes without labels.
    """
    if not classes:
        return like.new_zeros(len(like), 0)
    if label_B is None:
        raise ValueError(f"the model is conditional: it needs a label, 0 to {classes - 1}, for each sample")
    return F.one_hot(label_B, classes).to(like.dtype)


class LatentGenerator(nn.Module):
    """Base class of generators: z (B, L), and a label (B,) if there are classes, to samples. A subclass sets these."""

    latent: int
    prior: Prior
    classes: int

    def draw(self, count: int, seed: int | None = None) -> Tensor:
        """z (count, L) where the weights are: from torch's default generator, or a function of seed and number."""
        like = next(self.parameters())
        if seed is None:
            return _fill(torch.empty(count, self.latent, dtype=like.dtype, device=like.device), self.prior)
        return latent_noise(count, self.latent, seed, self.prior).to(like)

    def inputs(self, z_BL: Tensor, label_B: Tensor | None) -> Tensor:
        """z with the label's one-hot code beside it, (B, L + K)."""
        z_BL = expect_features(z_BL, self.latent)
        return torch.cat([z_BL, one_hot(label_B, self.classes, z_BL)], 1) if self.classes else z_BL

    def labels(self, count: int, label: int | None) -> Tensor | None:
        """A label for each of ``count`` samples: the one asked for, else all in turn. Raises ValueError for one that is
        not there."""
        if not self.classes:
            if label is not None:
                raise ValueError(f"the model is not conditional: it cannot be asked for the label {label}")
            return None
        if label is not None and not 0 <= label < self.classes:
            raise ValueError(f"label {label}: the model has {self.classes} classes, 0 to {self.classes - 1}")
        device = next(self.parameters()).device
        numbers = torch.arange(count, device=device) % self.classes
        return numbers if label is None else torch.full_like(numbers, label)

    @torch.no_grad()
    def sample(self, count: int, *, seed: int | None = None, label: int | None = None) -> Tensor:
        """``count`` samples, (count, ...), in evaluation mode. With a seed the i-th is a function of seed and i.

        Raises ValueError for a label that the model does not have.

            model.generator.sample(16, seed=1)
        """
        return self.decode(self.draw(count, seed), self.labels(count, label))

    @torch.no_grad()
    def decode(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        """The samples (B, ...) of given codes, in evaluation mode: each as it would be alone."""
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            parts = [
                self(z_BL[i : i + CHUNK], None if label_B is None else label_B[i : i + CHUNK])
                for i in range(0, max(len(z_BL), 1), CHUNK)
            ]
        finally:
            for module, training in modes.items():
                module.training = training
        return torch.cat(parts)


class Discriminators(nn.Module):
    """Samples -> logits (B, N): N discriminators of their own weights, each judging by itself."""

    def __init__(self, make: Callable[[], nn.Module], count: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(make() for _ in range(count))
        self.classes: int = self.each[0].classes  # type: ignore[assignment] # of a discriminator

    def forward(self, x: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError as one of them does."""
        return torch.cat([discriminator(x, label_B) for discriminator in self.each], 1)


def discriminators(make: Callable[[], nn.Module], count: int) -> nn.Module:
    """One discriminator, which gives (B, 1), or several as one player."""
    return make() if count == 1 else Discriminators(make, count)


def normalise_spectra(module: nn.Module) -> None:
    """Every linear layer and convolution of ``module`` with its weight divided by its largest singular value, as power
    iteration finds it, a step at each call in training: the layer stretches no direction."""
    for part in list(module.modules()):
        if isinstance(part, WEIGHTED):
            parametrizations.spectral_norm(part)
