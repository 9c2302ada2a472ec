"""MobileNet V3.

Paper: Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam, "Searching for MobileNetV3", ICCV
2019, arXiv 1905.02244.
What was new: blocks found by platform-aware architecture search and trimmed layer by layer; the activation h-swish,
x relu6(x + 3) / 6, in the deeper half; squeeze-and-excitation with a hard sigmoid inside the inverted residual; a last
stage that computes its 1280 (small: 1024) channels after the pooling.

Differences from the paper: initialisation as in torchvision (the paper states none). Squeezed widths are rounded to
multiples of 8, as in the released code. timm's weights for alpha below 1 have other widths (it scales the expansion
ratio instead of the expanded width), and its ``tf_`` weights need TensorFlow's one-sided padding: neither fits.
timm trains and runs with batch norm's eps 1e-5: its weights need ``eps=1e-5``.

A stage of ``features`` holds all blocks at one resolution; the last 1x1 convolutions belong to the neck.

Legend: B batch, C channels, H height, W width, K classes.

Forward (``ImageClassifier.forward``):

    x_BCHW = stem(x_BCHW)                # 3x3/2 convolution, BN, h-swish
    for stage in stages:                 # each at one resolution
        for block in stage:              # branch: 1x1 expansion, depthwise, squeeze-and-excitation, 1x1 projection
            x_BCHW = x_BCHW + block.branch(x_BCHW)    # without the sum where the shape changes
    e_BD = neck(x_BCHW)                  # 1x1 convolution, BN, h-swish, mean over positions, linear, h-swish
    return head(dropout(e_BD))           # linear: logits (B, K)

Reading order: models/mobilenet_v3.py, layers/image_classifier.py, layers/inverted_residual.py, layers/convolution.py,
layers/squeeze_excitation.py; helpers: layers/activations.py, layers/heads.py, layers/shapes.py.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from lamina.cards import Card, Reported, Variant
from lamina.layers.activations import activation
from lamina.layers.convolution import Padding, conv_norm, make_divisible
from lamina.layers.image_classifier import ImageClassifier, check_min_size, check_options, global_average_pool
from lamina.layers.inverted_residual import InvertedResidual, group_by_resolution, initialise, small_image_strides

Row = tuple[int, int, int, bool, Literal["relu", "hard-swish"], int]
"""A block: kernel, expanded channels, output channels, squeeze-and-excitation, activation, stride."""

LARGE: tuple[Row, ...] = (  # table 1
    (3, 16, 16, False, "relu", 1),
    (3, 64, 24, False, "relu", 2),
    (3, 72, 24, False, "relu", 1),
    (5, 72, 40, True, "relu", 2),
    (5, 120, 40, True, "relu", 1),
    (5, 120, 40, True, "relu", 1),
    (3, 240, 80, False, "hard-swish", 2),
    (3, 200, 80, False, "hard-swish", 1),
    (3, 184, 80, False, "hard-swish", 1),
    (3, 184, 80, False, "hard-swish", 1),
    (3, 480, 112, True, "hard-swish", 1),
    (3, 672, 112, True, "hard-swish", 1),
    (5, 672, 160, True, "hard-swish", 2),
    (5, 960, 160, True, "hard-swish", 1),
    (5, 960, 160, True, "hard-swish", 1),
)
SMALL: tuple[Row, ...] = (  # table 2
    (3, 16, 16, True, "relu", 2),
    (3, 72, 24, False, "relu", 2),
    (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hard-swish", 2),
    (5, 240, 40, True, "hard-swish", 1),
    (5, 240, 40, True, "hard-swish", 1),
    (5, 120, 48, True, "hard-swish", 1),
    (5, 144, 48, True, "hard-swish", 1),
    (5, 288, 96, True, "hard-swish", 2),
    (5, 576, 96, True, "hard-swish", 1),
    (5, 576, 96, True, "hard-swish", 1),
)


@dataclass(frozen=True, kw_only=True)
class MobileNetV3Config:
    """Options of MobileNet V3."""

    num_classes: int = 1000
    """outputs: classes, or values to predict"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 224
    """height and width that images are resized to; forward accepts any size"""
    alpha: float = 1.0
    """factor of all widths"""
    stem_width: int = 16
    """channels of the first convolution, before alpha"""
    blocks: tuple[Row, ...] = LARGE
    """one row per block: kernel, expanded channels and output channels before alpha, whether it has
    squeeze-and-excitation, relu or hard-swish, stride 1 or 2"""
    head_width: int = 1280
    """channels of the linear layer before the output layer, before alpha"""
    stem: Literal["imagenet", "small"] = "imagenet"
    """small: for images of about 32 pixels; the first convolution and the first block of stride 2 have stride 1, so
    that the network halves the maps three times instead of five"""
    dropout: float = 0.2
    """dropout rate of the features before the output layer"""
    eps: float = 1e-3
    """epsilon of batch normalisation, added to the variances"""
    momentum: float = 0.01
    """weight of the newest batch in the running statistics of batch normalisation"""
    padding: Padding = "symmetric"
    """tensorflow: padding "SAME", more below and on the right, of weights trained there (timm's tf_ models)"""

    def __post_init__(self) -> None:
        check_options(self)
        check_min_size("mobilenet-v3", self.image_size, 1)
        if self.alpha <= 0.0 or min(self.stem_width, self.head_width) < 1:
            raise ValueError("alpha must be above 0, stem_width and head_width at least 1")
        if not self.blocks:
            raise ValueError("blocks must name at least one block")
        for row in self.blocks:
            kernel, expanded, out, _, _, stride = row
            if kernel < 1 or kernel % 2 == 0 or min(expanded, out) < 1 or stride not in (1, 2):
                raise ValueError(f"a block has an odd kernel, channels of at least 1 and stride 1 or 2, got {row}")


class MobileNetV3(ImageClassifier):
    """A convolution, inverted residuals in stages, two 1x1 convolutions: images (B, C, H, W) -> logits (B, K).

    >>> model = lamina.create_model("mobilenet-v3-large", num_classes=10)
    >>> model(torch.zeros(2, 3, 224, 224)).shape
    torch.Size([2, 10])
    """

    def __init__(self, config: MobileNetV3Config) -> None:
        super().__init__()
        self.config = config
        small = config.stem == "small"
        unit = partial(conv_norm, act="hard-swish", eps=config.eps, momentum=config.momentum, padding=config.padding)
        width = make_divisible(config.alpha * config.stem_width)
        self.stem = unit(config.in_channels, width, 3, stride=1 if small else 2)
        table = [row[-1] for row in config.blocks]
        rows: list[list[nn.Module]] = []
        for (kernel, wide, narrow, squeeze, act, _), stride in zip(
            config.blocks, small_image_strides(table) if small else table, strict=True
        ):
            expanded, out = make_divisible(config.alpha * wide), make_divisible(config.alpha * narrow)
            block = InvertedResidual(
                width,
                expanded,
                out,
                kernel,
                stride=stride,
                act=act,
                squeezed=make_divisible(expanded // 4) if squeeze else 0,
                gate="hard-sigmoid",
                eps=config.eps,
                padding=config.padding,
                momentum=config.momentum,
            )
            rows.append([block])
            width = out
        self.stages = group_by_resolution(rows, table)
        wide, self.embedding = 6 * width, make_divisible(config.alpha * config.head_width)
        self.neck = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv=unit(width, wide, 1),
                pool=global_average_pool(),
                linear=nn.Linear(wide, self.embedding),
                act=activation("hard-swish"),
            )
        )
        self.dropout = nn.Dropout(config.dropout)
        self.reset_head(config.num_classes)
        initialise(self)

    def initialise_head(self, head: nn.Module) -> None:
        initialise(head)


def _variant(
    size: Literal["large", "small"], blocks: tuple[Row, ...], head_width: int, parameters: int, macs: int, top1: float
) -> Variant:
    """A variant; ``top1`` is the paper's accuracy in %."""
    few = tuple(blocks[index] for index in ((0, 1, 2, 3, 12) if size == "large" else (0, 1, 2, 8)))
    reduced = tuple((kernel, wide // 4, narrow // 4, *rest) for kernel, wide, narrow, *rest in few)
    return Variant(
        build=MobileNetV3,
        config=MobileNetV3Config(blocks=blocks, head_width=head_width),
        card=Card(
            title=f"MobileNet V3 {size}",
            summary=f"Searched inverted residuals with squeeze-and-excitation and h-swish: the {size} network.",
            paper="Searching for MobileNetV3",
            authors="Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam",
            year=2019,
            arxiv="1905.02244",
            inputs=("image",),
            tasks=("classification", "multilabel", "regression"),
            input=(3, 224, 224),
            parameters=parameters,
            macs=macs,
            reported=(Reported(dataset="ImageNet-1k", metric="top-1 accuracy %", value=top1, source="the paper"),),
            reference=f"torchvision.models.mobilenet_v3_{size}",
            differences=("torchvision's initialisation (the paper states none)",),
            recipe="mobilenet-v3",
            aliases=(f"mobilenetv3_{size}_100",),
        ),
        small={"image_size": 64, "blocks": reduced, "head_width": 64},
    )


VARIANTS = {
    "mobilenet-v3-large": _variant("large", LARGE, 1280, 5_483_032, 216_589_760, 75.2),
    "mobilenet-v3-small": _variant("small", SMALL, 1024, 2_542_856, 56_510_400, 67.4),
}
