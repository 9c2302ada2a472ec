"""One logistic unit: a perceptron with a smooth output, which is logistic regression.

Paper: Cox, "The regression analysis of binary sequences", Journal of the Royal Statistical Society B 20 (1958); as a
unit of a network: Rumelhart, Hinton, Williams, Nature 323 (1986).
What was new: a smooth output, read as a probability, in place of the step, so that there is a gradient even where no
mistake is made.

Differences from the paper: fitted by gradient descent on batches; Cox fits by iterated maximum likelihood. The default
recipe adds a small L2 penalty, without which separable data push the weights to infinity. Weights are initialised to
zero: the loss is convex.

Legend: B batch, F input features (an image is flattened: F = C H W).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.shapes import expect_features


@dataclass(frozen=True, kw_only=True)
class SigmoidNeuronConfig:
    """Options of the sigmoid neuron."""

    in_features: int = 30
    """number of input features; images are flattened"""
    num_classes: int = 2
    """outputs: always 2"""

    def __post_init__(self) -> None:
        if self.in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {self.in_features}")
        if self.num_classes != 2:
            raise ValueError(f"one unit separates two classes only, got num_classes={self.num_classes}")


class SigmoidNeuron(nn.Module):
    """z = w.x + b, p(class 1) = 1 / (1 + e^-z): inputs (B, F) or (B, C, H, W) -> logits (B, 2), 0 and z.

    The softmax of (0, z) is (1 - p, p): cross-entropy of these logits is binary cross-entropy.

    >>> model = lamina.create_model("sigmoid-neuron", in_features=3)
    >>> model.probability(torch.zeros(2, 3))
    tensor([0.5000, 0.5000], grad_fn=<SigmoidBackward0>)
    """

    def __init__(self, config: SigmoidNeuronConfig) -> None:
        super().__init__()
        self.config = config
        self.unit = nn.Linear(config.in_features, 1)
        nn.init.zeros_(self.unit.weight)
        nn.init.zeros_(self.unit.bias)

    def probability(self, x: Tensor) -> Tensor:
        """The output of the unit, the probability of class 1, (B,)."""
        return self._score(x).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 2). Raises ValueError for inputs that do not hold F features."""
        z_B = self._score(x)
        return torch.stack([torch.zeros_like(z_B), z_B], dim=1)

    def _score(self, x: Tensor) -> Tensor:
        z_B: Tensor = self.unit(expect_features(x, self.config.in_features)).squeeze(1)
        return z_B


VARIANTS = {
    "sigmoid-neuron": Variant(
        build=SigmoidNeuron,
        config=SigmoidNeuronConfig(),
        card=Card(
            title="Sigmoid neuron",
            summary="One logistic unit, trained by cross-entropy: logistic regression.",
            paper="The regression analysis of binary sequences",
            authors="Cox",
            year=1958,
            inputs=("table", "image"),
            tasks=("classification",),
            classes=2,
            input=(30,),
            parameters=31,
            macs=30,
            reference="scikit-learn's LogisticRegression",
            differences=(
                "gradient descent on batches (paper: iterated maximum likelihood)",
                "the default recipe adds a small L2 penalty on the weights, not on the bias",
            ),
            recipe="sigmoid-neuron",
            aliases=("logistic-regression", "logistic-neuron"),
        ),
    ),
}
