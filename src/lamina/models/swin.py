"""Swin Transformer: attention in windows that shift by half their size from block to block.

Paper: Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo, "Swin Transformer: Hierarchical Vision Transformer using Shifted
Windows", ICCV 2021, arXiv 2103.14030.
What was new: attention within windows of M x M positions, whose cost is linear in the number of pixels; every second
block shifts the windows, which connects neighbouring ones; patches are merged 2x2 between stages, which gives the
feature pyramid of a convolutional network.

Differences from the paper: none at sizes where M divides every map. Other maps are zero-padded on the right and at the
bottom, after the normalisation and before the shift, as in torchvision (the paper's code rejects them; timm shifts
first, and shrinks windows that are larger than the map); so are odd maps before the merging. Along an axis that one
window spans there is no shift. ``stem="small"`` cuts images of 28 or 32 pixels into 2x2 patches; with it ``window=4``
needs less padding than 7.

Legend: B batch, C channels, H height, W width, M side of a window, N windows of an image, T = M * M positions of a
window, h heads, G = N * h pairs of window and head, D channels of a head, K classes.

Forward (``ImageClassifier.forward``):

    x_BHWC = stem(x_BCHW)                    # 4x4/4 convolution, layer norm; the channels last from here on
    for stage in stages:
        x_BHWC = stage.downsample(x_BHWC)    # merge 2x2 patches; the identity in the first stage
        for block in stage.blocks:           # attn: windowed attention, shifted in every second block
            x_BHWC = x_BHWC + stochastic_depth(block.attn(block.norm1(x_BHWC)))
            x_BHWC = x_BHWC + stochastic_depth(block.mlp(block.norm2(x_BHWC)))
    e_BC = neck(x_BHWC)                      # layer norm, mean over positions
    return head(dropout(e_BC))               # linear: logits (B, K)

Reading order: models/swin.py, layers/image_classifier.py, layers/attention.py, layers/relative_position.py,
layers/channel_norm.py, layers/stochastic_depth.py; helpers: layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.attention import attention
from lamina.layers.channel_norm import ChannelNorm
from lamina.layers.heads import stage_numbers
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool
from lamina.layers.relative_position import RelativePositionBias
from lamina.layers.shapes import expect_image
from lamina.layers.stochastic_depth import StochasticDepth, rising_rates

MASKED = -100.0
"""added to the score of two positions that are in one window only because of the cyclic shift"""


@dataclass(frozen=True, kw_only=True)
class SwinConfig:
    """Options of Swin."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to, in pixels"""
    width: int = 96
    """channels of the first stage; each further one has twice as many"""
    depths: tuple[int, ...] = (2, 2, 6, 2)
    """blocks of each stage; every second one shifts its windows"""
    heads: tuple[int, ...] = (3, 6, 12, 24)
    """attention heads of each stage"""
    window: int = 7
    """height and width of a window, in positions"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """patches that an image is cut into: 4x4 pixels, or 2x2 for small images"""
    stochastic_depth: float = 0.0
    """probability of dropping the last block in training; it rises linearly from 0 at the first block"""
    dropout: float = 0.0
    """dropout rate of the features before the output layer"""

    def __post_init__(self) -> None:
        check_options(self)
        if not self.depths or len(self.depths) != len(self.heads):
            raise ValueError(f"depths and heads must have one number per stage, got {self.depths} and {self.heads}")
        if min(self.depths) < 1 or min(self.heads) < 1 or self.width < 1 or self.window < 1:
            raise ValueError("depths, heads, width and window must be at least 1")
        for stage, heads in enumerate(self.heads):
            if (width := self.width * 2**stage) % heads:
                raise ValueError(f"the width {width} of stage {stage} is not divisible by its {heads} heads")
        check_min_size("swin", self.image_size, patch_side(self))


def patch_side(config: SwinConfig) -> int:
    """Height and width of the stem's patches, in pixels."""
    return 4 if config.stem == "imagenet" else 2


class WindowAttention(nn.Module):
    """softmax(q k^T / sqrt(D) + bias) v within windows, for maps of any size: (B, H, W, C) -> (B, H, W, C).

    If ``shifted``, the windows start M // 2 positions further down and to the right. The shift is cyclic: windows at
    the edge wrap around to the other side, and a mask stops positions from different sides attending to each other.
    """

    def __init__(self, width: int, heads: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.heads, self.window, self.shifted = heads, window, shifted
        self.qkv = nn.Linear(width, 3 * width)
        self.bias = RelativePositionBias(window, window, heads)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        return self.attend(x_BHWC)[0]

    def attend(self, x_BHWC: Tensor, need_map: bool = False) -> tuple[Tensor, Tensor | None]:
        """The output of ``forward``, and with ``need_map`` the attention map (B, G, T, T), else None."""
        height, width = x_BHWC.shape[1:3]
        shift = self.shift(height, width)
        x_BHWC = roll(pad_to_multiple(x_BHWC, self.window), (-shift[0], -shift[1]))
        side, heads = self.window, self.heads
        batch, rows, columns = x_BHWC.shape[0], x_BHWC.shape[1] // side, x_BHWC.shape[2] // side
        # Pairs of window and head act as the heads of one attention, so the bias is not repeated per image; q, k and v
        # are copied separately, so that saving one of them for the gradient does not keep all three alive.
        qkv = self.qkv(x_BHWC).view(batch, rows, side, columns, side, 3, heads, -1)
        q_BGTD, k_BGTD, v_BGTD = (
            part.permute(0, 1, 3, 5, 2, 4, 6).reshape(batch, rows * columns * heads, side**2, -1)
            for part in qkv.unbind(5)
        )
        mask_GTT = self.attention_bias(rows, columns, shift)
        out_BGTD, attn_BGTT = attention(q_BGTD, k_BGTD, v_BGTD, mask=mask_GTT[None], need_map=need_map)
        out = out_BGTD.view(batch, rows, columns, heads, side, side, -1).permute(0, 1, 4, 2, 5, 3, 6)
        out_BHWC = roll(self.proj(out.reshape(x_BHWC.shape)), shift)
        return out_BHWC[:, :height, :width], attn_BGTT

    def shift(self, height: int, width: int) -> tuple[int, int]:
        """The shift of the windows down and to the right, in positions; 0 along an axis that one window spans."""
        step = self.window // 2 if self.shifted else 0
        return (step if height > self.window else 0, step if width > self.window else 0)

    def attention_bias(self, rows: int, columns: int, shift: tuple[int, int]) -> Tensor:
        """The bias added to the attention scores of ``rows`` x ``columns`` windows, mask included: (G, T, T)."""
        bias_hTT: Tensor = self.bias()
        if not any(shift):
            return bias_hTT.repeat(rows * columns, 1, 1)
        # After the cyclic shift the last positions are those that wrapped around.
        height, width = rows * self.window, columns * self.window
        wrapped_H = torch.arange(height, device=bias_hTT.device) >= height - shift[0]
        wrapped_W = torch.arange(width, device=bias_hTT.device) >= width - shift[1]
        origin_HW = 2 * wrapped_H[:, None] + wrapped_W
        origin_NT = partition(origin_HW[None, :, :, None], self.window).flatten(1)
        apart_NTT = origin_NT[:, :, None] != origin_NT[:, None]
        mask_NTT = torch.zeros_like(apart_NTT, dtype=bias_hTT.dtype).masked_fill(apart_NTT, MASKED)
        return (bias_hTT + mask_NTT[:, None]).flatten(0, 1)


def pad_to_multiple(x_BHWC: Tensor, multiple: int) -> Tensor:
    """Zero-pad on the right and at the bottom, so that height and width become multiples of ``multiple``."""
    down, right = -x_BHWC.shape[1] % multiple, -x_BHWC.shape[2] % multiple
    return F.pad(x_BHWC, (0, 0, 0, right, 0, down)) if down or right else x_BHWC


def roll(x_BHWC: Tensor, shift: tuple[int, int]) -> Tensor:
    """Cyclic shift of the map down and to the right."""
    return x_BHWC.roll(shift, (1, 2)) if any(shift) else x_BHWC


def partition(x_BHWC: Tensor, side: int) -> Tensor:
    """Cut a map, (B, H, W, C) with sides divisible by ``side``, into windows, row by row: (B * N, T, C)."""
    batch, height, width, channels = x_BHWC.shape
    x = x_BHWC.reshape(batch, height // side, side, width // side, side, channels).transpose(2, 3)
    return x.reshape(-1, side**2, channels)


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x)): (B, H, W, C) -> (B, H, W, C)."""

    def __init__(self, width: int, heads: int, window: int, shifted: bool, rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window, shifted)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(expand=nn.Linear(width, 4 * width), act=nn.GELU(), contract=nn.Linear(4 * width, width))
        )
        self.stochastic_depth = StochasticDepth(rate)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        x_BHWC = x_BHWC + self.stochastic_depth(self.attn(self.norm1(x_BHWC)))
        out_BHWC: Tensor = x_BHWC + self.stochastic_depth(self.mlp(self.norm2(x_BHWC)))
        return out_BHWC


class PatchMerging(nn.Module):
    """Merge 2x2 patches into one of twice the channels: (B, H, W, C) -> (B, ceil(H / 2), ceil(W / 2), 2C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        x_BHWC = pad_to_multiple(x_BHWC, 2)
        batch, height, width, channels = x_BHWC.shape
        x = x_BHWC.reshape(batch, height // 2, 2, width // 2, 2, channels)
        x = x.permute(0, 1, 3, 4, 2, 5).flatten(3)  # upper left, lower left, upper right, lower right
        out_BHWC: Tensor = self.reduction(self.norm(x))
        return out_BHWC


class Stage(nn.Module):
    """Patch merging (not in the first stage) and blocks: (B, C, H, W) -> (B, C', H', W'), in channels_last format."""

    def __init__(self, merge: nn.Module, blocks: list[Block]) -> None:
        super().__init__()
        self.downsample = merge
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BHWC: Tensor = self.blocks(self.downsample(x_BCHW.permute(0, 2, 3, 1)))
        return x_BHWC.permute(0, 3, 1, 2)


class Swin(ImageClassifier):
    """A patch stem and stages of windowed attention: images (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("swin-tiny", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    >>> model.attention_maps(torch.zeros(2, 3, 224, 224), stage=0, block=1).shape  # 64 windows an image, 3 heads
    torch.Size([128, 3, 49, 49])
    """

    config: SwinConfig

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        width, side = config.width, patch_side(config)
        patches = nn.Conv2d(config.in_channels, width, side, side)
        self.stem = nn.Sequential(OrderedDict(conv=patches, norm=ChannelNorm(width)))
        rates = iter(rising_rates(config.stochastic_depth, sum(config.depths), inclusive=True))
        self.stages = nn.ModuleList()
        for stage, (depth, heads) in enumerate(zip(config.depths, config.heads, strict=True)):
            merge = PatchMerging(width) if stage else nn.Identity()
            width *= 2 if stage else 1
            blocks = [Block(width, heads, config.window, number % 2 == 1, next(rates)) for number in range(depth)]
            self.stages.append(Stage(merge, blocks))
        self.embedding = width
        self.neck = nn.Sequential(OrderedDict(norm=ChannelNorm(width), pool=global_average_pool()))
        self.dropout = nn.Dropout(config.dropout)
        self.apply(initialise)
        self.reset_head(config.num_classes)

    @property
    def min_size(self) -> int:  # type: ignore[override]  # depends on the stem
        """Smallest image height and width the network can process."""
        return patch_side(self.config)

    def initialise_head(self, head: nn.Module) -> None:
        initialise(head)

    def attention_maps(self, x_BCHW: Tensor, stage: int, block: int) -> Tensor:
        """The attention maps of one block, (B * windows, heads, M*M, M*M): query, then key.

        The windows of an image are consecutive; ``window_positions`` gives their positions. ``stage`` and ``block``
        count from 0, negative ones from the end. Raises ValueError for a stage or block that does not exist.
        """
        expect_image(x_BCHW, self.config.in_channels, min_size=self.min_size)
        stage, block = self._stage_and_block(stage, block)
        x_BCHW = self.stem(x_BCHW)
        for earlier in self.stages[:stage]:
            x_BCHW = earlier(x_BCHW)
        within = cast(Stage, self.stages[stage])
        chosen = cast(Block, within.blocks[block])
        x_BHWC = within.blocks[:block](within.downsample(x_BCHW.permute(0, 2, 3, 1)))
        attn_BGTT = cast(Tensor, chosen.attn.attend(chosen.norm1(x_BHWC), need_map=True)[1])
        return attn_BGTT.reshape(-1, chosen.attn.heads, *attn_BGTT.shape[2:])

    def window_positions(self, height: int, width: int, stage: int, block: int) -> Tensor:
        """The positions in each window of a block, for images of ``height`` x ``width`` pixels: (windows, M*M).

        A position is row * columns + column in the stage's feature map, and -1 for padding.
        """
        stage, block = self._stage_and_block(stage, block)
        rows, columns = (pixels // patch_side(self.config) for pixels in (height, width))
        for _ in range(stage):
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        down, right = cast(Block, cast(Stage, self.stages[stage]).blocks[block]).attn.shift(rows, columns)
        numbers_BHWC = pad_to_multiple(
            torch.arange(1, rows * columns + 1).view(1, rows, columns, 1), self.config.window
        )
        return partition(roll(numbers_BHWC, (-down, -right)), self.config.window).flatten(1) - 1

    def _stage_and_block(self, stage: int, block: int) -> tuple[int, int]:
        (stage,) = stage_numbers([stage], len(self.stages))
        blocks = self.config.depths[stage]
        if not -blocks <= block < blocks:
            raise ValueError(f"there is no block {block}: stage {stage} has {blocks}, numbered from 0")
        return stage, block % blocks


def initialise(module: nn.Module) -> None:
    """The initialisation of the paper's code: linear weights normal with standard deviation 0.02, truncated at +-2,
    biases zero; the patch convolution keeps torch's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _row(
    size: str,
    config: SwinConfig,
    *,
    parameters: int,
    macs: int,
    top1: float,
    note: str = "ImageNet-1k only",
    reference: str = "torchvision",
) -> Variant:
    """A variant of the paper's table."""
    aliases = (f"swin_{size}_patch4_window{config.window}_{config.image_size}",)
    return Variant(
        build=Swin,
        config=config,
        small={"image_size": 32, "width": 16, "depths": (2, 1), "heads": (2, 4), "window": 3},
        card=Card(
            title=f"Swin-{size[0].upper()}" + ("" if config.image_size == 224 else f" at {config.image_size} pixels"),
            summary="A pyramid of attention within windows, shifted in every second block.",
            paper="Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
            authors="Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo",
            year=2021,
            arxiv="2103.14030",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, config.image_size, config.image_size),
            parameters=parameters,
            macs=macs,
            reported=(
                Reported(
                    dataset="ImageNet",
                    metric="top-1 accuracy %",
                    value=top1,
                    source="microsoft/Swin-Transformer",
                    note=f"{note}, {config.image_size} pixels",
                ),
            ),
            reference=reference,
            differences=("maps that the window does not divide are zero-padded (the paper's code rejects them)",),
            recipe="swin",
            aliases=(*aliases, f"swin_{size[0]}") if reference == "torchvision" else aliases,
        ),
    )


_DEPTHS = (2, 2, 18, 2)
_BASE_HEADS = (4, 8, 16, 32)

VARIANTS = {
    "swin-tiny": _row("tiny", SwinConfig(stochastic_depth=0.2), parameters=28_288_354, macs=4_490_566_656, top1=81.2),
    "swin-small": _row(
        "small",
        SwinConfig(depths=_DEPTHS, stochastic_depth=0.3),
        parameters=49_606_258,
        macs=8_740_875_264,
        top1=83.2,
    ),
    "swin-base": _row(
        "base",
        SwinConfig(width=128, depths=_DEPTHS, heads=_BASE_HEADS, stochastic_depth=0.5),
        parameters=87_768_224,
        macs=15_430_946_816,
        top1=83.5,
    ),
    "swin-base-384": _row(
        "base",
        SwinConfig(image_size=384, width=128, depths=_DEPTHS, heads=_BASE_HEADS, window=12, stochastic_depth=0.5),
        parameters=87_903_584,
        macs=47_083_134_976,
        top1=84.5,
        reference="timm",
    ),
    "swin-large": _row(
        "large",
        SwinConfig(width=192, depths=_DEPTHS, heads=(6, 12, 24, 48), stochastic_depth=0.2),
        parameters=196_532_476,
        macs=34_475_759_616,
        top1=86.3,
        note="pre-trained on ImageNet-22k",
        reference="timm",
    ),
}
