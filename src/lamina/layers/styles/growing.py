"""Nets that grow by doublings from 4 x 4 pixels (Karras et al. 2018), and the discriminator that ProGAN and StyleGAN
share.

``stage`` is the number of doublings, ``fade`` the weight of the newest: both are buffers, so that a state dict holds
them; ``grow`` sets them. Parameters of later stages rest.

Legend: B batch, C channels, S side of the picture.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lamina.layers.shapes import expect_image
from lamina.layers.styles.equalised import EqualConv, EqualLinear, blur, halved, leaky, with_deviation

FIRST = 4
"""side of the smallest maps"""


def widths(image_size: int, base: int, widest: int) -> tuple[int, ...]:
    """Channels of the maps of 4, 8, ... pixels: ``widths(16, 8192, 512)`` is (512, 512, 512).

    Raises ValueError for a size that is no power of two of 4 or more.
    """
    if image_size < FIRST or image_size & (image_size - 1):
        raise ValueError(f"image_size must be a power of two of at least {FIRST}, got {image_size}")
    sides = (FIRST << stage for stage in range(int(math.log2(image_size // FIRST)) + 1))
    return tuple(max(1, min(widest, 2 * base // side)) for side in sides)


class Growing(nn.Module):
    """A net of several stages; a new one is at the last."""

    stage: Tensor
    fade: Tensor
    unaveraged = ("fade",)
    """buffers that an average of the weights must not average"""

    def __init__(self, stages: int, fade: float = 1.0) -> None:
        super().__init__()
        self.stages = stages
        self.register_buffer("stage", torch.tensor(stages - 1))
        self.register_buffer("fade", torch.tensor(float(fade)))
        self.at, self.faded = stages - 1, float(fade)
        self.register_load_state_dict_post_hook(_follow)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    @property
    def side(self) -> int:
        """Side of the pictures at the present stage."""
        return FIRST << self.at

    def grow(self, stage: int, fade: float = 1.0) -> None:
        """Go to a stage, from 0, whose newest layers have the weight ``fade``. Raises ValueError for one that the net
        does not have."""
        if not 0 <= stage < self.stages:
            raise ValueError(f"stage {stage}: the net has {self.stages}, from 0 to {self.stages - 1}")
        if not 0 <= fade <= 1:
            raise ValueError(f"fade must lie in [0, 1], got {fade}")
        self.stage.fill_(stage)
        self.fade.fill_(fade)
        self.at, self.faded = stage, fade

    @property
    def fades(self) -> bool:
        """Whether the stage before has a part in the output."""
        return self.at > 0 and self.faded < 1

    def between(self, old: Tensor, new: Tensor) -> Tensor:
        """(1 - fade) old + fade new: at 0 and 1 one of them to the bit."""
        return torch.lerp(old.to(new.dtype), new, self.fade.to(new.dtype))


def _follow(module: nn.Module, _: object) -> None:
    """The plain numbers, which steer the forward pass, after the buffers were loaded."""
    assert isinstance(module, Growing)
    module.at, module.faded = int(module.stage), float(module.fade)


class Block(nn.Module):
    """(B, C, S, S) -> (B, C', S/2, S/2): 3x3, then [blur] 3x3 and means over 2 x 2, each leaky."""

    def __init__(self, fan_in: int, fan_out: int, blurs: bool) -> None:
        super().__init__()
        self.conv1 = EqualConv(fan_in, fan_in, 3, gain=math.sqrt(2))
        self.conv2 = EqualConv(fan_in, fan_out, 3, gain=math.sqrt(2), bias=False)
        self.bias = nn.Parameter(torch.zeros(fan_out))  # after the means, as in the released code
        self.blurs = blurs

    def forward(self, x_BCSS: Tensor) -> Tensor:
        x_BCSS = leaky(self.conv1(x_BCSS))
        x_BCSS = halved(self.conv2(blur(x_BCSS) if self.blurs else x_BCSS))
        return leaky(x_BCSS + self.bias[:, None, None])


class GrowingDiscriminator(Growing):
    """Pictures (B, C, S, S) of the present side -> logits (B, 1), large for real ones.

    At fade f the newest block counts f, the picture of half the side into the block after it 1 - f.
    """

    def __init__(
        self, channels: int, D: tuple[int, ...], *, blurs: bool, group: int = 4, classes: int = 0, fade: float = 1.0
    ) -> None:
        super().__init__(len(D), fade)
        self.channels, self.group, self.classes = channels, group, classes
        self.from_rgb = nn.ModuleList(EqualConv(channels, width, 1, gain=math.sqrt(2)) for width in D)
        self.blocks = nn.ModuleList(Block(D[stage], D[stage - 1], blurs) for stage in range(1, len(D)))
        self.conv = EqualConv(D[0] + 1, D[0], 3, gain=math.sqrt(2))
        self.dense = EqualLinear(D[0] * FIRST**2, D[0], gain=math.sqrt(2))
        self.output = EqualLinear(D[0], max(classes, 1))

    def forward(self, x_BCSS: Tensor, label_B: Tensor | None = None) -> Tensor:
        """Raises ValueError for pictures of another size, and for a missing label."""
        expect_image(x_BCSS, self.channels, (self.side, self.side))
        y = leaky(self.from_rgb[self.at](x_BCSS))
        for stage in range(self.at, 0, -1):
            y = self.blocks[stage - 1](y)
            if stage == self.at and self.fades:
                y = self.between(leaky(self.from_rgb[stage - 1](halved(x_BCSS))), y)
        y = leaky(self.conv(with_deviation(y, self.group)))
        logit_BK: Tensor = self.output(leaky(self.dense(y.flatten(1))))
        return of_label(logit_BK, label_B, self.classes)


def of_label(logit_BK: Tensor, label_B: Tensor | None, classes: int) -> Tensor:
    """The logit (B, 1) of each sample's class. Raises ValueError where there are classes and no label."""
    if not classes:
        return logit_BK
    if label_B is None:
        raise ValueError(f"the model is conditional: it needs a label, 0 to {classes - 1}, for each sample")
    return logit_BK.gather(1, label_B[:, None])
