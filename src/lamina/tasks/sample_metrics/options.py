"""How generated samples are judged: options of evaluate. Imports no torch, so that the command line can show them
quickly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError

SampleMetric = Literal["fid", "kid", "precision-recall", "recognised"]


@dataclass(frozen=True, kw_only=True)
class SampleMetricOptions:
    """Raises UsageError for values out of range.

    Example: ``run.evaluate(metric_network="runs/lenet5-fashion", metric_samples=10_000)``
    """

    metric_network: str | None = None
    """judge generated samples by the features of this network: a run, a recipe of ours, or a file of Inception
    weights"""
    metric_layer: str | None = None
    """the module of the metric network whose output, averaged over places, is its features (default: what its output
    layer sees)"""
    metric_samples: int | None = None
    """samples generated and real samples of the split that are compared (default: all of the split, at most 10,000)"""
    sample_metrics: tuple[SampleMetric, ...] = ()
    """fid, kid, precision-recall, recognised (default: all that the network allows)"""

    def __post_init__(self) -> None:
        if self.metric_samples is not None and self.metric_samples < 2:
            raise UsageError(f"metric_samples must be at least 2, got {self.metric_samples}")
        if self.metric_network is None:
            for name in ("metric_layer", "metric_samples", "sample_metrics"):
                if getattr(self, name):
                    raise UsageError(f"{name} is for a metric network: give metric_network (--metric-network), too")
