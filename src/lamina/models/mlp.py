"""Multilayer perceptron, trained by back-propagation.

Paper: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323 (1986).
What was new: hidden layers that learn their own features, because the gradient of the loss is propagated through them.

Differences from the paper: rectified linear units, cross-entropy and mini-batches are today's defaults; the paper has
logistic units (``activation="sigmoid"``), squared error and full-batch steps. torch's default initialisation, uniform
within 1 / sqrt(fan-in); the paper states only that weights are small and random.

Legend: B batch, F input features (an image is flattened: F = C H W), D width of a hidden layer, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.activations import Activation, activation
from lamina.layers.heads import linear_head, stage_numbers


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    """Options of the multilayer perceptron."""

    in_features: int = 784
    """number of input features; images are flattened"""
    image_size: int | None = None
    """side that images are brought to; none: as they are"""
    hidden: tuple[int, ...] = (512, 512)
    """width of each hidden layer; empty: a linear model"""
    num_classes: int = 10
    """outputs: classes, or values to predict"""
    activation: Activation = "relu"
    """non-linearity after each hidden layer"""
    norm: Literal["none", "batch", "layer"] = "none"
    """normalisation before each non-linearity"""
    dropout: float = 0.0
    """dropout rate of the hidden units"""

    def __post_init__(self) -> None:
        if min((self.in_features, self.num_classes + 1, *self.hidden)) < 1:
            raise ValueError("in_features and every hidden width must be at least 1, num_classes at least 0")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class MLP(nn.Module):
    """z_l = W_l a_{l-1} + b_l, a_l = f(z_l); the last layer is linear: inputs (B, F) or (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("mlp", in_features=30, hidden=(64, 64), num_classes=2)
    >>> model(torch.zeros(5, 30)).shape
    torch.Size([5, 2])
    """

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        self.config = config
        widths = (config.in_features, *config.hidden)
        norm = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[
            config.norm
        ]  # Identity: width unused
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(fan_in, D), norm(D), activation(config.activation), nn.Dropout(config.dropout))
            for fan_in, D in pairwise(widths)
        )
        self.head = linear_head(widths[-1], config.num_classes)

    def features(self, x: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        """Activations (B, D) of the hidden layers ``stages``, indexed from 0 (None: all).

        Raises ValueError for inputs that do not hold F features, and for a layer that does not exist.
        """
        requested = stage_numbers(stages, len(self.hidden))
        activations = self._activations(x)
        return [activations[1 + stage] for stage in requested]

    def embed(self, x: Tensor) -> Tensor:
        """Activations of the last hidden layer, (B, D); without hidden layers the flattened input."""
        return self._activations(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K). Raises ValueError for inputs that do not hold F features."""
        logits_BK: Tensor = self.head(self.embed(x))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """Replace the output layer by a newly initialised one; with 0 classes forward returns the embedding (B, D)."""
        self.config = replace(self.config, num_classes=num_classes)
        width = (self.config.in_features, *self.config.hidden)[-1]
        self.head = linear_head(width, num_classes, like=next(self.parameters(), None))

    def _activations(self, x: Tensor) -> list[Tensor]:
        """The flattened input a_0 and the activations a_1, a_2, ... of the hidden layers."""
        features = self.config.in_features
        if x.ndim < 2 or x.shape[1:].numel() != features:
            raise ValueError(f"expected inputs of {features} features each, (batch, {features}), got {tuple(x.shape)}")
        activations = [x.flatten(1)]
        for layer in self.hidden:
            activations.append(layer(activations[-1]))
        return activations


VARIANTS = {
    "mlp": Variant(
        build=MLP,
        config=MLPConfig(),
        card=Card(
            title="Multilayer perceptron",
            summary="Fully connected layers with a non-linearity between them; for tables and small images.",
            paper="Learning representations by back-propagating errors",
            authors="Rumelhart, Hinton, Williams",
            year=1986,
            inputs=("table", "image"),
            tasks=("classification", "multilabel", "regression"),
            input=(784,),
            parameters=669_706,
            macs=668_672,
            reported=(
                Reported(
                    dataset="MNIST",
                    metric="test error %",
                    value=1.6,
                    source="Simard, Steinkraus, Platt, ICDAR 2003 (2 layers, 800 hidden units, cross-entropy)",
                    note="the 1986 paper reports no image benchmark; here 512-512",
                ),
            ),
            reference="a torch.nn.Sequential built by hand",
            differences=(
                "ReLU by default; the paper's units are logistic (activation='sigmoid')",
                "cross-entropy and mini-batches; the paper minimises squared error over the full batch",
                "torch's default initialisation; the paper states only: small random weights",
            ),
            recipe="mlp",
            aliases=("multilayer-perceptron",),
        ),
    ),
}
