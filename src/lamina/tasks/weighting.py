"""Class weights that balance the training data."""

from __future__ import annotations

import torch
from torch import Tensor


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """Weights that give every class the same total weight.

    ``targets`` (N,) of class indices: N / (K n_k), as scikit-learn's "balanced"; (N, K) of zeros and ones: negatives
    over positives for each label. A class without samples has weight 1.

    Example: ``class_weights(torch.tensor([0, 0, 0, 1]), 2)`` is ``[0.667, 2.0]``.
    """
    if targets.ndim == 2:
        positive = targets.sum(0)
        return torch.where(positive > 0, (len(targets) - positive) / positive.clamp(min=1), torch.ones(()))
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), torch.ones(()))
