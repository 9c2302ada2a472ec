"""A doubling that is faded in is the old net at weight 0 and the new one at 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.layers.styles.equalised import doubled, halved
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FadeSettings(Settings):
    image_size: int = 16
    base: int = 64
    widest: int = 16
    latent: int = 8
    batch: int = 8
    steps: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)


def measure(settings: FadeSettings, seed: int) -> Measurement:
    model: Any = drawn(partial(_net, settings), seed, "weights").eval()
    draw = generator(seed, "inputs")
    z = torch.randn(settings.batch, settings.latent, generator=draw)
    same_old, same_new, way = [], [], []
    with torch.no_grad():
        for stage in (1, 2):
            x = torch.randn(settings.batch, 3, 4 << stage, 4 << stage, generator=draw)
            outs = []
            for fade in settings.steps:
                for player in (model.generator, model.discriminator):
                    player.grow(stage, fade)
                outs.append((model.generator(z), model.discriminator(x)))
            for player in (model.generator, model.discriminator):
                player.grow(stage - 1)
            old = doubled(model.generator(z)), model.discriminator(halved(x))
            for player in (model.generator, model.discriminator):
                player.grow(stage, 1.0)
                player.fade.fill_(1.0)
            new = model.generator(z), model.discriminator(x)
            same_old += [float((a == b).double().mean()) for a, b in zip(outs[0], old, strict=True)]
            same_new += [float((a == b).double().mean()) for a, b in zip(outs[-1], new, strict=True)]
            whole = float((new[0] - old[0]).abs().mean())
            way.append([float((out[0] - old[0]).abs().mean()) / whole for out in outs])
    return Measurement(numbers={"old": min(same_old), "new": min(same_new)}, arrays={"way": np.array(way)})


def _net(settings: FadeSettings) -> Any:
    return create_model(
        "progan",
        image_size=settings.image_size,
        base=settings.base,
        widest=settings.widest,
        latent=settings.latent,
    )


def figure(figure: Figure, settings: FadeSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for stage in range(2):
        for i, one in enumerate(measured):
            label = f"{4 << stage} to {8 << stage} pixels" if not i else None
            axes.plot(settings.steps, one.arrays["way"][stage], "o-", color=SERIES[stage], label=label, markersize=3.5)
    axes.set(xlabel="fade", ylabel="share of the way from the old picture")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="fade-ends",
    sentence="A doubling that is faded in leaves generator and discriminator exactly what they were at weight 0, and "
    "is exactly the grown net at weight 1.",
    source="Karras et al., Progressive growing of GANs, ICLR 2018",
    arxiv="1710.10196",
    settings=FadeSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="old", equals=1, why="every value of both players to the bit, at both doublings"),
        Bar(number="new", equals=1, why="every value of both players to the bit, at both doublings"),
    ),
    names={
        "old": "share of values that are those of the net before, fade 0",
        "new": "share of values that are those of the grown net, fade 1",
    },
    figure=figure,
    caption="How far a picture has gone from the old one, enlarged, to the new one; a line for each seed",
    reading="At fade 0 {old} of all values of pictures and logits are those of the net before the doubling, at fade 1 "
    "{new} those of the net after it. In between the generator's picture goes straight from one to the other.",
)
