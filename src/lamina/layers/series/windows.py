"""Shared by the forecasters: the options that the data decide, input checks, the effect of covariates.

Legend: B batch, L steps of the past (context), H steps of the forecast (horizon), C channels (targets), P covariates
known of the past, F covariates also known of the future, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class SeriesConfig:
    """Options of every forecaster. Raises ValueError for sizes that no window has."""

    context: int = 96
    """steps of the past that the model sees"""
    horizon: int = 96
    """steps that it forecasts"""
    channels: int = 7
    """series that are forecast together: the targets"""
    past_covariates: int = 0
    """other inputs known of the past, those also known of the future first"""
    future_covariates: int = 0
    """inputs known of the future, such as the calendar: the first of the past ones"""
    quantiles: int = 0
    """quantiles forecast for each value; 0: one number"""

    def __post_init__(self) -> None:
        for name in ("context", "horizon", "channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("past_covariates", "future_covariates", "quantiles"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.future_covariates > self.past_covariates:
            known = f"future_covariates={self.future_covariates}, past_covariates={self.past_covariates}"
            raise ValueError(f"what is known of the future is known of the past, too: {known}")

    @property
    def width(self) -> int:
        """Numbers forecast for a step of a channel: 1, or a quantile each."""
        return max(1, self.quantiles)


def check_sizes(**sizes: int) -> None:
    """Raise ValueError, which names it, for a size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")


def check_dropout(dropout: float) -> None:
    """Raise ValueError unless the rate lies in [0, 1)."""
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}")


def expect_window(
    config: SeriesConfig, past_BLC: Tensor, past_covariates_BLP: Tensor | None, future_covariates_BHF: Tensor | None
) -> None:
    """Raise ValueError unless a window has the model's sizes: the past (B, L, C), its covariates (B, L, P) and those of
    the future (B, H, F), which must be there where the model has any, and only then."""
    wanted = (config.context, config.channels)
    if past_BLC.ndim != 3 or tuple(past_BLC.shape[1:]) != wanted or past_BLC.shape[0] < 1:
        raise ValueError(f"expected a past of shape (batch, {wanted[0]}, {wanted[1]}), got {tuple(past_BLC.shape)}")
    parts = (
        ("past_covariates", past_covariates_BLP, config.context, config.past_covariates),
        ("future_covariates", future_covariates_BHF, config.horizon, config.future_covariates),
    )
    for name, given, steps, count in parts:
        if given is None:
            if count:
                raise ValueError(f"the model has {name}={count}: give them, (batch, {steps}, {count})")
        elif not count:
            raise ValueError(f"the model has no {name}, got {tuple(given.shape)}")
        elif given.ndim != 3 or given.shape[0] != past_BLC.shape[0] or tuple(given.shape[1:]) != (steps, count):
            expected = (past_BLC.shape[0], steps, count)
            raise ValueError(f"expected {name} of shape {expected}, got {tuple(given.shape)}")


def to_forecast(y_BCN: Tensor, config: SeriesConfig) -> Tensor:
    """Outputs channel by channel, (B, C, H Q), as a forecast (B, H, C), or (B, H, C, Q) of quantiles."""
    if not config.quantiles:
        return y_BCN.transpose(1, 2)
    batch, channels, _ = y_BCN.shape
    return y_BCN.reshape(batch, channels, config.horizon, config.quantiles).permute(0, 2, 1, 3)


def split_outputs(y_BN: Tensor, config: SeriesConfig) -> Tensor:
    """Outputs (B, H C Q) of one layer as a forecast (B, H, C), or (B, H, C, Q) of quantiles."""
    sizes = (config.horizon, config.channels, *((config.quantiles,) if config.quantiles else ()))
    return y_BN.reshape(-1, *sizes)


def flat_window(past_BLC: Tensor, past_covariates_BLP: Tensor | None, future_covariates_BHF: Tensor | None) -> Tensor:
    """All numbers of a window in a row, (B, L (C + P) + H F)."""
    parts = (past_BLC, past_covariates_BLP, future_covariates_BHF)
    return torch.cat([part.flatten(1) for part in parts if part is not None], -1)


class CovariateEffect(nn.Module):
    """What covariates add to a forecast: sum_l a_hl (W p_l) + V f_h, (B, L, P) and (B, H, F) -> (B, H, C).

    W and V say how much each covariate moves each channel, a how the past of all carries over; no constant.

    >>> effect = CovariateEffect(SeriesConfig(context=8, horizon=3, channels=2, past_covariates=4, future_covariates=1))
    >>> effect(torch.zeros(5, 8, 4), torch.zeros(5, 3, 1)).shape
    torch.Size([5, 3, 2])
    """

    def __init__(self, config: SeriesConfig) -> None:
        super().__init__()
        self.past = nn.Linear(config.past_covariates, config.channels, bias=False)
        self.steps = nn.Linear(config.context, config.horizon, bias=False)
        self.future = (
            nn.Linear(config.future_covariates, config.channels, bias=False) if config.future_covariates else None
        )

    def forward(self, past_covariates_BLP: Tensor, future_covariates_BHF: Tensor | None = None) -> Tensor:
        """The effect (B, H, C)."""
        effect_BHC: Tensor = self.steps(self.past(past_covariates_BLP).transpose(1, 2)).transpose(1, 2)
        if self.future is not None and future_covariates_BHF is not None:
            effect_BHC = effect_BHC + self.future(future_covariates_BHF)
        return effect_BHC


def covariate_effect(config: SeriesConfig) -> CovariateEffect | None:
    """The module where the model has covariates."""
    return CovariateEffect(config) if config.past_covariates else None


def add_effect(
    effect: CovariateEffect | None,
    y: Tensor,
    past_covariates_BLP: Tensor | None,
    future_covariates_BHF: Tensor | None,
) -> Tensor:
    """The forecast (B, H, C) or (B, H, C, Q) with the effect of the covariates, the same on every quantile."""
    if effect is None or past_covariates_BLP is None:
        return y
    effect_BHC: Tensor = effect(past_covariates_BLP, future_covariates_BHF)
    return y + (effect_BHC.unsqueeze(-1) if y.ndim == 4 else effect_BHC)


@dataclass(frozen=True, kw_only=True)
class WindowConfig(SeriesConfig):
    """Options of forecasters that mix all inputs of a window; they also give numbers in place of a forecast."""

    outputs: int = 0
    """numbers for a window, such as the cycles that are left, in place of a forecast; 0: a forecast"""
    shared: bool = False
    """whether one net forecasts each channel by itself, from its own past and the covariates; else all together"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs < 0:
            raise ValueError(f"outputs must not be negative, got {self.outputs}")
        if self.outputs and self.shared:
            raise ValueError("outputs are of all channels together: they need shared=False")

    @property
    def net_channels(self) -> int:
        """Channels that the net sees at once."""
        return 1 if self.shared else self.channels

    @property
    def net_outputs(self) -> int:
        """Numbers that the net gives for what it sees at once."""
        return (self.outputs or self.horizon * self.net_channels) * self.width


Window = tuple[Tensor, Tensor | None, Tensor | None]


def as_samples(config: WindowConfig, past_BLC: Tensor, *covariates: Tensor | None) -> Window:
    """The window as the net sees it: with ``shared`` every channel is a sample of its own, (B C, L, 1), with the same
    covariates; else as it is."""
    if not config.shared:
        return past_BLC, *covariates  # type: ignore[return-value]  # a Window, unpacked
    channels = config.channels
    past = past_BLC.transpose(1, 2).reshape(-1, config.context, 1)
    repeated = [None if part is None else part.repeat_interleave(channels, 0) for part in covariates]
    return past, *repeated  # type: ignore[return-value]  # a Window, unpacked


def beside(last_BD: Tensor, ahead_BHF: Tensor | None) -> Tensor:
    """The features of the last step and, after them, the covariates of the future, (B, D + H F)."""
    return last_BD if ahead_BHF is None else torch.cat([last_BD, ahead_BHF.flatten(1)], -1)


def from_outputs(config: WindowConfig, y_BN: Tensor) -> Tensor:
    """A net's outputs as a forecast (B, H, C) or (B, H, C, Q); with ``outputs`` as numbers (B, N) or (B, N, Q)."""
    if config.outputs:
        return y_BN.reshape(-1, config.outputs, config.quantiles) if config.quantiles else y_BN
    if not config.shared:
        return split_outputs(y_BN, config)
    y_BCHQ = y_BN.reshape(-1, config.channels, config.horizon, config.width)
    y_BHCQ = y_BCHQ.transpose(1, 2)
    return y_BHCQ if config.quantiles else y_BHCQ.squeeze(-1)
