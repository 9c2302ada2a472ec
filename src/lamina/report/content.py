"""What a report is made of: plain arrays and text, so that a page can be rendered without a run or a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.report.marks import TrainingSample

Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One sample that the model got wrong, worst first in a list: by probability, or by size of the error."""

    truth: str
    predicted: str
    probability: float = math.nan
    """of the prediction; NaN for regression"""
    error: float = math.nan
    """regression: predicted minus true, in the target's unit"""
    where: str = ""
    """file name or row, where it is known"""
    image_HWC: Array | None = None
    """uint8, (H, W, 1) or (H, W, 3); other numbers of channels are shown as their mean, in grey"""
    values: Mapping[str, object] = field(default_factory=dict)
    """a table's row: its value in each column"""
    text: str = ""
    words: Sequence[tuple[int, int]] = ()
    """where the words of the text are, from and up to"""
    effects: Sequence[float] = ()
    """what each of them adds to the prediction"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Predictions of the best weights on one split, with the targets. N samples, K classes or outputs."""

    split: str
    metrics: Mapping[str, float]
    truth: Array = field(default_factory=lambda: np.empty(0))
    """(N,) class indices; (N, K) zeros and ones for multi-label; (N, K) values for regression; else empty"""
    predictions: Array = field(default_factory=lambda: np.empty(0))
    """(N, K) probabilities, or values for regression; else empty"""
    mistakes: Sequence[Mistake] = ()
    text: Any = None
    """for text: a ``report.text.content.TextOutcome``"""
    size: int | None = None
    """number of samples, where it is not the length of ``truth``"""
    unit: str = "sample"
    """what a sample is"""

    @property
    def samples(self) -> int:
        return len(self.truth) if self.size is None else self.size


@dataclass(frozen=True, kw_only=True)
class Internals:
    """Filters, feature maps, gradients and importance on a few samples; every part may be missing."""

    filters_OIHW: Array | None = None
    """weights of the first convolution"""
    example_HWC: Array | None = None
    """the image the maps are of, uint8"""
    maps: Sequence[tuple[str, Array]] = ()
    """(name of the stage, its feature maps (C, H, W), or its activations (D,)) of one image"""
    gradients: Sequence[tuple[str, float]] = ()
    """(parameter, norm of its gradient / norm of the parameter), in order of depth"""
    gradients_of: str = "on one training batch"
    """what they are gradients of, in words"""
    importance: Sequence[tuple[str, float, float]] = ()
    """(column, mean fall of the score when it is shuffled, its standard deviation)"""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """A whole report."""

    run: str
    model: str
    data: str
    task: str
    """"classification", "multilabel", "regression", "language-modelling" or "translation\""""
    classes: Sequence[str]
    """class or label names; names of the outputs for regression"""
    card: Mapping[str, object]
    recipe: Mapping[str, object]
    facts: Mapping[str, object]
    """parameters, samples in each split, minutes, data hash; "command", the line that repeats it, has its own place"""
    environment: Mapping[str, object]
    history: Sequence[Mapping[str, float]]
    """a row for each epoch, as in metrics.csv: "epoch", "step", "lr", "train_<name>", "validation_<name>"; "best" where
    the weights kept may be from: 1 in the rows that were the best so far"""
    outcomes: Sequence[Outcome]
    internals: Internals | None = None
    training_samples: Sequence[TrainingSample] = ()
    """what the model generated during training, in order"""
    notes: Sequence[str] = ()
    """skipped files, dropped columns, splits made by Lamina"""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """the recipe where nothing is given; what differs from it is marked"""
    finished: bool = True
