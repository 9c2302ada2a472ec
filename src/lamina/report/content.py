"""What a report is made of: plain arrays and text, so that a page can be rendered without a run or a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamina.report.marks import Written

Array = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One sample that the model got wrong, worst first in a list: by probability, or by size of the error."""

    truth: str
    said: str
    probability: float = math.nan
    """of what the model said; NaN where it gives none (regression)"""
    error: float = math.nan
    """regression: said minus truth, in the target's unit"""
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
    """what each of them adds to what the model said"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the best weights say of one split, beside the truth. N samples, K classes or outputs."""

    split: str
    metrics: Mapping[str, float]
    truth: Array = field(default_factory=lambda: np.empty(0))
    """(N,) class indices; (N, K) zeros and ones for multi-label; (N, K) values for regression; else empty"""
    said: Array = field(default_factory=lambda: np.empty(0))
    """(N, K) probabilities, or values for regression; else empty"""
    mistakes: Sequence[Mistake] = ()
    text: Any = None
    """of a model of texts: a ``report.text.content.TextOutcome``"""
    size: int | None = None
    """samples, where ``truth`` does not tell"""
    unit: str = "sample"
    """what a sample is"""

    @property
    def samples(self) -> int:
        return len(self.truth) if self.size is None else self.size


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What was seen inside the model on a few samples; every part may be missing."""

    filters_OIHW: Array | None = None
    """weights of the first convolution"""
    example_HWC: Array | None = None
    """the image the maps are of, uint8"""
    maps: Sequence[tuple[str, Array]] = ()
    """(name of the stage, its feature maps (C, H, W), or its activations (D,)) of one image"""
    gradients: Sequence[tuple[str, float]] = ()
    """(parameter, norm of its gradient / norm of the parameter), in order of depth"""
    gradients_of: str = "on one training batch"
    """what they are gradients of, as a reader is told"""
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
    inside: Inside | None = None
    written: Sequence[Written] = ()
    """what the model wrote in the course of training, in order"""
    notes: Sequence[str] = ()
    """what the reader should know: skipped files, dropped columns, splits made by us"""
    finished: bool = True
