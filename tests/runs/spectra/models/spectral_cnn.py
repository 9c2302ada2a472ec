"""A small convolutional network over a signal.

Legend: B batch, L wavelengths, D channels, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from lamina.cards import Card, Variant


@dataclass(frozen=True, kw_only=True)
class SpectralCNNConfig:
    """Options of the network."""

    length: int = 32
    """wavelengths that a spectrum is brought to"""
    width: int = 8
    """channels of a layer"""
    num_classes: int = 3
    """outputs: classes, or values to predict"""
    dropout: float = 0.1
    """dropout rate before the output layer"""

    def __post_init__(self) -> None:
        if self.length < 4 or self.width < 1 or self.num_classes < 1:
            raise ValueError(f"length must be at least 4, width and num_classes 1, got {self}")


class SpectralCNN(nn.Module):
    """Two convolutions, the mean over the signal, a linear layer: (B, 1, L) -> logits (B, K)."""

    def __init__(self, config: SpectralCNNConfig) -> None:
        super().__init__()
        self.config, D = config, config.width
        self.body = nn.Sequential(
            nn.Conv1d(1, D, 5, padding=2), nn.ReLU(), nn.Conv1d(D, D, 5, padding=2, stride=2), nn.ReLU()
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(D, config.num_classes)

    def embed(self, x_B1L: Tensor) -> Tensor:
        """The mean (B, D) over the signal of the last layer's channels."""
        if x_B1L.ndim != 3 or x_B1L.shape[1] != 1:
            raise ValueError(f"expected signals (batch, 1, length), got {tuple(x_B1L.shape)}")
        mean_BD: Tensor = self.body(x_B1L).mean(2)
        return mean_BD

    def forward(self, x_B1L: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.dropout(self.embed(x_B1L)))
        return logits_BK


VARIANTS = {
    "spectral-cnn": Variant(
        build=SpectralCNN,
        config=SpectralCNNConfig(),
        card=Card(
            title="Spectral CNN",
            summary="Two convolutions over a spectrum; for tests.",
            paper="none",
            authors="nobody",
            year=2026,
            inputs=("spectrum",),
            tasks=("classification", "regression"),
            input=(1, 32),
            parameters=403,
            macs=6424,
            reference="none",
            recipe="spectral-cnn",
        ),
    )
}
