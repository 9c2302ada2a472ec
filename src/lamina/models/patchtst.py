"""PatchTST: patches of a series are the tokens of a transformer, every channel is a sample of its own.

Paper: Nie, Nguyen, Sinthong, Kalagnanam, "A time series is worth 64 words: long-term forecasting with transformers",
ICLR 2023, arXiv 2211.14730.
What was new: patches in place of steps, and channels apart: transformers came level with linear maps, and past them.

Differences from the paper: the authors' code, which this follows, adds the attention scores of each layer to those of
the next (RealFormer, arXiv 2012.11747), which the paper does not have; it normalises by batch over samples and patches.
Covariates, of which the paper has none, add a linear effect.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, N patches, D width, h heads, S = B C samples,
P and F covariates of past and future, Q quantiles.

Reading order: models/patchtst.py, layers/reversible_norm.py, layers/series/windows.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.reversible_norm import Normalisation, window_norm
from lamina.layers.series.windows import (
    SeriesConfig,
    add_effect,
    check_dropout,
    check_sizes,
    covariate_effect,
    expect_window,
    to_forecast,
)


@dataclass(frozen=True, kw_only=True)
class PatchTSTConfig(SeriesConfig):
    """Options of PatchTST; the defaults are those of the authors' script for ETTh1, but for its context of 336."""

    patch_size: int = 16
    """steps of a patch"""
    stride: int = 8
    """steps from one patch to the next; the end is padded by as many copies of the last value"""
    model_width: int = 16
    """width of the transformer"""
    heads: int = 4
    """attention heads"""
    feed_forward: int = 128
    """hidden width of the feed-forward part"""
    num_layers: int = 3
    """layers of the encoder"""
    dropout: float = 0.3
    """dropout rate of the patches, and in each layer"""
    normalisation: Normalisation = "revin"
    """of each window by itself, undone in the forecast; last: its last value is subtracted"""
    outputs: int = 0
    """numbers for a window, such as the cycles that are left, in place of a forecast; 0: a forecast"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs < 0:
            raise ValueError(f"outputs must not be negative, got {self.outputs}")
        if self.outputs and (self.past_covariates or self.quantiles):
            raise ValueError("outputs are of the channels alone: they need past_covariates=0 and quantiles=0")
        check_sizes(
            patch_size=self.patch_size, stride=self.stride, feed_forward=self.feed_forward, num_layers=self.num_layers
        )
        check_sizes(model_width=self.model_width, heads=self.heads)
        check_dropout(self.dropout)
        if self.model_width % self.heads:
            raise ValueError(f"model_width {self.model_width} cannot be divided into {self.heads} heads")
        if self.context < self.patch_size:
            raise ValueError(f"a context of {self.context} steps is shorter than a patch of {self.patch_size}")

    @property
    def patches(self) -> int:
        """N = floor((L - patch) / stride) + 2: the last one reaches into the padding."""
        return (self.context - self.patch_size) // self.stride + 2


class ResidualAttention(nn.Module):
    """softmax(q k^T / sqrt(D / h) + scores of the layer before) v; returns the scores for the next layer, too."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, x_SND: Tensor, before_ShNN: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (S, N, D) and scores (S, h, N, N)."""
        samples, patches, width = x_SND.shape
        q, k, v = (
            part(x_SND).reshape(samples, patches, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores_ShNN = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        if before_ShNN is not None:
            scores_ShNN = scores_ShNN + before_ShNN
        out_SND = (scores_ShNN.softmax(-1) @ v).transpose(1, 2).reshape(samples, patches, width)
        return self.output(out_SND), scores_ShNN


class Layer(nn.Module):
    """x = norm(x + attention(x)); x = norm(x + W gelu(V x)), norm over all samples and patches of a batch."""

    def __init__(self, config: PatchTSTConfig) -> None:
        super().__init__()
        D = config.model_width
        self.attention = ResidualAttention(D, config.heads)
        self.norm1, self.norm2 = nn.BatchNorm1d(D), nn.BatchNorm1d(D)
        self.linear1, self.linear2 = nn.Linear(D, config.feed_forward), nn.Linear(config.feed_forward, D)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_SND: Tensor, before_ShNN: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (S, N, D) and the scores of attention (S, h, N, N)."""
        out_SND, scores_ShNN = self.attention(x_SND, before_ShNN)
        x_SND = self._normalise(self.norm1, x_SND + self.dropout(out_SND))
        out_SND = self.linear2(self.dropout(F.gelu(self.linear1(x_SND))))
        return self._normalise(self.norm2, x_SND + self.dropout(out_SND)), scores_ShNN

    @staticmethod
    def _normalise(norm: nn.Module, x_SND: Tensor) -> Tensor:
        out_SND: Tensor = norm(x_SND.flatten(0, 1)).reshape(x_SND.shape)
        return out_SND


class PatchTST(nn.Module):
    """Patches of a normalised channel, mapped to D numbers, with learned positions, through a transformer; their D N
    numbers are mapped to the H steps: a past (B, L, C) -> forecasts (B, H, C), or (B, H, C, Q) of quantiles. With
    ``outputs`` the last patches of all channels are mapped to numbers (B, N), as in the authors' regression head.

    >>> model = lamina.create_model("patchtst", context=96, horizon=24, channels=7)
    >>> model(torch.zeros(2, 96, 7)).shape
    torch.Size([2, 24, 7])
    """

    def __init__(self, config: PatchTSTConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = window_norm(config.normalisation, config.channels)
        self.patch = nn.Linear(config.patch_size, config.model_width)
        self.positions = nn.Parameter(torch.empty(config.patches, config.model_width).uniform_(-0.02, 0.02))
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        D = config.model_width
        self.head = (
            nn.Linear(D * config.channels, config.outputs)
            if config.outputs
            else nn.Linear(D * config.patches, config.horizon * config.width)
        )
        self.effect = covariate_effect(config)

    def attention_maps(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
    ) -> list[Tensor]:
        """What each patch attends to in every layer: (B, C, h, N, N), rows sum to 1. Patch n starts at step n stride.
        Covariates are not among the patches."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        _, scores = self._encode(self.norm(past_BLC)[0])
        sizes = (past_BLC.shape[0], self.config.channels)
        return [part.softmax(-1).reshape(*sizes, *part.shape[1:]) for part in scores]

    def forward(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
    ) -> Tensor:
        """Forecasts (B, H, C), or (B, H, C, Q); with ``outputs`` numbers (B, N). Raises ValueError for a window of
        other sizes than the model's."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        x_BLC, scale = self.norm(past_BLC)
        z_SND, _ = self._encode(x_BLC)
        if self.config.outputs:
            numbers_BN: Tensor = self.head(z_SND[:, -1].reshape(-1, self.head.in_features))
            return numbers_BN
        flat_BCK = z_SND.transpose(1, 2).reshape(-1, self.config.channels, self.head.in_features)
        y = to_forecast(self.head(flat_BCK), self.config)
        return self.norm.inverse(add_effect(self.effect, y, past_covariates_BLP, future_covariates_BHF), scale)

    def _encode(self, x_BLC: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The encoder's outputs (S, N, D), and the scores of each layer."""
        x_SL = x_BLC.transpose(1, 2).reshape(-1, self.config.context)
        padded = torch.cat([x_SL, x_SL[:, -1:].expand(-1, self.config.stride)], 1)
        patches_SNp = padded.unfold(1, self.config.patch_size, self.config.stride)
        z_SND = self.dropout(self.patch(patches_SNp) + self.positions)
        scores: list[Tensor] = []
        for layer in self.layers:
            z_SND, found = layer(z_SND, scores[-1] if scores else None)
            scores.append(found)
        return z_SND, scores


def _macs(patches: int, D: int, hidden: int, layers: int, horizon: int) -> int:
    """Of one channel: patches, projections, two products of attention, feed-forward part, head."""
    layer = patches * 4 * D * D + 2 * patches * patches * D + patches * 2 * D * hidden
    return patches * 16 * D + layers * layer + D * patches * horizon


VARIANTS = {
    "patchtst": Variant(
        build=PatchTST,
        config=PatchTSTConfig(),
        small={"context": 20, "horizon": 5, "channels": 3, "patch_size": 6, "stride": 3, "model_width": 8},
        card=Card(
            title="PatchTST",
            summary="A transformer over patches of each series, every channel by itself.",
            paper="A time series is worth 64 words: long-term forecasting with transformers",
            authors="Nie, Nguyen, Sinthong, Kalagnanam",
            year=2023,
            arxiv="2211.14730",
            inputs=("series",),
            tasks=("forecasting", "anomaly", "remaining-life"),
            input=(96, 7),
            parameters=35_182,
            macs=7 * _macs(12, 16, 128, 3, 96),
            reported=tuple(
                Reported(
                    dataset="ETTh1, horizon 96",
                    metric=metric,
                    value=value,
                    source="iTransformer (arXiv 2310.06625), table 10, look-back 96",
                )
                for metric, value in (("MSE", 0.414), ("MAE", 0.419))
            ),
            reference="a plain re-write of the authors' code with its weights",
            differences=(
                "scores of attention are added to the next layer's, as in the authors' code (paper: not)",
                "a context of 96; the authors' script for ETTh1 has 336 (context=336: 81,742 parameters)",
                "covariates add a linear effect (paper: none)",
            ),
            recipe="patchtst",
        ),
    ),
}
