"""Linear forecasters: every step of the forecast is a weighted sum of the past.

Papers: Zeng, Chen, Zhang, Xu, "Are transformers effective for time series forecasting?", AAAI 2023, arXiv 2205.13504
(``linear-forecaster``, ``nlinear``, ``dlinear``); Li, Qi, Li, Xu, "Revisiting long-term time series forecasting: an
investigation on linear mapping", 2023, arXiv 2305.10721 (``rlinear``).
What was new: one matrix, shared by all channels, forecast better than the transformers of the time.

Differences from the paper: covariates, of which the paper has none, add a linear effect; quantiles are further outputs.
All are linear maps of the window, as least squares is; only ``rlinear``'s scale and bias make it more.

Legend: B batch, L steps of the past, H steps of the forecast, C channels, P and F covariates of past and future, Q
quantiles, N = H Q outputs for a channel.

Reading order: models/linear_forecaster.py, layers/reversible_norm.py, layers/series/windows.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.reversible_norm import Normalisation, window_norm
from lamina.layers.series.windows import SeriesConfig, add_effect, covariate_effect, expect_window, to_forecast

Kind = Literal["linear", "nlinear", "dlinear", "rlinear"]
NORMALISATIONS: dict[str, Normalisation] = {"linear": "none", "nlinear": "last", "dlinear": "none", "rlinear": "revin"}


@dataclass(frozen=True, kw_only=True)
class LinearForecasterConfig(SeriesConfig):
    """Options of the linear forecasters."""

    kind: Kind = "linear"
    """linear: one map; nlinear: of the window less its last value; dlinear: one of the trend, one of the rest; rlinear:
    of the window normalised by itself (RevIN)"""
    kernel_size: int = 25
    """dlinear: steps of the moving average that is the trend"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in NORMALISATIONS:
            raise ValueError(f"there is no kind '{self.kind}'; choose from {', '.join(NORMALISATIONS)}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}")


def moving_average(x_BCL: Tensor, kernel_size: int) -> Tensor:
    """The mean of ``kernel_size`` (odd) steps around each, the first and last value repeated beyond the ends.

    >>> moving_average(torch.tensor([[[0.0, 3.0, 6.0]]]), 3)
    tensor([[[1., 3., 5.]]])
    """
    padded = F.pad(x_BCL, (kernel_size // 2, kernel_size // 2), mode="replicate")
    return F.avg_pool1d(padded, kernel_size, stride=1)


class LinearForecaster(nn.Module):
    """y_h = sum_l A_hl x_l + b_h, the same A and b for every channel: a past (B, L, C) -> forecasts (B, H, C), or
    (B, H, C, Q) of quantiles. DLinear: y = A (x - trend) + D trend, two biases.

    >>> model = lamina.create_model("dlinear", context=96, horizon=24, channels=7)
    >>> model(torch.zeros(2, 96, 7)).shape
    torch.Size([2, 24, 7])
    """

    def __init__(self, config: LinearForecasterConfig) -> None:
        super().__init__()
        self.config = config
        self.norm = window_norm(NORMALISATIONS[config.kind], config.channels)
        outputs = config.horizon * config.width
        self.linear = nn.Linear(config.context, outputs)
        self.trend = nn.Linear(config.context, outputs) if config.kind == "dlinear" else None
        self.effect = covariate_effect(config)

    def maps(self) -> dict[str, Tensor]:
        """The matrices (H Q, L) by name, as pictures of what the forecast looks at: "linear", of DLinear "rest" and
        "trend"."""
        if self.trend is None:
            return {"linear": self.linear.weight.detach()}
        return {"rest": self.linear.weight.detach(), "trend": self.trend.weight.detach()}

    def forward(
        self,
        past_BLC: Tensor,
        past_covariates_BLP: Tensor | None = None,
        future_covariates_BHF: Tensor | None = None,
    ) -> Tensor:
        """Forecasts (B, H, C), or (B, H, C, Q). Raises ValueError for a window of other sizes than the model's."""
        expect_window(self.config, past_BLC, past_covariates_BLP, future_covariates_BHF)
        x_BLC, scale = self.norm(past_BLC)
        x_BCL = x_BLC.transpose(1, 2)
        if self.trend is None:
            y_BCN = self.linear(x_BCL)
        else:
            trend_BCL = moving_average(x_BCL, self.config.kernel_size)
            y_BCN = self.linear(x_BCL - trend_BCL) + self.trend(trend_BCL)
        y = add_effect(self.effect, to_forecast(y_BCN, self.config), past_covariates_BLP, future_covariates_BHF)
        return self.norm.inverse(y, scale)


def _variant(kind: Kind, facts: dict[str, Any]) -> Variant:
    card = Card(
        authors="Zeng, Chen, Zhang, Xu" if kind != "rlinear" else "Li, Qi, Li, Xu",
        year=2023,
        inputs=("series",),
        tasks=("forecasting", "anomaly"),
        input=(96, 7),
        reference="a plain matrix product",
        recipe="linear-forecaster",
        **facts,
    )
    return Variant(build=LinearForecaster, config=LinearForecasterConfig(kind=kind), card=card)


_ZENG = {"paper": "Are transformers effective for time series forecasting?", "arxiv": "2205.13504"}
_COVARIATES = "covariates add a linear effect (paper: none)"


def _reported(mse: float, mae: float) -> tuple[Reported, ...]:
    source = "iTransformer (arXiv 2310.06625), table 10, look-back 96"
    return tuple(
        Reported(dataset="ETTh1, horizon 96", metric=metric, value=value, source=source)
        for metric, value in (("MSE", mse), ("MAE", mae))
    )


VARIANTS = {
    "linear-forecaster": _variant(
        "linear",
        {
            "title": "Linear forecaster",
            "summary": "One matrix from the past to the forecast, shared by all series.",
            "parameters": 97 * 96,
            "macs": 7 * 96 * 96,
            "differences": (_COVARIATES,),
            "aliases": ("ltsf-linear",),
            **_ZENG,
        },
    ),
    "nlinear": _variant(
        "nlinear",
        {
            "title": "NLinear",
            "summary": "One matrix on the past less its last value, which is added again.",
            "parameters": 97 * 96,
            "macs": 7 * 96 * 96,
            "differences": (_COVARIATES,),
            **_ZENG,
        },
    ),
    "dlinear": _variant(
        "dlinear",
        {
            "title": "DLinear",
            "summary": "The moving average and the rest each have a matrix; their forecasts are added.",
            "parameters": 2 * 97 * 96,
            "macs": 2 * 7 * 96 * 96,
            "reported": _reported(0.386, 0.400),
            "differences": (_COVARIATES,),
            **_ZENG,
        },
    ),
    "rlinear": _variant(
        "rlinear",
        {
            "title": "RLinear",
            "summary": "One matrix on the past normalised by its own mean and deviation (RevIN).",
            "paper": "Revisiting long-term time series forecasting: an investigation on linear mapping",
            "arxiv": "2305.10721",
            "parameters": 97 * 96 + 14,
            "macs": 7 * 96 * 96,
            "reported": _reported(0.386, 0.395),
            "differences": (_COVARIATES,),
        },
    ),
}
