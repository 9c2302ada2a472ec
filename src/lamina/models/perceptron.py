"""The perceptron: one unit with a hard threshold, trained by its mistakes.

Paper: Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in the brain",
Psychological Review 65 (1958).
What was new: a machine that learns from examples; for linearly separable classes its rule finds a separating plane
after finitely many mistakes (Novikoff 1962).

Differences from the paper: the response unit alone, on the inputs themselves; the paper puts a layer of association
units with fixed random connections between the retina and the response. Weights are initialised to zero.

Legend: B batch, F input features (an image is flattened: F = C H W).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.shapes import expect_features


@dataclass(frozen=True, kw_only=True)
class PerceptronConfig:
    """Options of the perceptron."""

    in_features: int = 30
    """number of input features; images are flattened"""
    num_classes: int = 2
    """outputs: always 2"""

    def __post_init__(self) -> None:
        if self.in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {self.in_features}")
        if self.num_classes != 2:
            raise ValueError(f"one unit separates two classes only, got num_classes={self.num_classes}")


class Perceptron(nn.Module):
    """y = H(w.x + b), H(z) = 1 for z >= 0, else 0: inputs (B, F) or (B, C, H, W) -> (B, 2), 1 - y and y.

    The output is the predicted class as 0 and 1, whose gradient is zero or undefined: the perceptron rule
    (``lamina.tasks.perceptron``) works on ``score``.

    >>> model = lamina.create_model("perceptron", in_features=3)
    >>> model(torch.zeros(2, 3))  # the score is 0, so y = 1
    tensor([[0., 1.],
            [0., 1.]])
    """

    def __init__(self, config: PerceptronConfig) -> None:
        super().__init__()
        self.config = config
        self.unit = nn.Linear(config.in_features, 1)
        nn.init.zeros_(self.unit.weight)
        nn.init.zeros_(self.unit.bias)

    def score(self, x: Tensor) -> Tensor:
        """z = w.x + b, (B,): the signed distance to the separating plane times ||w||, positive on the side of class 1.

        Raises ValueError for inputs that do not hold F features.
        """
        z_B: Tensor = self.unit(expect_features(x, self.config.in_features)).squeeze(1)
        return z_B

    def forward(self, x: Tensor) -> Tensor:
        """The predicted class as (1 - y, y), (B, 2). Raises ValueError as ``score`` does."""
        z_B = self.score(x)
        y_B = (z_B >= 0).to(z_B.dtype)
        return torch.stack([1 - y_B, y_B], dim=1)


VARIANTS = {
    "perceptron": Variant(
        build=Perceptron,
        config=PerceptronConfig(),
        card=Card(
            title="Perceptron",
            summary="One unit with a step output, trained by Rosenblatt's rule: only mistakes change its weights.",
            paper="The perceptron: a probabilistic model for information storage and organization in the brain",
            authors="Rosenblatt",
            year=1958,
            inputs=("table", "image"),
            tasks=("classification",),
            classes=2,
            objective="perceptron-rule",
            differentiable_method="score",
            input=(30,),
            parameters=31,
            macs=30,
            reference="the rule written out in lamina.equations.perceptron",
            differences=(
                "the response unit alone, on the inputs (paper: on association units with fixed random connections)",
                "the rule changes the weights by (t - y) x, the form in general use today; weights start at zero",
            ),
            recipe="perceptron",
        ),
    ),
}
