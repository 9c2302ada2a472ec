"""The discriminative criterion of LeNet-5's radial basis outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamina.tasks.base import Call, OneOutput
from lamina.tasks.classification import IMAGE, Classification


class RBFMaximumAPosteriori(Classification):
    """E = y_D + log(e^-j + sum_i e^-y_i), mean over the batch (LeCun et al. 1998, eq. 9); models return -y (B, K).

    y_i is the penalty of class i, D the true class. E is the negative logarithm of e^-y_D / (e^-j + sum_i e^-y_i): the
    posterior of the true class among all classes and a rubbish class with the constant penalty ``j`` > 0. This is a
    cross-entropy with one additional logit, -j; the paper gives no value for j. Predicted probabilities exclude the
    rubbish class.
    """

    name = "rbf-map"
    mixes = False

    def __init__(
        self, classes: int, call: Call = IMAGE, *, class_weights: Tensor | None = None, j: float = 1.0
    ) -> None:
        super().__init__(classes, call, class_weights=class_weights)
        if not j > 0:
            raise ValueError(f"j must be greater than 0, got {j}")
        self.j = j

    def cost(
        self, logits_BK: Tensor, target_B: Tensor, weights: Tensor | None = None, label_smoothing: float = 0.0
    ) -> Tensor:
        rubbish_B1 = logits_BK.new_full((len(logits_BK), 1), -self.j)
        if weights is not None:
            weights = torch.cat([weights, weights.new_ones(1)])  # rubbish is never a target, so its weight is unused
        return nn.functional.cross_entropy(torch.cat([logits_BK, rubbish_B1], 1), target_B, weight=weights)

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        return OneOutput.mean_of_outputs(self, outputs)  # raises UsageError
