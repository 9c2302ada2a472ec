"""A class, labels or values for each text: the tasks of one input, over rows of tokens of different length."""

from __future__ import annotations

from torch import Tensor, nn

from lamina.tasks.base import Batch
from lamina.tasks.classification import Classification, Multilabel
from lamina.tasks.regression import Regression


class _OverText:
    """Batches hold "tokens" (B, T) and "lengths" (B,): what follows a row's tokens fills it, and has no influence."""

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        said: Tensor = model(batch["tokens"], lengths=batch["lengths"])
        return said


class TextClassification(_OverText, Classification):
    """``Classification`` of texts."""


class TextMultilabel(_OverText, Multilabel):
    """``Multilabel`` of texts."""


class TextRegression(_OverText, Regression):
    """``Regression`` from texts."""
