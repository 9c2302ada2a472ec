"""What discriminators share: several as one player, spectral normalisation.

Papers: Durugkar, Gemp, Mahadevan, "Generative multi-adversarial networks", ICLR 2017, arXiv 1611.01673; Miyato et al.,
"Spectral normalization for generative adversarial networks", ICLR 2018, arXiv 1802.05957.

Legend: B batch, N discriminators; x any shape after the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

WEIGHTED = (nn.Linear, nn.Conv2d)


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
