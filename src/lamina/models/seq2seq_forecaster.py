"""Sequence to sequence as a forecaster: one recurrent net reads the past, another writes the forecast step by step.

Papers: Sutskever, Vinyals, Le, "Sequence to sequence learning with neural networks", NeurIPS 2014, arXiv 1409.3215;
Bengio, Vinyals, Jaitly, Shazeer, "Scheduled sampling for sequence prediction with recurrent neural networks", NeurIPS
2015, arXiv 1506.03099 (the share of steps that are given their target).
What was new: any number of steps is written by the same weights, each from what was written before.

Differences from the paper: values in place of words, one layer in place of four, the past is not reversed. In training
the decoder is fed its own forecasts, unless ``teacher_forcing`` is above 0: one that is always given the truth is never
trained on errors of its own, which grow from step to step.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, P and F covariates of past and future, D
units, Q quantiles.

Reading order: models/seq2seq_forecaster.py, layers/recurrent.py, layers/loops.py, layers/reversible_norm.py; helpers:
layers/series/windows.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.loops import Tensors, unroll
from lamina.layers.recurrent import Recurrent
from lamina.layers.reversible_norm import Normalisation, window_norm
from lamina.layers.series.windows import SeriesConfig, check_dropout, check_sizes, expect_window


@dataclass(frozen=True, kw_only=True)
class Seq2SeqForecasterConfig(SeriesConfig):
    """Options of the encoder-decoder as a forecaster."""

    kind: Literal["lstm", "gru"] = "gru"
    """the recurrent unit of both nets"""
    hidden_size: int = 64
    """units of each layer"""
    num_layers: int = 1
    """layers of each net"""
    dropout: float = 0.0
    """dropout rate between layers, and before the output"""
    teacher_forcing: float = 0.0
    """training: share of steps that are given the target of the step before, not the forecast"""
    normalisation: Normalisation = "revin"
    """of each window by itself, undone in the forecast; last: its last value is subtracted"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(hidden_size=self.hidden_size, num_layers=self.num_layers)
        check_dropout(self.dropout)
        if not 0.0 <= self.teacher_forcing <= 1.0:
            raise ValueError(f"teacher_forcing must lie in [0, 1], got {self.teacher_forcing}")


class Seq2SeqForecaster(nn.Module):
    """s_h = unit(y_(h-1), s_(h-1)), y_h = W s_h + b from s_0, the state after the past, and y_0, its last value: a past
    (B, L, C) -> forecasts (B, H, C), or (B, H, C, Q) of quantiles, of which the median is fed back.

    >>> model = lamina.create_model("seq2seq-forecaster", context=96, horizon=24, channels=7)
    >>> model(torch.zeros(2, 96, 7)).shape
    torch.Size([2, 24, 7])
    """

    teacher_forced = True

    def __init__(self, config: Seq2SeqForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = window_norm(config.normalisation, config.channels)
        sizes = (config.hidden_size, config.num_layers)
        read, fed = config.channels + config.past_covariates, config.channels + config.future_covariates
        self.encoder = Recurrent(config.kind, read, *sizes, dropout=config.dropout)
        self.decoder = Recurrent(config.kind, fed, *sizes, dropout=config.dropout)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden_size, config.channels * config.width)

    def forward(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
        target_BHC: Tensor | None = None,
    ) -> Tensor:
        """Forecasts (B, H, C), or (B, H, C, Q). Of the targets step h sees those before h, in training alone and for
        the share ``teacher_forcing`` of steps. Raises ValueError for a window of other sizes than the model's."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        x_BLC, scale = self.norm(past_BLC)
        _, state = self.encoder(x_BLC if past_covariates_BLP is None else torch.cat([x_BLC, past_covariates_BLP], -1))
        start_BC, share = x_BLC[:, -1], self.config.teacher_forcing
        if not self.training or target_BHC is None or not share:
            return self.norm.inverse(self._roll(start_BC, tuple(state), future_covariates_BHF, None, None), scale)
        truth_BHC = self.norm.normalise(target_BHC, scale)
        before_BHC = torch.cat([start_BC[:, None], truth_BHC[:, :-1]], 1)
        given_BH1 = torch.rand(*before_BHC.shape[:2], 1, device=before_BHC.device) < share
        y = self._roll(start_BC, tuple(state), future_covariates_BHF, before_BHC, given_BH1)
        return self.norm.inverse(y, scale)

    def _roll(
        self,
        start_BC: Tensor,
        state: Tensors,
        future_BHF: Tensor | None,
        before_BHC: Tensor | None,
        given_BH1: Tensor | None,
    ) -> Tensor:
        """Step by step: (B, H, C) or (B, H, C, Q), normalised. Where ``given_BH1`` a step is fed ``before_BHC``."""
        advance = self.decoder.stepper()
        parts = [part.transpose(0, 1) for part in (future_BHF, before_BHC, given_BH1) if part is not None]
        known = future_BHF is not None

        def step(old: Tensors, at: Tensors) -> tuple[Tensors, Tensors]:
            y_BC, *inner = old
            if given_BH1 is not None:
                y_BC = torch.where(at[-1], at[-2], y_BC)
            inner = list(advance(torch.cat([y_BC, at[0]], -1) if known else y_BC, tuple(inner)))
            y_BN = self.head(self.dropout(inner[0].select(1, -1)))
            return (self._fed_back(y_BN), *inner), (y_BN,)

        counter_HB = torch.zeros(self.config.horizon, *start_BC.shape[:1], device=start_BC.device)
        _, (y_HBN,) = unroll(step, (start_BC, *state), tuple(parts) or (counter_HB,))
        y_BHN = y_HBN.transpose(0, 1)
        if not self.config.quantiles:
            return y_BHN
        return y_BHN.reshape(*y_BHN.shape[:2], self.config.channels, self.config.quantiles)

    def _fed_back(self, y_BN: Tensor) -> Tensor:
        """The forecast itself (B, C), or the median of quantiles."""
        if not self.config.quantiles:
            return y_BN
        y_BCQ = y_BN.reshape(-1, self.config.channels, self.config.quantiles)
        return y_BCQ.sort(-1).values[..., self.config.quantiles // 2]


VARIANTS = {
    "seq2seq-forecaster": Variant(
        build=Seq2SeqForecaster,
        config=Seq2SeqForecasterConfig(),
        small={"context": 12, "horizon": 5, "channels": 3, "hidden_size": 6},
        card=Card(
            title="Sequence to sequence, forecaster",
            summary="One recurrent net reads the past, another writes the forecast, each step from the one before.",
            paper="Sequence to sequence learning with neural networks",
            authors="Sutskever, Vinyals, Le",
            year=2014,
            arxiv="1409.3215",
            inputs=("series",),
            tasks=("forecasting", "anomaly"),
            input=(96, 7),
            parameters=2 * 3 * 64 * (7 + 64 + 2) + 65 * 7 + 14,
            macs=2 * 96 * 3 * 64 * (7 + 64) + 96 * 64 * 7,
            reference="a loop of torch.nn.GRUCell",
            differences=(
                "values in place of words; one layer of gated recurrent units (paper: four of LSTM)",
                "fed its own forecasts in training (teacher_forcing=1: the truth, as in the paper)",
                "each window is normalised by itself (normalisation='none': as it is)",
            ),
            recipe="recurrent-forecaster",
        ),
    ),
}
