"""CoAtNet: convolution in the early stages, attention with a relative position bias in the late ones.

Paper: Dai, Liu, Le, Tan, "CoAtNet: Marrying Convolution and Attention for All Data Sizes", NeurIPS 2021, arXiv
2106.04803.
What was new: depthwise convolution and self-attention in one network, the attention scores being the sum of a content
term and a learned bias per offset, which is how a convolution weighs its neighbours; and where to place them: two
stages of inverted bottlenecks, then two of attention (C-C-T-T).

Differences from the paper: those of the reference, timm's ``coatnet_0``. Maps are downsampled by 2x2 average pooling
(paper: max pooling); an MBConv block has its stride in the depthwise convolution (paper: in the first 1x1 one); the
pooled vector passes a layer normalisation and a linear layer with tanh before the output layer (paper: none). It has
the paper's 25M parameters, and 4.5G multiply-adds where the paper states 4.2G. Weights are initialised as in the
reference. Odd maps are halved rounding up in all branches; the reference cannot process them.

The position bias fits one map size: ``forward`` accepts images of ``image_size`` x ``image_size`` pixels only.

Legend: B batch, C channels, H height, W width, T = H W positions, N heads, D channels of a head, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                # 3x3/2 convolution, BN, GELU, 3x3 convolution
    for stage in stages[:2]:
        for block in stage:              # branch: BN, 1x1 expansion, depthwise 3x3, squeeze-and-excitation, 1x1
            x_BCHW = block.shortcut(x_BCHW) + block.drop(branch(x_BCHW))
    for stage in stages[2:]:             # x_BTC: the positions of the map in a row; pool in the first block only
        for block in stage:
            x_BTC = block.shortcut(x_BTC) + block.drop(block.attention(block.pool(block.norm1(x_BTC))))
            x_BTC = x_BTC + block.drop(block.mlp(block.norm2(x_BTC)))
    e_BC = neck(x_BCHW)                  # mean over positions, layer norm, linear, tanh
    return head(dropout(e_BC))           # linear: logits (B, K)

Reading order: models/coatnet.py, layers/image_classifier.py, layers/attention.py, layers/relative_position.py,
layers/squeeze_excitation.py, layers/stochastic_depth.py; helpers: layers/convolution.py, layers/heads.py,
layers/shapes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.attention import attention
from lamina.layers.convolution import make_divisible
from lamina.layers.image_classifier import ImageClassifier, check_options, global_average_pool
from lamina.layers.relative_position import RelativePositionBias
from lamina.layers.shapes import expect_image
from lamina.layers.squeeze_excitation import SqueezeExcitation
from lamina.layers.stochastic_depth import StochasticDepth, rising_rates

EXPANSION = 4  # of MBConv's inner width and of the feed-forward layers', over the block's output width
SQUEEZE = 0.25  # of the squeezed width, over the block's output width


@dataclass(frozen=True, kw_only=True)
class CoAtNetConfig:
    """Options of CoAtNet."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width of an image, in pixels; forward accepts no other"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """two 3x3 convolutions, the first of stride 2 ("imagenet") or 1 ("small", for images of 28 or 32 pixels)"""
    stem_width: int = 64
    """channels of the stem"""
    widths: tuple[int, int, int, int] = (96, 192, 384, 768)
    """channels of the four stages"""
    depths: tuple[int, int, int, int] = (2, 3, 5, 2)
    """blocks of the four stages: MBConv in the first two, attention in the last two"""
    head_dim: int = 32
    """channels of an attention head; the widths of the last two stages are multiples of it"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""
    stochastic_depth: float = 0.0
    """probability of dropping the last block in training; it rises linearly from 0 at the first block"""

    def __post_init__(self) -> None:
        check_options(self)
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {self.image_size}")
        for name in ("widths", "depths"):
            values = getattr(self, name)
            if len(values) != 4 or min(values) < 1:
                raise ValueError(f"{name} must be four numbers of at least 1, got {values}")
        if self.stem_width < 1 or self.head_dim < 1:
            raise ValueError("stem_width and head_dim must be at least 1")
        if any(width % self.head_dim for width in self.widths[2:]):
            raise ValueError(f"the last two widths must be multiples of head_dim={self.head_dim}, got {self.widths}")


class Shortcut(nn.Module):
    """The shortcut of a block that halves the map: 2x2 average pooling, and a 1x1 convolution if the width changes.

    (B, in, H, W) -> (B, out, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pool = average_pool_2x2()
        same = in_channels == out_channels
        self.project = nn.Identity() if same else convolution(in_channels, out_channels, 1, bias=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out_BCHW: Tensor = self.project(self.pool(x_BCHW))
        return out_BCHW


class MBConv(nn.Module):
    """x + Conv1x1(SE(DepthConv3x3(Conv1x1(BN(x))))), batch norm and GELU after the first two convolutions.

    (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, drop: float) -> None:
        super().__init__()
        inner = make_divisible(EXPANSION * out_channels)
        self.shortcut = Shortcut(in_channels, out_channels) if stride == 2 else nn.Identity()
        self.pre_norm = nn.BatchNorm2d(in_channels)
        self.expand = convolution(in_channels, inner, 1)
        self.norm1 = nn.BatchNorm2d(inner)
        self.depthwise = convolution(inner, inner, 3, stride=stride, groups=inner)
        self.norm2 = nn.BatchNorm2d(inner)
        self.act = nn.GELU()
        self.squeeze = SqueezeExcitation(inner, max(1, int(SQUEEZE * out_channels)), act="swish")
        for layer in (self.squeeze.reduce, self.squeeze.expand):
            initialise_convolution(layer)
        self.project = convolution(inner, out_channels, 1, bias=True)
        self.drop = StochasticDepth(drop)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h_BCHW = self.act(self.norm1(self.expand(self.pre_norm(x_BCHW))))
        h_BCHW = self.squeeze(self.act(self.norm2(self.depthwise(h_BCHW))))
        out_BCHW: Tensor = self.shortcut(x_BCHW) + self.drop(self.project(h_BCHW))
        return out_BCHW


class RelativeAttention(nn.Module):
    """softmax(q k^T / sqrt(D) + bias) v over all positions of a ``side`` x ``side`` map, projected.

    (B, T, in) -> (B, T, out).
    """

    def __init__(self, in_width: int, out_width: int, head_dim: int, side: int) -> None:
        super().__init__()
        self.heads = out_width // head_dim
        self.qkv = linear(in_width, 3 * out_width)
        self.position = RelativePositionBias(side, side, self.heads)
        self.project = linear(out_width, out_width)

    def forward(self, x_BTC: Tensor) -> Tensor:
        # q, k and v of the first head, then those of the second: the order of the reference's weights
        q_BNTD, k_BNTD, v_BNTD = self.qkv(x_BTC).unflatten(-1, (self.heads, -1)).transpose(1, 2).chunk(3, dim=-1)
        out_BNTD, _ = attention(q_BNTD, k_BNTD, v_BNTD, mask=self.position())
        out_BTC: Tensor = self.project(out_BNTD.transpose(1, 2).flatten(2))
        return out_BTC


class AttentionBlock(nn.Module):
    """x + Attention(LN(x)), then x + FFN(LN(x)); with ``stride`` 2 both terms of the first sum are downsampled.

    (B, in, H, W) -> (B, out, side, side) with side = ceil(H / stride) = ceil(W / stride).
    """

    def __init__(self, in_width: int, out_width: int, head_dim: int, side: int, stride: int, drop: float) -> None:
        super().__init__()
        self.side = side
        self.shortcut = Shortcut(in_width, out_width) if stride == 2 else nn.Identity()
        self.norm1 = nn.LayerNorm(in_width, eps=1e-6)
        self.pool = average_pool_2x2() if stride == 2 else nn.Identity()
        self.attention = RelativeAttention(in_width, out_width, head_dim, side)
        self.norm2 = nn.LayerNorm(out_width, eps=1e-6)
        self.mlp = nn.Sequential(
            linear(out_width, EXPANSION * out_width, bias_std=1e-6),
            nn.GELU(),
            linear(EXPANSION * out_width, out_width, bias_std=1e-6),
        )
        self.drop = StochasticDepth(drop)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h_BCHW = self.pool(self.norm1(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        x_BTC = self.shortcut(x_BCHW).flatten(2).mT + self.drop(self.attention(h_BCHW.flatten(2).mT))
        x_BTC = x_BTC + self.drop(self.mlp(self.norm2(x_BTC)))
        out_BCHW: Tensor = x_BTC.mT.unflatten(2, (self.side, self.side))
        return out_BCHW


class CoAtNet(ImageClassifier):
    """Two convolutions, two stages of MBConv, two of relative attention: (B, C, size, size) -> logits (B, K).

    >>> model = lamina.create_model("coatnet-0", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: CoAtNetConfig) -> None:
        super().__init__()
        self.config = config
        width = config.stem_width
        stride = 2 if config.stem == "imagenet" else 1
        self.stem = nn.Sequential(
            convolution(config.in_channels, width, 3, stride=stride),
            nn.BatchNorm2d(width),
            nn.GELU(),
            convolution(width, width, 3),
        )
        rates = iter(rising_rates(config.stochastic_depth, sum(config.depths), inclusive=True))
        side = -(-config.image_size // stride)  # rounded up
        self.stages = nn.ModuleList()
        for number, (out_width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            side = -(-side // 2)
            stage = nn.Sequential()
            for stride in (2, *(1,) * (depth - 1)):
                if number < 2:
                    stage.append(MBConv(width, out_width, stride, next(rates)))
                else:
                    stage.append(AttentionBlock(width, out_width, config.head_dim, side, stride, next(rates)))
                width = out_width
            self.stages.append(stage)
        self.neck = nn.Sequential(
            global_average_pool(), nn.LayerNorm(width, eps=1e-6), nn.Linear(width, width), nn.Tanh()
        )
        self.dropout = nn.Dropout(config.dropout)
        self.embedding = width
        self.reset_head(config.num_classes)

    def features(self, x_BCHW: Tensor, stages: Sequence[int] | None = None) -> list[Tensor]:
        """Feature maps (B, C, H, W) after the requested ``stages``, indexed from 0 (None: all).

        Raises ValueError for images whose shape is not that of the config, and for a stage that does not exist.
        """
        size = self.config.image_size
        expect_image(x_BCHW, self.config.in_channels, (size, size))
        return super().features(x_BCHW, stages)


def average_pool_2x2() -> nn.AvgPool2d:
    """2x2 average pooling, rounding up, so that odd maps get the size that a strided convolution gives them."""
    return nn.AvgPool2d(2, ceil_mode=True)


def convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """A convolution padded by kernel // 2, initialised by ``initialise_convolution``."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=bias)
    initialise_convolution(layer)
    return layer


def initialise_convolution(layer: nn.Conv2d) -> None:
    """Weights N(0, 2 / fan-out of a group), biases 0, as in the reference and EfficientNet."""
    fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
    nn.init.normal_(layer.weight, std=(2.0 / fan_out) ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def linear(in_width: int, out_width: int, *, bias_std: float = 0.0) -> nn.Linear:
    """A linear layer with Xavier-uniform weights and biases N(0, bias_std^2)."""
    layer = nn.Linear(in_width, out_width)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.normal_(layer.bias, std=bias_std)
    return layer


VARIANTS = {
    "coatnet-0": Variant(
        build=CoAtNet,
        config=CoAtNetConfig(),
        card=Card(
            title="CoAtNet-0",
            summary="Two stages of inverted bottlenecks, then two of attention with a relative position bias.",
            paper="CoAtNet: Marrying Convolution and Attention for All Data Sizes",
            authors="Dai, Liu, Le, Tan",
            year=2021,
            arxiv="2106.04803",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=25_036_820,
            macs=4_546_507_776,
            reported=(
                Reported(
                    dataset="ImageNet-1k",
                    metric="top-1 accuracy %",
                    value=81.6,
                    source="the paper, table 4",
                    note="trained on ImageNet-1k alone at 224 x 224 pixels",
                ),
            ),
            reference="timm coatnet_0_224",
            differences=(
                "downsampling by 2x2 average pooling (paper: max pooling)",
                "an MBConv block's stride is in its depthwise convolution (paper: in the first 1x1 one)",
                "layer normalisation and a linear layer with tanh before the output layer (paper: none)",
            ),
            recipe="coatnet",
            aliases=("coatnet_0_224",),
        ),
        small={
            "image_size": 32,
            "stem": "small",
            "stem_width": 8,
            "widths": (8, 12, 16, 24),
            "depths": (1, 1, 2, 1),
            "head_dim": 8,
        },
    ),
}
