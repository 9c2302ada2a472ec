"""Multilayer perceptron as a forecaster: the whole window at once, from all series to all steps.

Paper: Zhang, Patuwo, Hu, "Forecasting with artificial neural networks: the state of the art", International Journal of
Forecasting 14 (1998), which surveys nets of one hidden layer on lagged values.

What was new: a survey of where nets of lagged values forecast better than linear models, and how they are chosen.

Differences from the paper: two hidden layers of rectified units with dropout; the window is normalised by itself; all
steps are forecast at once, where most of the nets surveyed forecast one.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, P and F covariates of past and future, Q
quantiles, N outputs.

Reading order: models/mlp_forecaster.py, layers/series/windows.py, layers/reversible_norm.py; helpers:
layers/activations.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.activations import Activation, activation
from lamina.layers.reversible_norm import Normalisation, window_norm
from lamina.layers.series.windows import (
    WindowConfig,
    as_samples,
    check_dropout,
    check_sizes,
    expect_window,
    flat_window,
    from_outputs,
)


@dataclass(frozen=True, kw_only=True)
class MLPForecasterConfig(WindowConfig):
    """Options of the multilayer perceptron as a forecaster."""

    hidden: tuple[int, ...] = (256, 256)
    """width of each hidden layer"""
    activation: Activation = "relu"
    """non-linearity after each hidden layer"""
    dropout: float = 0.1
    """dropout rate of the hidden units"""
    normalisation: Normalisation = "revin"
    """of each window by itself, undone in the forecast; last: its last value is subtracted"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(**{f"hidden[{place}]": width for place, width in enumerate(self.hidden)})
        check_dropout(self.dropout)


class MLPForecaster(nn.Module):
    """y = W_n f(... f(W_1 x + b_1)) + b_n of the flattened window: a past (B, L, C) -> forecasts (B, H, C), or
    (B, H, C, Q) of quantiles.

    >>> model = lamina.create_model("mlp-forecaster", context=96, horizon=24, channels=7)
    >>> model(torch.zeros(2, 96, 7)).shape
    torch.Size([2, 24, 7])
    """

    def __init__(self, config: MLPForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = window_norm(config.normalisation, config.channels)
        inputs = config.context * (config.net_channels + config.past_covariates)
        widths = (inputs + config.horizon * config.future_covariates, *config.hidden)
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(fan_in, D), activation(config.activation), nn.Dropout(config.dropout))
                for fan_in, D in pairwise(widths)
            )
        )
        self.head = nn.Linear(widths[-1], config.net_outputs)

    def forward(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
    ) -> Tensor:
        """Forecasts (B, H, C) or (B, H, C, Q); with ``outputs`` numbers (B, N). Raises ValueError for a window of other
        sizes than the model's."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        x_BLC, scale = self.norm(past_BLC)
        seen = as_samples(self.config, x_BLC, past_covariates_BLP, future_covariates_BHF)
        y = from_outputs(self.config, self.head(self.hidden(flat_window(*seen))))
        return y if self.config.outputs else self.norm.inverse(y, scale)


VARIANTS = {
    "mlp-forecaster": Variant(
        build=MLPForecaster,
        config=MLPForecasterConfig(),
        small={"context": 12, "horizon": 5, "channels": 3, "hidden": (8, 6)},
        card=Card(
            title="Multilayer perceptron, forecaster",
            summary="Two hidden layers from the whole window of all series to all steps of the forecast.",
            paper="Forecasting with artificial neural networks: the state of the art",
            authors="Zhang, Patuwo, Hu",
            year=1998,
            inputs=("series",),
            tasks=("forecasting", "anomaly", "remaining-life"),
            input=(96, 7),
            parameters=673 * 256 + 257 * 256 + 257 * 672 + 14,
            macs=672 * 256 + 256 * 256 + 256 * 672,
            reference="a torch.nn.Sequential built by hand",
            differences=(
                "two rectified hidden layers with dropout (paper: mostly one, logistic)",
                "each window is normalised by itself (normalisation='none': as in the paper)",
                "all steps at once; most nets of the survey forecast one",
            ),
            recipe="mlp-forecaster",
        ),
    ),
}
