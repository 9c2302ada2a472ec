"""Recurrent forecasters: an LSTM or GRU reads the past, its last state is mapped to all steps at once.

Papers: Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9, 1997 (``lstm-forecaster``); Cho et al.,
"Learning phrase representations using RNN encoder-decoder", EMNLP 2014, arXiv 1406.1078 (``gru-forecaster``).
What was new: gates, through which a state, and its gradient, lasts over many steps.

Differences from the paper: the window is normalised by itself (RevIN), without which an LSTM is lost where the level
shifts; all steps are forecast directly (``seq2seq-forecaster`` writes them one after the other); two biases a gate.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, P and F covariates of past and future, D
units, Q quantiles.

Reading order: models/recurrent_forecaster.py, layers/recurrent.py, layers/loops.py, layers/reversible_norm.py; helpers:
layers/series/windows.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.recurrent import Recurrent
from lamina.layers.reversible_norm import Normalisation, window_norm
from lamina.layers.series.windows import (
    WindowConfig,
    as_samples,
    beside,
    check_dropout,
    check_sizes,
    expect_window,
    from_outputs,
)

Kind = Literal["lstm", "gru", "rnn"]


@dataclass(frozen=True, kw_only=True)
class RecurrentForecasterConfig(WindowConfig):
    """Options of the recurrent forecasters."""

    kind: Kind = "lstm"
    """the recurrent unit"""
    hidden_size: int = 64
    """units of each layer"""
    num_layers: int = 1
    """recurrent layers"""
    head: tuple[int, ...] = ()
    """widths of rectified layers between the last state and the outputs"""
    dropout: float = 0.0
    """dropout rate between layers and of the last state"""
    normalisation: Normalisation = "revin"
    """of each window by itself, undone in the forecast; last: its last value is subtracted"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(hidden_size=self.hidden_size, num_layers=self.num_layers)
        check_sizes(**{f"head[{place}]": width for place, width in enumerate(self.head)})
        check_dropout(self.dropout)


class RecurrentForecaster(nn.Module):
    """h_t = unit(x_t, h_{t-1}), y = W h_L + b: a past (B, L, C) -> forecasts (B, H, C), or (B, H, C, Q) of quantiles.
    Covariates of the future stand beside the last state.

    >>> model = lamina.create_model("lstm-forecaster", context=96, horizon=24, channels=7)
    >>> model(torch.zeros(2, 96, 7)).shape
    torch.Size([2, 24, 7])
    """

    def __init__(self, config: RecurrentForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = window_norm(config.normalisation, config.channels)
        inputs = config.net_channels + config.past_covariates
        self.recurrent = Recurrent(config.kind, inputs, config.hidden_size, config.num_layers, dropout=config.dropout)
        layers: list[nn.Module] = []
        width = config.hidden_size + config.horizon * config.future_covariates
        for D in config.head:
            layers += [nn.Linear(width, D), nn.ReLU()]
            width = D
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Sequential(*layers, nn.Linear(width, config.net_outputs))

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
        past, known, ahead = as_samples(self.config, x_BLC, past_covariates_BLP, future_covariates_BHF)
        _, state = self.recurrent(past if known is None else torch.cat([past, known], -1))
        last_BD = self.dropout(state[0][:, -1])
        y = from_outputs(self.config, self.head(beside(last_BD, ahead)))
        return y if self.config.outputs else self.norm.inverse(y, scale)


def _variant(kind: Kind, gates: int, **facts: Any) -> Variant:
    card = Card(
        inputs=("series",),
        tasks=("forecasting", "anomaly", "remaining-life"),
        input=(96, 7),
        parameters=gates * 64 * (7 + 64 + 2) + 65 * 672 + 14,
        macs=96 * gates * 64 * (7 + 64) + 64 * 672,
        reference=f"torch.nn.{kind.upper()}",
        recipe="recurrent-forecaster",
        differences=(
            "each window is normalised by itself (normalisation='none': as it is)",
            "two biases per gate, as in torch (paper: one)",
            "a linear map of the last state forecasts all steps",
        ),
        **facts,
    )
    small = {"context": 12, "horizon": 5, "channels": 3, "hidden_size": 6}
    return Variant(build=RecurrentForecaster, config=RecurrentForecasterConfig(kind=kind), card=card, small=small)


VARIANTS = {
    "lstm-forecaster": _variant(
        "lstm",
        4,
        title="LSTM forecaster",
        summary="An LSTM reads the past; its last state is mapped to all steps of all series.",
        paper="Long short-term memory",
        authors="Hochreiter, Schmidhuber",
        year=1997,
    ),
    "gru-forecaster": _variant(
        "gru",
        3,
        title="GRU forecaster",
        summary="Gated recurrent units read the past; the last state is mapped to all steps of all series.",
        paper="Learning phrase representations using RNN encoder-decoder for statistical machine translation",
        authors="Cho, van Merrienboer, Gulcehre, Bahdanau, Bougares, Schwenk, Bengio",
        year=2014,
        arxiv="1406.1078",
    ),
}
