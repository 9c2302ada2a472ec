"""RevIN saves an LSTM where the level shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class ShiftSettings(Settings):
    context: int = 24
    horizon: int = 6
    units: int = 16
    steps: int = 200
    batch: int = 64
    rate: float = 0.01
    noise: float = 0.1
    """added to sin(t / 2), of amplitude 1; windows start at any phase"""
    shift: float = 4.0
    """of the level, in test"""


def windows(settings: ShiftSettings, count: int, level: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pasts and futures (B, L, 1) and (B, H, 1)."""
    start_B = 100 * torch.rand(count, 1, generator=draw)
    t_BT = start_B + torch.arange(settings.context + settings.horizon)
    noise_BT = settings.noise * torch.randn(t_BT.shape, generator=draw)
    y_BT1 = (torch.sin(t_BT / 2) + level + noise_BT)[..., None]
    return y_BT1[:, : settings.context], y_BT1[:, settings.context :]


def trained(settings: ShiftSettings, seed: int, normalisation: str) -> Any:
    options: dict[str, Any] = {"context": settings.context, "horizon": settings.horizon, "channels": 1}
    options |= {"hidden_size": settings.units, "normalisation": normalisation}
    model: Any = drawn(partial(create_model, "lstm-forecaster", **options), seed, "weights")
    optimiser, draw = torch.optim.Adam(model.parameters(), settings.rate), generator(seed, "training")
    for _ in range(settings.steps):
        past, future = windows(settings, settings.batch, 0.0, draw)
        loss = (model(past) - future).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def measure(settings: ShiftSettings, seed: int) -> Measurement:
    found: dict[str, float] = {}
    arrays = {}
    for name in ("none", "revin"):
        model = trained(settings, seed, name)
        for where, level in (("same", 0.0), ("shifted", settings.shift)):
            past, future = windows(settings, 500, level, generator(seed, "test"))
            with torch.no_grad():
                forecast = model(past)
            found[f"{name}_{where}"] = float((forecast - future).square().mean())
            arrays[f"{name}_{where}"] = forecast[0, :, 0].double().numpy()
        arrays["truth"] = future[0, :, 0].double().numpy()
    naive = float((past[:, -1:] - future).square().mean())
    return Measurement(
        numbers={
            "plain": found["none_shifted"] / found["none_same"],
            "revin": found["revin_shifted"] / found["revin_same"],
            "cost": found["revin_same"] / found["none_same"],
            "naive": found["none_shifted"] / naive,
        },
        arrays=arrays,
    )


def figure(figure: Figure, settings: ShiftSettings, measured: Sequence[Measurement]) -> None:
    axes, arrays = figure.subplots(), measured[0].arrays
    for i, (name, label) in enumerate((("truth", "truth"), ("none_shifted", "LSTM"), ("revin_shifted", "with RevIN"))):
        axes.plot(arrays[name], color=SERIES[i], label=label)
    axes.set(xlabel="step", ylabel="value")
    legend(axes)
    readable(axes.yaxis)


CLAIM = Claim(
    name="reversible-normalisation",
    sentence="An LSTM is lost where the level of a series shifts; with RevIN its error stays what it was.",
    source="Kim et al., Reversible instance normalization for accurate time-series forecasting against distribution "
    "shift, "
    "ICLR 2022",
    settings=ShiftSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="plain", at_least=10.0, why="its gates have never seen such values"),
        Bar(number="revin", at_most=1.1, why="the normalised windows are the same, up to rounding and eps"),
        Bar(
            number="cost", at_most=4.0, why="where nothing shifts, a window's own level and scale are a noisy estimate"
        ),
    ),
    names={
        "plain": "error after the shift over that before, LSTM",
        "revin": "error after the shift over that before, LSTM with RevIN",
        "cost": "error with RevIN over that without, no shift",
        "naive": "error after the shift over that of the last value, LSTM",
    },
    figure=figure,
    caption="A window after the shift (first seed)",
    reading="A level {setting.shift} higher multiplies the LSTM's error by {plain} ({naive} times that of repeating "
    "the "
    "last value); with RevIN by {revin}. Where nothing shifts, RevIN's error is {cost} times the other's.",
)
