"""LeNet-5 as its paper describes it: 60,000 trainable weights, and distances to ten bitmaps as outputs.

Paper: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11),
1998, section II-B and appendix A.
What was new: convolution, subsampling and a classifier trained as one, end to end, on raw pixels.

Differences from the paper: the ten 7 x 12 bitmaps are drawn for this file, in the style of the paper's figure 3; any
other number of classes gets random +-1 codes, fixed once, which the paper mentions as an alternative. Images are
normalised to mean 0 and variance 1; the paper maps background to -0.1 and ink to 1.175, which is similar. At sizes
other than 32 x 32 the kernels of C5 cover the S4 maps entirely; the paper would keep them 5 x 5 and get several
outputs. Forward returns -y_i, so that the largest is the predicted class. The default recipe trains with AdamW instead
of the stochastic diagonal Levenberg-Marquardt method.

Legend: B batch, C channels, H height, W width, D features, K classes. Layers have the paper's names.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.activations import ScaledTanh
from lamina.layers.heads import stage_numbers
from lamina.layers.shapes import expect_image

Layer = TypeVar("Layer", bound=nn.Module)

# Table I: the S2 maps that each C3 map is connected to.
C3_SEES = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The target of F6 for each digit: ink is +1, background -1. The closest two, 3 and 8, differ in 10 of 84 positions.
DIGITS = """
..###..  ...#...  .####..  .#####.  ....##.  #######  ...####  #######  .#####.  .#####.
.##.##.  ..##...  ##..##.  ##...##  ...###.  #......  ..##...  ......#  ##...##  ##...##
##...##  .###...  #....##  ......#  ..##.#.  #......  .##....  .....##  #.....#  #.....#
#.....#  ##.#...  ......#  ......#  ..#..#.  #......  ##.....  .....#.  #.....#  #.....#
#.....#  ...#...  .....##  .....##  .##..#.  #.####.  #......  ....##.  ##...##  #.....#
#.....#  ...#...  ....##.  ..####.  .#...#.  ##...##  #.####.  ....#..  .#####.  ##...##
#.....#  ...#...  ...##..  .....##  ##...#.  ......#  ##...##  ....#..  ##...##  .####.#
#.....#  ...#...  ..##...  ......#  #######  ......#  #.....#  ...##..  #.....#  ......#
#.....#  ...#...  .##....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  .....##
##...##  ...#...  ##.....  ......#  .....#.  #.....#  #.....#  ...#...  #.....#  ....##.
.##.##.  ...#...  #......  ##...##  .....#.  ##...##  ##...##  ..##...  ##...##  ...##..
..###..  .#####.  #######  .#####.  .....#.  .#####.  .#####.  ..#....  .#####.  ####...
"""


@dataclass(frozen=True, kw_only=True)
class LeNet51998Config:
    """Options of the LeNet-5 of 1998."""

    num_classes: int = 10
    """outputs; 10 classes use the bitmaps of the digits, any other number random codes"""
    in_channels: int = 1
    """channels of an image"""
    image_size: int = 32
    """height and width of an image, in pixels"""

    def __post_init__(self) -> None:
        if self.image_size < 16:
            raise ValueError(f"lenet5-1998 needs images of at least 16 x 16 pixels, got image_size={self.image_size}")
        if self.in_channels < 1 or self.num_classes < 0:
            raise ValueError("in_channels must be at least 1 and num_classes at least 0")


class LeNet51998(nn.Module):
    """C1, S2, C3, S4, C5, F6, RBF: images (B, C, H, W) -> -y (B, K), y the squared distance of F6 to each code.

    The activation up to F6 is f(a) = 1.7159 tanh(2a/3).

    >>> model = lamina.create_model("lenet5-1998")
    >>> model(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: LeNet51998Config) -> None:
        super().__init__()
        self.config = config
        channels = config.in_channels
        side = ((config.image_size - 4) // 2 - 4) // 2  # of the S4 maps: 32 -> 5
        self.c1 = nn.Sequential(start(nn.Conv2d(channels, 6, 5), 25 * channels), ScaledTanh())
        self.s2 = nn.Sequential(Subsampling(6), ScaledTanh())
        self.c3 = nn.Sequential(SparseConvolution(), ScaledTanh())
        self.s4 = nn.Sequential(Subsampling(16), ScaledTanh())
        self.c5 = nn.Sequential(start(nn.Conv2d(16, 120, side), 16 * side**2), nn.Flatten(), ScaledTanh())
        self.f6 = nn.Sequential(start(nn.Linear(120, 84), 120), ScaledTanh())
        self.head = rbf_head(config.num_classes)

    def features(self, x_BCHW: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        """The maps (B, C, H, W) of S2 (stage 0) and S4 (stage 1), in the order of ``stages`` (None: both).

        Raises ValueError for images whose shape is not that of the config, and for a stage that does not exist.
        """
        size = self.config.image_size
        expect_image(x_BCHW, self.config.in_channels, (size, size))
        s2_BCHW = self.s2(self.c1(x_BCHW))
        maps = [s2_BCHW, self.s4(self.c3(s2_BCHW))]
        return [maps[stage] for stage in stage_numbers(stages, 2)]

    def embed(self, x_BCHW: Tensor) -> Tensor:
        """F6, (B, 84), which is trained to match the bitmap of the digit."""
        (s4_BCHW,) = self.features(x_BCHW, [1])
        f6_BD: Tensor = self.f6(self.c5(s4_BCHW))
        return f6_BD

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B, K). Raises ValueError as ``features`` does."""
        logits_BK: Tensor = self.head(self.embed(x_BCHW))
        return logits_BK

    def reset_head(self, num_classes: int) -> None:
        """Use the codes for another number of classes; with 0 classes forward returns F6 (B, 84)."""
        self.config = replace(self.config, num_classes=num_classes)
        like = next(self.parameters())
        self.head = rbf_head(num_classes).to(like.device, like.dtype)


class Subsampling(nn.Module):
    """w_c (the sum of each 2 x 2) + b_c: two weights per map, (B, C, H, W) -> (B, C, H // 2, W // 2)."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))
        start(self, 4)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        sum_BCHW = 4 * nn.functional.avg_pool2d(x_BCHW, 2)
        return self.weight.view(-1, 1, 1) * sum_BCHW + self.bias.view(-1, 1, 1)


class SparseConvolution(nn.Module):
    """C3: 16 maps, each connected to 3 to 6 of the S2 maps, (B, 6, H, W) -> (B, 16, H - 4, W - 4).

    Only the 60 pairs of Table I have weights. In forward they are placed into the zero-filled kernels of a dense
    convolution, which on a CPU is an order of magnitude faster than three grouped convolutions.
    """

    place: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(o, i) for o, seen in enumerate(C3_SEES) for i in seen]
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.empty(len(C3_SEES)))
        self.register_buffer("place", torch.tensor([6 * o + i for o, i in pairs]), persistent=False)
        bounds = torch.tensor([2.4 / (25 * len(seen)) for seen in C3_SEES])
        with torch.no_grad():
            self.weight.uniform_(-1, 1).mul_(bounds[[o for o, _ in pairs]].view(-1, 1, 1))
            self.bias.uniform_(-1, 1).mul_(bounds)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        kernels = self.weight.new_zeros(16 * 6, 5, 5).index_copy(0, self.place, self.weight)
        return nn.functional.conv2d(x_BCHW, kernels.view(16, 6, 5, 5), self.bias)


class RBF(nn.Module):
    """-y_i = -sum_j (x_j - w_ij)^2 for fixed codes w_i of +-1: (B, 84) -> (B, K)."""

    codes_KD: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("codes_KD", torch.tensor(codes(classes)))

    def forward(self, x_BD: Tensor) -> Tensor:
        return -(x_BD[:, None] - self.codes_KD).square().sum(2)


def codes(classes: int) -> list[list[float]]:
    """One code of 84 numbers +-1 per class: for ten classes the bitmaps, row by row, else random with a fixed seed."""
    if classes == 10:
        lines = [line.split() for line in DIGITS.split("\n") if line]
        bitmaps = ["".join(line[digit] for line in lines) for digit in range(10)]
        return [[1.0 if dot == "#" else -1.0 for dot in bitmap] for bitmap in bitmaps]
    draw = random.Random(1998)
    return [[1.0 if draw.random() < 0.5 else -1.0 for _ in range(84)] for _ in range(classes)]


def rbf_head(classes: int) -> nn.Module:
    """The output layer; for 0 classes the identity."""
    return RBF(classes) if classes else nn.Identity()


def start(layer: Layer, fan_in: int) -> Layer:
    """Initialise weights and biases of ``layer`` uniformly within 2.4 / fan-in (appendix A), and return it."""
    for weight in layer.parameters():
        nn.init.uniform_(weight, -2.4 / fan_in, 2.4 / fan_in)
    return layer


VARIANTS = {
    "lenet5-1998": Variant(
        build=LeNet51998,
        config=LeNet51998Config(),
        card=Card(
            title="LeNet-5 (1998)",
            summary="LeNet-5 to the letter: sparse C3, trainable subsampling, Euclidean radial basis outputs.",
            paper="Gradient-based learning applied to document recognition",
            authors="LeCun, Bottou, Bengio, Haffner",
            year=1998,
            inputs=("image",),
            tasks=("classification",),
            objective="rbf-map",
            input=(1, 32, 32),
            parameters=60_000,
            macs=415_680,
            reported=(
                Reported(
                    dataset="MNIST",
                    metric="test error %",
                    value=0.95,
                    source="the paper, figure 9",
                    note="without distortions",
                ),
                Reported(
                    dataset="MNIST",
                    metric="test error %",
                    value=0.8,
                    source="the paper, figure 9",
                    note="trained with distortions",
                ),
            ),
            reference="the paper's formulas in plain loops",
            differences=(
                "the ten 7 x 12 bitmaps are redrawn, in the style of the paper's figure 3",
                "random +-1 codes, fixed once, where there are not ten classes",
                "images normalised to mean 0 and variance 1 (paper: background -0.1, ink 1.175)",
                "C5 covers the S4 maps entirely at sizes other than 32 x 32 (paper: 5 x 5, and several outputs)",
                "forward returns -y_i, so that the largest is the predicted class (paper: the smallest y_i)",
                "C3 is computed with zeros for the absent pairs: 240,000 of the multiply-adds, 150,000 of them real",
                "AdamW with a cosine schedule in the default recipe "
                "(paper: stochastic diagonal Levenberg-Marquardt, 20 passes)",
            ),
            recipe="lenet5-1998",
            aliases=("lenet5-original",),
        ),
    ),
}
