"""Toy data of adversarial networks: points of the plane from a mixture of Gaussians with known centres.

Papers: Srivastava et al., "VEEGAN", NIPS 2017, arXiv 1705.07761; Gulrajani et al., NIPS 2017, arXiv 1704.00028.

Legend: N points, M modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lamina.data.catalogue import LICENCES
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.table.source import table_source
from lamina.data.targets.labels import class_labels
from lamina.randomness import derive

COLUMNS = ("x0", "x1")


@dataclass(frozen=True)
class Mixture:
    """Equally likely modes of one width."""

    centres: tuple[tuple[float, float], ...]
    std: float
    each: int
    """points of a mode"""

    def draw(self, name: str) -> tuple[Tensor, Tensor]:
        """Points (N, 2) float64 and their modes (N,), as many of each; the same for a name."""
        generator = torch.Generator().manual_seed(derive(name))
        mode_N = torch.arange(len(self.centres)).repeat(self.each)
        centre_N2 = torch.tensor(self.centres, dtype=torch.float64)[mode_N]
        return centre_N2 + self.std * torch.randn(len(mode_N), 2, dtype=torch.float64, generator=generator), mode_N


MIXTURES = {
    "gaussian-ring": Mixture(
        tuple((2 * math.cos(k * math.pi / 4), 2 * math.sin(k * math.pi / 4)) for k in range(8)), std=0.02, each=5000
    ),
    "gaussian-grid": Mixture(
        tuple((float(x), float(y)) for x in range(-4, 5, 2) for y in range(-4, 5, 2)), std=0.05, each=1600
    ),
}


def open_mixture(name: str, options: DataOptions) -> Source:
    """A mixture as a table of two columns, each point labelled with the number of its mode."""
    import pandas as pd

    mixture = MIXTURES[name]
    points_N2, mode_N = mixture.draw(name)
    frame = pd.DataFrame(points_N2.numpy(), columns=list(COLUMNS))
    modes = [str(k) for k in range(len(mixture.centres))]
    labels = class_labels(mode_N.numpy(), modes, name, options, "mode")
    sizes = {"train": len(frame)}
    source = table_source(name, frame, sizes, labels, lambda row: f"{name}, row {row + 1}", options, LICENCES[name])
    return replace(source, spec=replace(source.spec, centres=mixture.centres))
