"""Parameter names of linear forecasters in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.linear_forecaster import LinearForecaster
from lamina.weights.layout import Layout


def _authors(model: LinearForecaster) -> Iterable[tuple[str, str]]:
    """cure-lab/LTSF-Linear (Linear, NLinear, DLinear), which Time-Series-Library took over; plumprc/RTSF (RLinear)."""
    if model.effect is not None:  # they have no covariates
        return
    if model.trend is not None:
        yield "Linear_Seasonal", "linear"
        yield "Linear_Trend", "trend"
        return
    yield "Linear", "linear"
    if model.config.kind == "rlinear":
        yield "rev.affine_weight", "norm.weight"
        yield "rev.affine_bias", "norm.bias"


LAYOUTS = (Layout(source="LTSF-Linear", names=_authors),)
