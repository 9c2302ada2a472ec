"""Options of the verbs of autoencoders. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from lamina.errors import UsageError
from lamina.tasks.sample_metrics.options import SampleMetricOptions

LEAST_NORMAL = 20
"""normal samples that a threshold needs at least"""


@dataclass(frozen=True, kw_only=True)
class VerdictOptions:
    """How a sample is found normal or anomalous. Raises UsageError for values out of range.

    Example: ``run.predict("part.png", quantile=0.999)``
    """

    quantile: float = 0.99
    """a sample is anomalous above this quantile of the scores of normal validation samples"""
    threshold: float | None = None
    """a sample is anomalous above this score, instead of the quantile"""
    reconstructions: bool = False
    """add what is restored to each prediction, a picture or a row; the command line writes them to --out FOLDER"""

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise UsageError(f"quantile must lie between 0 and 1, got {self.quantile}")


@dataclass(frozen=True, kw_only=True)
class AutoencoderVerdict(VerdictOptions):
    """Options of predict for autoencoders."""

    score: Literal["reconstruction", "latent"] = "reconstruction"
    """what a sample is judged by: the error of the restored input, or the distance of its code from those of normal
    samples"""


@dataclass(frozen=True, kw_only=True)
class VariationalVerdict(VerdictOptions):
    """Options of predict for variational autoencoders."""

    score: Literal["elbo", "reconstruction", "latent"] = "elbo"
    """what a sample is judged by: the negative ELBO, its reconstruction alone, or the distance of its code from those
    of normal samples"""


@dataclass(frozen=True, kw_only=True)
class NoisyOptions(SampleMetricOptions):
    """Options of evaluate for autoencoders.

    Example: ``run.evaluate(corruption="gaussian", level=0.5)``
    """

    corruption: Literal["none", "masking", "gaussian", "salt-and-pepper"] | None = None
    """judge on inputs corrupted in this way (default: as in training)"""
    level: float | None = None
    """share of values changed, or standard deviation of gaussian noise (default: as in training)"""
    normal: str | None = None
    """the class that is normal, all others being anomalies (default: that of training)"""
    score: Literal["reconstruction", "latent"] = "reconstruction"
    """of anomalies: the error of the restored input, or the distance of its code"""


@dataclass(frozen=True, kw_only=True)
class BoundOptions(SampleMetricOptions):
    """Options of evaluate for variational autoencoders. Raises UsageError for values out of range.

    Example: ``run.evaluate(importance_samples=200)``
    """

    importance_samples: int = 50
    """samples of the importance-weighted bound on log p(x); 0: without it"""
    normal: str | None = None
    """the class that is normal, all others being anomalies (default: that of training)"""
    score: Literal["elbo", "reconstruction", "latent"] = "elbo"
    """of anomalies: the negative ELBO, the reconstruction alone, or the distance of the code"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.importance_samples < 0:
            raise UsageError(f"importance_samples must not be negative, got {self.importance_samples}")


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What is generated from codes. Raises UsageError for values out of range.

    Example: ``run.generate(count=16, seed=1)``, ``run.generate(interpolate=("a.png", "b.png"), count=9)``
    """

    count: int = 16
    """number of samples, or of steps"""
    seed: int = field(default=0, metadata={"limit": None})
    """seed of the codes that are drawn"""
    interpolate: tuple[Any, ...] | None = field(default=None, metadata={"together": "A B"})
    """from the code of one item to that of another, instead of drawing"""
    path: Literal["linear", "spherical"] = "linear"
    """of interpolate: straight, or along the great circle between the two codes"""
    walk: int | None = None
    """along this dimension of the code, from 0, three standard deviations to both sides, instead of drawing"""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"count must be at least 1, got {self.count}")
        if self.interpolate is not None and len(self.interpolate) != 2:
            raise UsageError(f"interpolate goes from one item to another: give two, got {len(self.interpolate)}")
        if self.interpolate is not None and self.walk is not None:
            raise UsageError("interpolate and walk are alternatives: give one of them")
        if self.walk is not None and self.walk < 0:
            raise UsageError(f"walk is a dimension of the code, from 0, got {self.walk}")
        if self.count == 1 and (self.interpolate is not None or self.walk is not None):
            raise UsageError("a path has at least 2 steps, got count=1")


@dataclass(frozen=True, kw_only=True)
class VariationalSampleOptions(SampleOptions):
    """What is generated by variational autoencoders.

    Example: ``run.generate(count=1000, noise=True)``
    """

    noise: bool | None = None
    """draw values from p(x|z), not only z (default: for rows yes, for pictures no)"""
