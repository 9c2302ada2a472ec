"""N-BEATS: blocks of fully connected layers, each of which explains a part of the past and adds a part of the forecast.

Paper: Oreshkin, Carpov, Chapados, Bengio, "N-BEATS: neural basis expansion analysis for interpretable time series
forecasting", ICLR 2020, arXiv 1905.10437.
What was new: doubly residual stacking; a forecast that is the sum of parts, of which trend and season can be read.

Differences from the paper: as in the authors' code the window is flipped in time, and the forecast starts from the last
value; no ensemble. Channels are samples of their own; covariates, of which the paper has none, add a linear effect.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, S = B C samples, D width of a block, K basis
functions, P and F covariates of past and future, Q quantiles (1 for a point).

Reading order: models/nbeats.py, layers/reversible_norm.py, layers/series/windows.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.reversible_norm import Normalisation, window_norm
from lamina.layers.series.windows import SeriesConfig, add_effect, check_sizes, covariate_effect, expect_window

Kind = Literal["generic", "interpretable"]


@dataclass(frozen=True, kw_only=True)
class NBeatsConfig(SeriesConfig):
    """Options of N-BEATS."""

    kind: Kind = "generic"
    """generic: blocks learn their basis; interpretable: a stack for the trend, one for the season"""
    blocks: int = 30
    """generic: number of blocks"""
    hidden_size: int = 512
    """generic: width of a block's layers"""
    hidden_layers: int = 4
    """layers of a block"""
    trend_blocks: int = 3
    """interpretable: blocks of the trend, which share their weights"""
    trend_size: int = 256
    """interpretable: width of the layers of the trend"""
    trend_degree: int = 2
    """interpretable: degree of the polynomial that is the trend"""
    season_blocks: int = 3
    """interpretable: blocks of the season, which share their weights"""
    season_size: int = 2048
    """interpretable: width of the layers of the season"""
    normalisation: Normalisation = "none"
    """of each window by itself, undone in the forecast (paper: none); last: its last value is subtracted"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in ("generic", "interpretable"):
            raise ValueError(f"there is no kind '{self.kind}'; choose from generic, interpretable")
        check_sizes(blocks=self.blocks, hidden_size=self.hidden_size, hidden_layers=self.hidden_layers)
        check_sizes(trend_blocks=self.trend_blocks, trend_size=self.trend_size, trend_degree=self.trend_degree)
        check_sizes(season_blocks=self.season_blocks, season_size=self.season_size)


def trend_basis(steps: int, degree: int) -> Tensor:
    """t^i for i = 0 ... degree, t = 0, 1/T, ... (T-1)/T: (K, T)."""
    t_T = torch.arange(steps, dtype=torch.float64) / steps
    return torch.stack([t_T**i for i in range(degree + 1)])


def season_basis(steps: int, horizon: int, direction: int = 1) -> Tensor:
    """cos and sin of 2 pi f t for f = 0, 1 ... H/2 - 1, t = 0, 1/H, ...: (K, T); ``direction`` -1 is back in time."""
    frequencies = torch.arange(math.ceil(horizon / 2), dtype=torch.float64)
    angle_KT = direction * 2 * math.pi * frequencies[:, None] * torch.arange(steps, dtype=torch.float64) / horizon
    return torch.cat([angle_KT.cos(), angle_KT.sin()])


class Generic(nn.Module):
    """The basis is the identity: theta is the backcast (S, L), then the forecast (S, H, Q)."""

    def __init__(self, context: int, horizon: int, outputs: int) -> None:
        super().__init__()
        self.context, self.sizes = context, (outputs, horizon)
        self.size = context + horizon * outputs

    def forward(self, theta_SK: Tensor) -> tuple[Tensor, Tensor]:
        """Backcast (S, L) and forecast (S, H, Q)."""
        return theta_SK[:, : self.context], theta_SK[:, self.context :].reshape(-1, *self.sizes).transpose(1, 2)


class Functions(nn.Module):
    """A basis of functions of time: theta is the coefficients of the forecast, then those of the backcast."""

    backcast_KL: Tensor
    forecast_KH: Tensor

    def __init__(self, backcast_KL: Tensor, forecast_KH: Tensor, outputs: int) -> None:
        super().__init__()
        self.outputs, self.count = outputs, len(forecast_KH)
        self.size = self.count * (outputs + 1)
        self.exact = (backcast_KL, forecast_KH)
        dtype = torch.get_default_dtype()
        self.register_buffer("backcast_KL", backcast_KL.to(dtype), persistent=False)
        self.register_buffer("forecast_KH", forecast_KH.to(dtype), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Functions:
        """To another dtype or device; in double precision the functions are exact again."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        dtype = self.backcast_KL.dtype
        self.backcast_KL, self.forecast_KH = (fn(basis.to(dtype)) for basis in self.exact)
        return self

    def forward(self, theta_SK: Tensor) -> tuple[Tensor, Tensor]:
        """Backcast (S, L) and forecast (S, H, Q)."""
        split = self.count * self.outputs
        forecast_SQH = theta_SK[:, :split].reshape(-1, self.outputs, self.count) @ self.forecast_KH
        return theta_SK[:, split:] @ self.backcast_KL, forecast_SQH.transpose(1, 2)


class Block(nn.Module):
    """theta = W relu(... relu(W_1 x + b_1)) + b, which the basis turns into a backcast and a forecast."""

    def __init__(self, context: int, width: int, layers: int, basis: Generic | Functions) -> None:
        super().__init__()
        sizes = (context, *(width for _ in range(layers)))
        self.layers = nn.ModuleList(nn.Linear(sizes[place], width) for place in range(layers))
        self.theta = nn.Linear(width, basis.size)
        self.basis = basis

    def forward(self, x_SL: Tensor) -> tuple[Tensor, Tensor]:
        """Backcast (S, L) and forecast (S, H, Q)."""
        for layer in self.layers:
            x_SL = torch.relu(layer(x_SL))
        backcast_SL, forecast_SHQ = self.basis(self.theta(x_SL))
        return backcast_SL, forecast_SHQ


class NBeats(nn.Module):
    """x_1 = the flipped window; for each block: (b, y) = block(x_l), x_(l+1) = x_l - b; the forecast is the last value
    and the sum of all y: a past (B, L, C) -> forecasts (B, H, C), or (B, H, C, Q) of quantiles.

    >>> model = lamina.create_model("nbeats", context=48, horizon=24, channels=1, blocks=3, hidden_size=64)
    >>> model(torch.zeros(2, 48, 1)).shape
    torch.Size([2, 24, 1])
    >>> sorted(model.parts(torch.zeros(2, 48, 1)))
    ['generic', 'level']
    """

    def __init__(self, config: NBeatsConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = window_norm(config.normalisation, config.channels)
        L, H, Q = config.context, config.horizon, config.width
        if config.kind == "generic":
            sizes = (L, config.hidden_size, config.hidden_layers)
            self.stacks = ("generic",) * config.blocks
            self.blocks = nn.ModuleList(Block(*sizes, Generic(L, H, Q)) for _ in range(config.blocks))
        else:
            degree = config.trend_degree
            trend = Functions(trend_basis(L, degree), trend_basis(H, degree), Q)
            season = Functions(season_basis(L, H, -1), season_basis(H, H), Q)
            one = Block(L, config.trend_size, config.hidden_layers, trend)
            other = Block(L, config.season_size, config.hidden_layers, season)
            self.stacks = ("trend",) * config.trend_blocks + ("season",) * config.season_blocks
            # the same block again and again: its weights are shared within a stack
            self.blocks = nn.ModuleList([one] * config.trend_blocks + [other] * config.season_blocks)
        self.effect = covariate_effect(config)

    def parts(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """What the forecast is the sum of, each of its shape: "level" (the last value, or the window's own level),
        "trend" and "season" or "generic", and "covariates" where there are any."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        x_BLC, scale = self.norm(past_BLC)
        level, sums = self._sums(x_BLC)
        whole = add_effect(self.effect, torch.zeros_like(level), past_covariates_BLP, future_covariates_BHF)
        if self.effect is not None:
            sums["covariates"] = whole
        nothing = self.norm.inverse(torch.zeros_like(level), scale)
        parts = {name: self.norm.inverse(part, scale) - nothing for name, part in sums.items()}
        return {"level": self.norm.inverse(level, scale), **parts}

    def forward(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
    ) -> Tensor:
        """Forecasts (B, H, C), or (B, H, C, Q). Raises ValueError for a window of other sizes than the model's."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        x_BLC, scale = self.norm(past_BLC)
        y, sums = self._sums(x_BLC)
        for part in sums.values():
            y = y + part
        return self.norm.inverse(add_effect(self.effect, y, past_covariates_BLP, future_covariates_BHF), scale)

    def _sums(self, x_BLC: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The last value as a forecast, and the sum of each stack's forecasts, (B, H, C) or (B, H, C, Q)."""
        x_SL = x_BLC.transpose(1, 2).reshape(-1, self.config.context)
        residual_SL = x_SL.flip(1)
        sums: dict[str, Tensor] = {}
        for name, block in zip(self.stacks, self.blocks, strict=True):
            backcast_SL, forecast_SHQ = block(residual_SL)
            residual_SL = residual_SL - backcast_SL
            sums[name] = sums[name] + forecast_SHQ if name in sums else forecast_SHQ
        last_SHQ = x_SL[:, -1, None, None].expand(-1, self.config.horizon, self.config.width)
        return self._as_forecast(last_SHQ), {name: self._as_forecast(part) for name, part in sums.items()}

    def _as_forecast(self, y_SHQ: Tensor) -> Tensor:
        y_BHCQ = y_SHQ.reshape(-1, self.config.channels, *y_SHQ.shape[1:]).transpose(1, 2)
        return y_BHCQ if self.config.quantiles else y_BHCQ.squeeze(-1)


def _variant(kind: Kind, **facts: Any) -> Variant:
    card = Card(
        paper="N-BEATS: neural basis expansion analysis for interpretable time series forecasting",
        authors="Oreshkin, Carpov, Chapados, Bengio",
        year=2020,
        arxiv="1905.10437",
        inputs=("series",),
        tasks=("forecasting", "anomaly"),
        input=(96, 7),
        reference="a plain re-write of the authors' code with its weights",
        recipe="nbeats",
        differences=(
            "the window is flipped, and the forecast starts from the last value, as in the authors' code",
            "one net (paper: an ensemble of 180 over losses, contexts and seeds)",
            "covariates add a linear effect (paper: none)",
        ),
        **facts,
    )
    small = {"context": 12, "horizon": 5, "channels": 3, "blocks": 3, "hidden_size": 8}
    small |= {"trend_size": 6, "season_size": 7}
    return Variant(build=NBeats, config=NBeatsConfig(kind=kind), card=card, small=small)


VARIANTS = {
    "nbeats": _variant(
        "generic",
        title="N-BEATS, generic",
        summary="Thirty blocks of fully connected layers, each on what those before have not explained.",
        parameters=28_083_840,
        macs=7 * 30 * (96 * 512 + 3 * 512 * 512 + 512 * 192),
    ),
    "nbeats-interpretable": _variant(
        "interpretable",
        title="N-BEATS, interpretable",
        summary="A stack of polynomials for the trend, one of waves for the season, whose forecasts are added.",
        parameters=13_404_870,
        macs=7
        * 3
        * (
            (96 * 256 + 3 * 256 * 256 + 256 * 6 + 2 * 3 * 96) + (96 * 2048 + 3 * 2048 * 2048 + 2048 * 192 + 2 * 96 * 96)
        ),
        aliases=("nbeats-i",),
    ),
}
