"""A decoder that was trained with the truth goes astray when it is fed its own forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FreeRunningSettings(Settings):
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    context: int = 24
    horizon: int = 18
    units: int = 16
    steps: int = 250
    batch: int = 64
    rate: float = 0.01
    noise: float = 0.3
    """added to sin(t / 2), of amplitude 1; windows start at any phase"""


def windows(settings: FreeRunningSettings, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pasts, futures, and futures without noise."""
    start_B = 100 * torch.rand(count, 1, generator=draw)
    t_BT = start_B + torch.arange(settings.context + settings.horizon)
    clean_BT1 = torch.sin(t_BT / 2)[..., None]
    y_BT1 = clean_BT1 + settings.noise * torch.randn(clean_BT1.shape, generator=draw)
    return y_BT1[:, : settings.context], y_BT1[:, settings.context :], clean_BT1[:, settings.context :]


def errors(settings: FreeRunningSettings, seed: int, forcing: float) -> Tensor:
    """Root mean squared error of each step, of the decoder fed its own forecasts, to the series without noise."""
    options: dict[str, Any] = {"context": settings.context, "horizon": settings.horizon, "channels": 1}
    options |= {"hidden_size": settings.units, "normalisation": "none", "teacher_forcing": forcing}
    model: Any = drawn(partial(create_model, "seq2seq-forecaster", **options), seed, "weights")
    optimiser, draw = torch.optim.Adam(model.parameters(), settings.rate), generator(seed, "training")
    for _ in range(settings.steps):
        past, future, _ = windows(settings, settings.batch, draw)
        loss = (model(past, target_BHC=future) - future).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    past, _, clean = windows(settings, 500, generator(seed, "test"))
    with torch.no_grad():
        found: Tensor = (model(past) - clean).square().mean((0, 2)).sqrt()
    return found


def measure(settings: FreeRunningSettings, seed: int) -> Measurement:
    forced, free = (errors(settings, seed, share).double().numpy() for share in (1.0, 0.0))
    third = settings.horizon // 3
    return Measurement(
        numbers={
            "first": float(forced[0] / free[0]),
            "last": float(forced[-third:].mean() / free[-third:].mean()),
            "growth": float(forced[-third:].mean() / forced[:third].mean()),
            "forced": float(forced[-third:].mean()),
            "free": float(free[-third:].mean()),
        },
        arrays={"forced": forced, "free": free},
    )


def figure(figure: Figure, settings: FreeRunningSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, (name, label) in enumerate((("forced", "trained with the truth"), ("free", "trained with its own"))):
        for k, one in enumerate(measured):
            values = one.arrays[name]
            axes.plot(np.arange(1, len(values) + 1), values, color=SERIES[i], label="" if k else label)
    axes.set(xlabel="step of the forecast", ylabel="error")
    axes.set_ylim(bottom=0)
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="free-running",
    sentence="A decoder trained by teacher forcing is about as good at the first step as one trained free running, and "
    "falls behind step by step.",
    source="Bengio, Vinyals, Jaitly & Shazeer, Scheduled sampling for sequence prediction with recurrent neural "
    "networks, NeurIPS 2015",
    arxiv="1506.03099",
    loose="“Teacher forcing is worse”: it trains faster, and one step ahead it is not.",
    settings=FreeRunningSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="first", at_most=1.25, why="at the first step both are fed the same last value"),
        Bar(number="last", at_least=1.5, why="half as much again in the last third of the steps"),
    ),
    names={
        "first": "error at the first step, trained by teacher forcing / free running",
        "last": "the same in the last third of the steps",
        "growth": "error of teacher forcing in the last third over that in the first",
        "forced": "error in the last third, trained by teacher forcing",
        "free": "error in the last third, trained free running",
    },
    figure=figure,
    caption="Error to the series without noise by step, both fed their own forecasts, a line for each seed",
    reading="Both are fed their own forecasts in the test. At the first step the errors have the ratio {first}; in the "
    "last third of {setting.horizon} steps they are {forced} trained with the truth and {free} trained free running, "
    "{last} times as much.",
)
