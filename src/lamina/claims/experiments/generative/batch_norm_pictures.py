"""In evaluation a picture of a generator with batch norm does not depend on the others of its batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import SERIES, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class PictureSettings(Settings):
    widths: tuple[int, int] = (16, 8)
    """channels of a DCGAN of 16 pixels"""
    latent: int = 16
    batches: int = 20
    """of training mode before, for the running statistics"""
    batch: int = 64
    pictures: int = 20
    """each generated alone, and among others"""


def measure(settings: PictureSettings, seed: int) -> Measurement:
    net: Any = drawn(partial(_generator, settings), seed, "weights").double()
    draw = generator(seed, "z")

    def z(count: int) -> torch.Tensor:
        return torch.randn(count, settings.latent, generator=draw, dtype=torch.float64)

    differences: dict[str, list[float]] = {"evaluation": [], "training": []}
    with torch.no_grad():
        net.train()
        for _ in range(settings.batches):
            net(z(settings.batch))
        statistics = {name: value.clone() for name, value in net.state_dict().items()}
        for mode, found in differences.items():
            net.train(mode == "training")
            for _ in range(settings.pictures):
                one, others, more = z(1), z(settings.batch - 1), z(settings.batch - 1)
                companies = (one, torch.cat([one, others])) if mode == "evaluation" else (
                    torch.cat([one, more]), torch.cat([one, others])
                )  # fmt: skip
                first, second = (net(batch)[0] for batch in companies)
                found.append(float((first - second).abs().max()))
                net.load_state_dict(statistics)
    numbers = {"evaluation": max(differences["evaluation"]), "training": min(differences["training"])}
    return Measurement(numbers=numbers, arrays={name: np.array(found) for name, found in differences.items()})


def _generator(settings: PictureSettings) -> Any:
    widths = settings.widths
    options = {"generator_widths": widths, "discriminator_widths": widths[::-1], "latent": settings.latent}
    return create_model("dcgan-16", **options).generator


def figure(figure: Figure, settings: PictureSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for row, name in enumerate(("evaluation", "training")):
        off = np.maximum(np.concatenate([one.arrays[name] for one in measured]), 1e-18)
        axes.plot(off, np.full(len(off), row), "o", color=SERIES[row], alpha=0.3, markersize=5)
    axes.set(xscale="log", xlabel="largest difference of a pixel, of a range of 2", ylim=(1.5, -0.5))
    axes.set_yticks(range(2), ["evaluation: alone\nand among others", "training: in two\nbatches"])
    readable(axes.xaxis)


CLAIM = Claim(
    name="batch-norm-pictures",
    sentence="A picture that a generator with batch norm makes does not depend on the other pictures of its batch in "
    "evaluation mode; in training mode it does.",
    source="Ioffe & Szegedy, Batch normalization, ICML 2015; soumith/dcgan.torch, issue 19, 2016",
    arxiv="1502.03167",
    loose="“Generate in training mode, it looks better”: the picture of a code is then another one in every batch, and "
    "none alone.",
    settings=PictureSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="evaluation", at_most=1e-12, why="float64 rounding at most"),
        Bar(number="training", at_least=1e-6, why="the least of 20 pictures: statistics of other batches"),
    ),
    names={
        "evaluation": "largest difference alone and among others, evaluation",
        "training": "smallest difference in two batches, training",
    },
    figure=figure,
    caption="Largest difference of a pixel, a dot for each picture and seed",
    reading="Of {setting.pictures} pictures, generated alone and among {setting.batch}, none differs by more than "
    "{evaluation} in evaluation; in training mode each differs by {training} at least from one batch to another.",
)
