"""A network of one hidden layer for grades.

Legend: B batch, F features, D width, K grades.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lamina.cards import Card, Variant


@dataclass(frozen=True, kw_only=True)
class GradeNetConfig:
    """Options of the network."""

    in_features: int = 4
    """numbers that are known of each student"""
    num_classes: int = 5
    """grades"""
    width: int = 16
    """units of the hidden layer"""

    def __post_init__(self) -> None:
        if min(self.in_features, self.num_classes, self.width) < 1:
            raise ValueError(f"every option must be at least 1, got {self}")


class GradeNet(nn.Module):
    """Features (B, F) -> logits of the grades (B, K)."""

    def __init__(self, config: GradeNetConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(config.in_features, config.width)
        self.head = nn.Linear(config.width, config.num_classes)

    def embed(self, x_BF: Tensor) -> Tensor:
        """Activations (B, D) of the hidden layer."""
        if x_BF.ndim != 2 or x_BF.shape[1] != self.config.in_features:
            raise ValueError(f"expected (batch, {self.config.in_features}), got {tuple(x_BF.shape)}")
        activations_BD: Tensor = self.hidden(x_BF).tanh()
        return activations_BD

    def forward(self, x_BF: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.embed(x_BF))
        return logits_BK


VARIANTS = {
    "grade-net": Variant(
        build=GradeNet,
        config=GradeNetConfig(),
        card=Card(
            title="Grade net",
            summary="One hidden layer for grades; for tests.",
            paper="none",
            authors="a stranger",
            year=2026,
            inputs=("table",),
            tasks=("ordinal",),
            objective="insensitive",
            input=(4,),
            parameters=165,
            macs=144,
            reference="none",
            recipe="grade-net",
        ),
    )
}
