"""Weights that make every class count alike."""

from __future__ import annotations

import torch
from torch import Tensor


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """Weights that make every class count alike.

    ``targets`` (N,) of class indices: N / (K n_k), as scikit-learn's "balanced"; (N, K) of zeros and ones: negatives
    over positives for each label. A class without samples gets weight 1.
    """
    if targets.ndim == 2:
        positive = targets.sum(0)
        return torch.where(positive > 0, (len(targets) - positive) / positive.clamp(min=1), torch.ones(()))
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), torch.ones(()))
