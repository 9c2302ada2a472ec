"""Temporal convolutional network: dilated causal convolutions, whose field doubles from block to block.

Paper: Bai, Kolter, Koltun, "An empirical evaluation of generic convolutional and recurrent networks for sequence
modeling", 2018, arXiv 1803.01271.
What was new: a plain residual net of causal convolutions, which did better than recurrent nets on their own tasks.

Differences from the paper: torch's initialisation (the authors' N(0, 0.01) has no effect: weight normalisation sets the
length anew); the paper has no forecasting of many steps: the last step's features are mapped to all of them; the window
is normalised by itself (RevIN).

Legend: B batch, L steps of the past, H steps of the forecast, C channels, P and F covariates of past and future, D
channels of a block, Q quantiles.

Reading order: models/tcn.py, layers/causal_convolution.py, layers/reversible_norm.py; helpers:
layers/series/windows.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.causal_convolution import TemporalBlock, receptive_field
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


@dataclass(frozen=True, kw_only=True)
class TCNConfig(WindowConfig):
    """Options of the temporal convolutional network."""

    levels: int = 5
    """blocks; the dilation is 1, 2, 4, ..."""
    block_width: int = 32
    """channels of each block"""
    kernel_size: int = 3
    """steps of each convolution"""
    dropout: float = 0.1
    """dropout rate after each convolution"""
    normalisation: Normalisation = "revin"
    """of each window by itself, undone in the forecast; last: its last value is subtracted"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(levels=self.levels, block_width=self.block_width, kernel_size=self.kernel_size)
        check_dropout(self.dropout)


class TCN(nn.Module):
    """Blocks of two causal convolutions with a residual connection, then y = W z_L + b of the last step: a past
    (B, L, C) -> forecasts (B, H, C), or (B, H, C, Q) of quantiles. Covariates of the future stand beside the last step.

    >>> model = lamina.create_model("tcn", context=96, horizon=24, channels=7)
    >>> model(torch.zeros(2, 96, 7)).shape, model.receptive_field
    (torch.Size([2, 24, 7]), 125)
    """

    def __init__(self, config: TCNConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = window_norm(config.normalisation, config.channels)
        inputs, D = config.net_channels + config.past_covariates, config.block_width
        widths = (inputs, *(D for _ in range(config.levels)))
        self.blocks = nn.Sequential(
            *(
                TemporalBlock(fan_in, width, config.kernel_size, 2**level, config.dropout)
                for level, (fan_in, width) in enumerate(pairwise(widths))
            )
        )
        self.head = nn.Linear(D + config.horizon * config.future_covariates, config.net_outputs)

    @property
    def receptive_field(self) -> int:
        """Steps that the last one sees, 1 + 2 (k - 1) (2^n - 1)."""
        return receptive_field(self.config.kernel_size, self.config.levels)

    def features(self, x_BCT: Tensor) -> Tensor:
        """Outputs (B, D, T) of the last block, of which step t depends on inputs up to t."""
        z_BDT: Tensor = self.blocks(x_BCT)
        return z_BDT

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
        x_BLI = past if known is None else torch.cat([past, known], -1)
        last_BD = self.features(x_BLI.transpose(1, 2))[..., -1]
        y = from_outputs(self.config, self.head(beside(last_BD, ahead)))
        return y if self.config.outputs else self.norm.inverse(y, scale)


VARIANTS = {
    "tcn": Variant(
        build=TCN,
        config=TCNConfig(),
        small={"context": 12, "horizon": 5, "channels": 3, "levels": 2, "block_width": 6},
        card=Card(
            title="Temporal convolutional network",
            summary="Five blocks of dilated causal convolutions, which see 125 steps.",
            paper="An empirical evaluation of generic convolutional and recurrent networks for sequence modeling",
            authors="Bai, Kolter, Koltun",
            year=2018,
            arxiv="1803.01271",
            inputs=("series",),
            tasks=("forecasting", "anomaly", "remaining-life"),
            input=(96, 7),
            # the blocks 29,216, the head, RevIN
            parameters=29_216 + 33 * 672 + 14,
            macs=96 * (3 * 7 * 32 + 7 * 32 + 9 * 3 * 32 * 32) + 32 * 672,
            reference="a plain re-write of locuslab/TCN with its weights",
            differences=(
                "each window is normalised by itself (normalisation='none': as it is)",
                "a linear map of the last step's features forecasts all steps (paper: one output a step)",
                "torch's initialisation: the authors' has no effect under weight normalisation",
            ),
            recipe="tcn",
        ),
    ),
}
