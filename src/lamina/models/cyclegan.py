"""CycleGAN: pictures of one kind into pictures of another, from two sets without pairs.

Paper: Zhu, Park, Isola, Efros, "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV
2017, arXiv 1703.10593; the discriminator: Isola et al., arXiv 1611.07004; the generator: Johnson et al., arXiv
1603.08155.
What was new: two translators that undo each other, F(G(a)) = a and G(F(b)) = b, in place of pairs of pictures.

Differences from the paper: as in the released code, both generators are one player and both discriminators are one, the
identity loss is on (paper: for paintings to photographs only), and convolutions have a bias before instance
normalisation, which has neither scale nor shift. Sides that are no multiple of 4 are padded by reflection, and cut.

Legend: B batch, C channels, H height, W width, D width of a layer.

Forward of a generator:

    x_BCHW = down(x_BCHW)        # 7x7 to 64 channels, 3x3 / 2 to 128, 3x3 / 2 to 256, each normalised and rectified
    x_BCHW = blocks(x_BCHW)      # nine residual blocks of two 3x3, padded by reflection
    x_BCHW = up(x_BCHW)          # transposed 3x3 / 2 to 128, to 64
    return tanh(output(x_BCHW))  # 7x7

Reading order: models/cyclegan.py, layers/instance_statistics.py; helper: layers/shapes.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.instance_statistics import InstanceNorm
from lamina.layers.shapes import expect_image

SLOPE = 0.2
"""of the discriminator's leaky ReLU"""
STD = 0.02
"""standard deviation of new weights"""
STRIDE = 4
"""what the generator's smallest maps are a part of"""
OUTPUTS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "linear": nn.Identity}


@dataclass(frozen=True, kw_only=True)
class CycleGANConfig:
    """Options of both players."""

    in_channels: int = 3
    """image channels of the data"""
    a_channels: int | None = None
    """channels of side A; none: as the data. Grey beside colour: 1"""
    b_channels: int | None = None
    """channels of side B; none: as the data"""
    image_size: int = 256
    """side that pictures are brought to for training; translated are pictures of any size"""
    width: int = 64
    """channels of the generators' first maps"""
    blocks: int = 9
    """residual blocks of the generators: 6 for 128 pixels, 9 for 256"""
    discriminator_width: int = 64
    """channels of the discriminators' first maps"""
    discriminator_layers: int = 3
    """convolutions of stride 2 in the discriminators, whose receptive field is 16, 34, 70, 142 pixels for 1 to 4"""
    output: Literal["tanh", "sigmoid", "linear"] = "tanh"
    """last non-linearity of the generators (set by the range of the data: -1 to 1, 0 to 1, any)"""

    def __post_init__(self) -> None:
        for name in ("in_channels", "a_channels", "b_channels", "width", "discriminator_width", "discriminator_layers"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.blocks < 0:
            raise ValueError(f"blocks must not be negative, got {self.blocks}")
        if self.image_size < self.min_size:
            raise ValueError(
                f"image_size {self.image_size} is too small for {self.discriminator_layers} convolutions of stride 2 "
                f"in the discriminator: at least {self.min_size}, or fewer discriminator_layers"
            )

    @property
    def min_size(self) -> int:
        """Smallest side of training pictures: each discriminator gives one score or more."""
        return max(2 * STRIDE, 3 << self.discriminator_layers)

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of side A and of side B."""
        return self.a_channels or self.in_channels, self.b_channels or self.in_channels


class Residual(nn.Module):
    """(B, D, H, W) -> the same: two 3x3 convolutions padded by reflection, normalised, and the input."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(D, D, 3), InstanceNorm(D, affine=False)
        self.conv2, self.norm2 = nn.Conv2d(D, D, 3), InstanceNorm(D, affine=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW = F.relu(self.norm1(self.conv1(F.pad(x_BCHW, (1, 1, 1, 1), mode="reflect"))))
        y_BCHW = self.norm2(self.conv2(F.pad(y_BCHW, (1, 1, 1, 1), mode="reflect")))
        out_BCHW: Tensor = x_BCHW + y_BCHW
        return out_BCHW


class Generator(nn.Module):
    """Pictures (B, C, H, W) of one side -> pictures (B, C', H, W) of the other, of any size from ``min_size`` on."""

    min_size = 2 * STRIDE

    def __init__(self, channels: int, to: int, config: CycleGANConfig) -> None:
        super().__init__()
        D, self.channels = config.width, channels
        self.first, self.norm = nn.Conv2d(channels, D, 7), InstanceNorm(D, affine=False)
        self.down = nn.Sequential(*(_normed(nn.Conv2d(k * D, 2 * k * D, 3, 2, 1), 2 * k * D) for k in (1, 2)))
        self.blocks = nn.Sequential(*(Residual(STRIDE * D) for _ in range(config.blocks)))
        self.up = nn.Sequential(
            *(_normed(nn.ConvTranspose2d(2 * k * D, k * D, 3, 2, 1, output_padding=1), k * D) for k in (2, 1))
        )
        self.output = nn.Conv2d(D, to, 7)
        self.bound = OUTPUTS[config.output]()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Raises ValueError for pictures with other channels, or smaller than ``min_size``."""
        expect_image(x_BCHW, self.channels, min_size=self.min_size)
        height, width = x_BCHW.shape[2:]
        x_BCHW = F.pad(x_BCHW, (0, -width % STRIDE, 0, -height % STRIDE), mode="reflect")
        x_BCHW = F.relu(self.norm(self.first(F.pad(x_BCHW, (3, 3, 3, 3), mode="reflect"))))
        x_BCHW = self.up(self.blocks(self.down(x_BCHW)))
        y_BCHW: Tensor = self.bound(self.output(F.pad(x_BCHW, (3, 3, 3, 3), mode="reflect")))
        return y_BCHW[:, :, :height, :width]


class PatchGAN(nn.Module):
    """Pictures (B, C, H, W) -> logits (B, 1, h, w), one for each patch: large where it is judged to be real.

    Half the side at each 4x4 convolution of stride 2, then two of stride 1; no normalisation in the first.
    """

    def __init__(self, channels: int, config: CycleGANConfig) -> None:
        super().__init__()
        D, self.channels = config.discriminator_width, channels
        self.min_size = 3 << config.discriminator_layers
        widths = [D * min(2**i, 8) for i in range(config.discriminator_layers + 1)]
        self.first = nn.Conv2d(channels, D, 4, 2, 1)
        stages = []
        for i in range(1, len(widths)):
            stride = 2 if i < config.discriminator_layers else 1
            stages.append(_normed(nn.Conv2d(widths[i - 1], widths[i], 4, stride, 1), widths[i], nn.LeakyReLU(SLOPE)))
        self.stages = nn.Sequential(*stages)
        self.output = nn.Conv2d(widths[-1], 1, 4, 1, 1)

    def field(self) -> tuple[int, int, int]:
        """What a logit is computed from, by the convolutions: the side of its patch, the distance between the patches
        of neighbours, and the first pixel of the first patch, negative in the padding: (70, 8, -23) of the paper's
        net. Instance normalisation adds mean and deviation of whole maps."""
        side, jump, first = 1, 1, 0
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                (k, _), (stride, _) = layer.kernel_size, layer.stride
                first -= int(layer.padding[0]) * jump
                side, jump = side + (k - 1) * jump, jump * stride
        return side, jump, first

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Raises ValueError for pictures with other channels, or too small for one patch."""
        expect_image(x_BCHW, self.channels, min_size=self.min_size)
        x_BCHW = F.leaky_relu(self.first(x_BCHW), SLOPE)
        logit_B1HW: Tensor = self.output(self.stages(x_BCHW))
        return logit_B1HW


class Translated(NamedTuple):
    """What both generators make of a batch of each side."""

    fake_b: Tensor
    """G(a), (B, C, H, W)"""
    fake_a: Tensor
    """F(b)"""
    back_a: Tensor
    """F(G(a))"""
    back_b: Tensor
    """G(F(b))"""
    same_b: Tensor | None
    """G(b); None where it is not asked for, or the sides have other channels"""
    same_a: Tensor | None
    """F(a)"""


class Generators(nn.Module):
    """Both generators, one player: ``a_to_b`` and ``b_to_a``. A batch of each side -> six pictures of each sample."""

    def __init__(self, config: CycleGANConfig) -> None:
        super().__init__()
        a, b = config.channels
        self.alike = a == b
        self.a_to_b, self.b_to_a = Generator(a, b, config), Generator(b, a, config)

    def forward(self, a_BCHW: Tensor, b_BCHW: Tensor, identity: bool = True) -> Translated:
        fake_b, fake_a = self.a_to_b(a_BCHW), self.b_to_a(b_BCHW)
        same = identity and self.alike
        return Translated(
            fake_b=fake_b,
            fake_a=fake_a,
            back_a=self.b_to_a(fake_b),
            back_b=self.a_to_b(fake_a),
            same_b=self.a_to_b(b_BCHW) if same else None,
            same_a=self.b_to_a(a_BCHW) if same else None,
        )


class Scores(NamedTuple):
    """Logits (B, 1, h, w) of pictures of each side."""

    a: Tensor
    b: Tensor


class Discriminators(nn.Module):
    """Both discriminators, one player: ``a`` and ``b``. Pictures of each side -> logits of each, (B, 1, h, w)."""

    def __init__(self, config: CycleGANConfig) -> None:
        super().__init__()
        a, b = config.channels
        self.a, self.b = PatchGAN(a, config), PatchGAN(b, config)

    def forward(self, a_BCHW: Tensor, b_BCHW: Tensor) -> Scores:
        return Scores(self.a(a_BCHW), self.b(b_BCHW))


class CycleGAN(nn.Module):
    """Two players: ``generators`` and ``discriminators``. ``forward`` translates side A: (B, C, H, W) -> the same size.

    >>> model = lamina.create_model("cyclegan-128")
    >>> model(torch.zeros(1, 3, 61, 75)).shape, model.discriminators.a(torch.zeros(1, 3, 128, 128)).shape
    (torch.Size([1, 3, 61, 75]), torch.Size([1, 1, 14, 14]))
    """

    min_size = Generator.min_size

    def __init__(self, config: CycleGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generators, self.discriminators = Generators(config), Discriminators(config)
        self.apply(_initialise)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.generators.a_to_b(x_BCHW)
        return y_BCHW


def _normed(layer: nn.Module, D: int, unit: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(layer, InstanceNorm(D, affine=False), nn.ReLU() if unit is None else unit)


def _initialise(module: nn.Module) -> None:
    """Convolutions N(0, 0.02), biases 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def sides_example(config: CycleGANConfig, batch: int) -> dict[str, Tensor]:
    """A batch of each side."""
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randn(batch, C, config.image_size, config.image_size, generator=draws) for C in config.channels)
    return {"a_BCHW": a, "b_BCHW": b}


def _row(config: CycleGANConfig, title: str, summary: str, generator: int, macs: tuple[int, int]) -> Variant:
    """A row from the parameters of one generator, and the multiply-adds of both players for a picture of each side."""
    image = (config.in_channels, config.image_size, config.image_size)
    return Variant(
        build=CycleGAN,
        config=config,
        small={
            "image_size": 8,
            "b_channels": 1,
            "width": 3,
            "blocks": 1,
            "discriminator_width": 3,
            "discriminator_layers": 1,
        },
        players={"generators": sides_example, "discriminators": sides_example},
        card=Card(
            title=title,
            summary=summary,
            paper="Unpaired image-to-image translation using cycle-consistent adversarial networks",
            authors="Zhu, Park, Isola, Efros",
            year=2017,
            arxiv="1703.10593",
            inputs=("image",),
            tasks=("image-translation",),
            input={"generators": image, "discriminators": image},
            parameters={"generators": 2 * generator, "discriminators": 2 * 2_764_737},
            macs={"generators": macs[0], "discriminators": macs[1]},
            reference="junyanz/pytorch-CycleGAN-and-pix2pix",
            recipe="cyclegan",
            differences=(
                "the identity loss is on, as in the released code (paper: for paintings to photographs only)",
                "pictures of the pool are kept with 256 grey levels",
                "no random crops unless --crop asks for them (released code: 256 of 286 pixels)",
            ),
        ),
    )


VARIANTS = {
    "cyclegan": _row(
        CycleGANConfig(),
        "CycleGAN",
        "Two residual generators of 9 blocks that undo each other, 70 x 70 PatchGANs; 256 pixels.",
        11_378_179,
        (297_309_044_736, 6_293_618_688),
    ),
    "cyclegan-128": _row(
        CycleGANConfig(image_size=128, blocks=6),
        "CycleGAN for 128 pixels",
        "Generators of 6 blocks, as the paper has them for 128 pixels.",
        7_837_699,
        (52_583_989_248, 1_508_966_400),
    ),
}
