"""LeNet-5 as it is usually built today.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11),
1998.
What was new: convolution, subsampling and a classifier trained as one, end to end, on raw pixels.

Differences from the paper: plain average pooling in place of trainable subsampling; every C3 map is connected to all
six S2 maps (the paper's table leaves 36 of 96 pairs out); tanh without its scale (``activation="scaled-tanh"`` has it);
a linear output layer with cross-entropy in place of Euclidean radial basis functions. torch's default initialisation,
uniform within 1 / sqrt(fan-in); the paper's is uniform within 2.4 / fan-in. C5 is a linear layer: at 32 x 32 pixels
the paper's 5x5 convolution is one. C5 and F6 are the paper's names.

Legend: B batch, C channels, H height, W width, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.activations import Activation, activation
from lamina.layers.heads import linear_head, stage_numbers
from lamina.layers.shapes import expect_image


@dataclass(frozen=True, kw_only=True)
class LeNet5Config:
    """Options of LeNet-5."""

    num_classes: int = 10
    """outputs: classes, or values to predict"""
    in_channels: int = 1
    """channels of an image"""
    image_size: int = 32
    """height and width of an image, in pixels"""
    activation: Activation = "tanh"
    """non-linearity after each convolution and hidden layer"""
    pool: Literal["average", "max"] = "average"
    """2x2 pooling"""
    dropout: float = 0.0
    """dropout rate before each linear layer"""

    def __post_init__(self) -> None:
        if self.image_size < 16:
            raise ValueError(f"lenet5 needs images of at least 16 x 16 pixels, got image_size={self.image_size}")
        if self.in_channels < 1 or self.num_classes < 0:
            raise ValueError("in_channels must be at least 1 and num_classes at least 0")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")


class LeNet5(nn.Module):
    """Two convolutions with pooling, then three linear layers: images (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("lenet5")
    >>> model(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: LeNet5Config) -> None:
        super().__init__()
        self.config = config
        pool = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}[config.pool]
        side = ((config.image_size - 4) // 2 - 4) // 2  # of the S4 maps: 32 -> 5
        self.stage1 = nn.Sequential(nn.Conv2d(config.in_channels, 6, 5), activation(config.activation), pool(2))
        self.stage2 = nn.Sequential(nn.Conv2d(6, 16, 5), activation(config.activation), pool(2))
        self.c5 = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(16 * side * side, 120), activation(config.activation)
        )
        self.f6 = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(120, 84), activation(config.activation))
        self.dropout = nn.Dropout(config.dropout)
        self.head = linear_head(84, config.num_classes)

    def features(self, x_BCHW: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        """Feature maps (B, C, H, W) after the pooling of the requested ``stages``, 0 and 1 (None: both).

        Raises ValueError for images whose shape is not that of the config, and for a stage that does not exist.
        """
        size = self.config.image_size
        expect_image(x_BCHW, self.config.in_channels, (size, size))
        first_BCHW = self.stage1(x_BCHW)
        maps = [first_BCHW, self.stage2(first_BCHW)]
        return [maps[stage] for stage in stage_numbers(stages, 2)]

    def embed(self, x_BCHW: Tensor) -> Tensor:
        """The 84 features of F6, before dropout and output layer, (B, 84)."""
        (x_BCHW,) = self.features(x_BCHW, [1])
        out_BD: Tensor = self.f6(self.c5(x_BCHW.flatten(1)))
        return out_BD

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B, K). Raises ValueError as ``features`` does."""
        logits_BK: Tensor = self.head(self.dropout(self.embed(x_BCHW)))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """Replace the output layer by a newly initialised one; with 0 classes forward returns the embedding (B, D)."""
        self.config = replace(self.config, num_classes=num_classes)
        self.head = linear_head(84, num_classes, like=next(self.parameters()))


VARIANTS = {
    "lenet5": Variant(
        build=LeNet5,
        config=LeNet5Config(),
        card=Card(
            title="LeNet-5 (modern)",
            summary="Two convolutions and three linear layers: the first convolutional network in wide use.",
            paper="Gradient-based learning applied to document recognition",
            authors="LeCun, Bottou, Bengio, Haffner",
            year=1998,
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(1, 32, 32),
            parameters=61_706,
            macs=416_520,
            reported=(
                Reported(
                    dataset="MNIST",
                    metric="test error %",
                    value=0.95,
                    source="the paper, figure 9",
                    note="the 1998 net, without distortions",
                ),
            ),
            reference="a torch.nn.Sequential built by hand",
            differences=(
                "average pooling without trainable coefficients or an activation of its own",
                "C3 is connected to all six S2 maps (paper: a sparse table)",
                "tanh without the 1.7159 and 2/3 scales",
                "linear outputs with cross-entropy (paper: Euclidean radial basis functions)",
                "torch's default initialisation (paper: uniform within 2.4 / fan-in)",
            ),
            recipe="lenet5",
            aliases=("lenet",),
        ),
    ),
}
