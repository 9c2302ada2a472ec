"""Rosenblatt's perceptron rule: weights are updated only on mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.tasks.base import Batch, Engine, OneOutput
from lamina.tasks.classification import Classification


class PerceptronRule(Classification):
    """w <- w + rate (t - y) x at every mistake (Rosenblatt 1958), for models with ``score(x)``, z = w.x + b.

    Written as a loss, so that schedules, averages and checkpoints are those of every task: the mean of -(t - y) z over
    the batch, y = H(z) held fixed. Its gradient is -(t - y) x, so a step of plain gradient descent (sgd, momentum 0) on
    a batch of one sample is the rule itself, sample after sample; a larger batch moves by the mean of its corrections.
    The loss is the mean of |z| over the mistakes, zeros elsewhere: the perceptron criterion. "target" is (B,) of 0 and
    1.
    """

    name = "perceptron-rule"
    mixes = has_logits = False
    needs_method = "score"
    forward_methods: Mapping[str, tuple[str, ...]] = {"model": ("score",)}

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        z_B: Tensor = self._score(model, batch)
        error_B = _error(z_B, batch["target"])
        mistakes = error_B.abs().sum()
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(z_B)
            error_B = error_B * self.class_weights[batch["target"]]
        loss = -(error_B * z_B).mean()
        return loss, {"accuracy": 1 - mistakes / len(z_B), "mistakes": mistakes}

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        z_B: Tensor = self._score(model, batch).float()
        predicted_B, target_B = (z_B >= 0).long(), batch["target"]
        for name, metric in metrics.items(keep_base=True):
            if name == "loss":
                metric.update(-(_error(z_B, target_B) * z_B).mean(), weight=len(target_B))
            else:
                metric.update(predicted_B, target_B)

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"probabilities": (B, 2)}: zeros and ones, the output of the step function."""
        return {"probabilities": self.outputs(model, batch).float()}

    def mean_of_outputs(self, outputs: Sequence[Tensor]) -> Tensor:
        return OneOutput.mean_of_outputs(self, outputs)  # raises UsageError

    def _score(self, model: nn.Module, batch: Batch) -> Tensor:
        args, kwargs = self.call(batch)
        z_B: Tensor = model.score(*args, **kwargs)  # type: ignore[operator]  # a perceptron
        return z_B


@torch.no_grad()
def _error(z_B: Tensor, target_B: Tensor) -> Tensor:
    """t - y: 0 for a correct prediction, otherwise +1 or -1."""
    return target_B.to(z_B.dtype) - (z_B >= 0).to(z_B.dtype)
