"""Inception v3 as FID uses it: a picture to the 2,048 features before the output layer.

Paper: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture for computer vision", CVPR 2016,
arXiv 1512.00567. Two functions of the same names of weights: torchvision's net, and that of the original FID
(TensorFlow's of 2015-12-05, 1,008 outputs, as converted by pytorch-fid), whose average pools leave the padding out and
whose last block pools by the maximum. Figures of the two are not comparable; a file is read as what it was made for.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 2048
SIDE = 299
ORIGINAL_OUTPUTS, TORCHVISION_OUTPUTS = 1008, 1000
"""outputs of the net of the original FID, and of torchvision's"""

Pool = Callable[[Tensor], Tensor]


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, fan_in: int, C: int, kernel: int | tuple[int, int], stride: int = 1, padding: bool = True):
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        around = (sides[0] // 2, sides[1] // 2) if padding else 0
        self.conv = nn.Conv2d(fan_in, C, sides, stride, around, bias=False)
        self.bn = nn.BatchNorm2d(C, eps=0.001)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x_BCHW)))


def average_pool(x_BCHW: Tensor) -> Tensor:
    return F.avg_pool2d(x_BCHW, 3, 1, 1)


def average_pool_without_padding(x_BCHW: Tensor) -> Tensor:
    return F.avg_pool2d(x_BCHW, 3, 1, 1, count_include_pad=False)


def largest_pool(x_BCHW: Tensor) -> Tensor:
    return F.max_pool2d(x_BCHW, 3, 1, 1)


class Mixed35(nn.Module):
    """35 x 35: 1x1, 5x5, two 3x3, pooled."""

    def __init__(self, fan_in: int, pooled: int, pool: Pool) -> None:
        super().__init__()
        self.branch1x1 = Convolution(fan_in, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Convolution(fan_in, 48, 1), Convolution(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(fan_in, 64, 1), Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3)
        self.branch_pool, self.pool = Convolution(fan_in, pooled, 1), pool

    def forward(self, x: Tensor) -> Tensor:
        deep = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five, pooled = self.branch5x5_2(self.branch5x5_1(x)), self.branch_pool(self.pool(x))
        return torch.cat([self.branch1x1(x), five, deep, pooled], 1)


class Reduction17(nn.Module):
    """35 x 35 to 17 x 17."""

    def __init__(self, fan_in: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(fan_in, 384, 3, 2, padding=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(fan_in, 64, 1), Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, 2, padding=False)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), deep, F.max_pool2d(x, 3, 2)], 1)


class Mixed17(nn.Module):
    """17 x 17: 1x1, a 7x7 as 1x7 and 7x1, two of these, pooled."""

    def __init__(self, C: int, pool: Pool) -> None:
        super().__init__()
        self.branch1x1 = Convolution(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Convolution(768, C, 1), Convolution(C, C, (1, 7))
        self.branch7x7_3 = Convolution(C, 192, (7, 1))
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Convolution(768, C, 1), Convolution(C, C, (7, 1))
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Convolution(C, C, (1, 7)), Convolution(C, C, (7, 1))
        self.branch7x7dbl_5 = Convolution(C, 192, (1, 7))
        self.branch_pool, self.pool = Convolution(768, 192, 1), pool

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        deep = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        deep = self.branch7x7dbl_5(self.branch7x7dbl_4(deep))
        return torch.cat([self.branch1x1(x), seven, deep, self.branch_pool(self.pool(x))], 1)


class Reduction8(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Convolution(768, 192, 1), Convolution(192, 320, 3, 2, padding=False)
        self.branch7x7x3_1, self.branch7x7x3_2 = Convolution(768, 192, 1), Convolution(192, 192, (1, 7))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1))
        self.branch7x7x3_4 = Convolution(192, 192, 3, 2, padding=False)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class Mixed8(nn.Module):
    """8 x 8: 1x1, 3x3 as 1x3 beside 3x1, the same after a 3x3, pooled."""

    def __init__(self, fan_in: int, pool: Pool) -> None:
        super().__init__()
        self.branch1x1 = Convolution(fan_in, 320, 1)
        self.branch3x3_1 = Convolution(fan_in, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = Convolution(384, 384, (1, 3)), Convolution(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(fan_in, 448, 1), Convolution(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = Convolution(384, 384, (1, 3)), Convolution(384, 384, (3, 1))
        self.branch_pool, self.pool = Convolution(fan_in, 192, 1), pool

    def forward(self, x: Tensor) -> Tensor:
        three, deep = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(deep), self.branch3x3dbl_3b(deep), self.branch_pool(self.pool(x))]
        return torch.cat(parts, 1)


class Inception(nn.Module):
    """Pictures (B, 3, 299, 299) in [-1, 1] -> features (B, 2048), of the original FID or of torchvision.

    >>> Inception(original=True)(torch.zeros(2, 3, 299, 299)).shape
    torch.Size([2, 2048])
    """

    def __init__(self, original: bool) -> None:
        super().__init__()
        pool, last = average_pool, average_pool
        if original:
            pool, last = average_pool_without_padding, largest_pool
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2, padding=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, padding=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, padding=False)
        self.Mixed_5b, self.Mixed_5c = Mixed35(192, 32, pool), Mixed35(256, 64, pool)
        self.Mixed_5d, self.Mixed_6a = Mixed35(288, 64, pool), Reduction17(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (Mixed17(C, pool) for C in (128, 160, 160, 192))
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = Reduction8(), Mixed8(1280, pool), Mixed8(2048, last)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x_BCHW)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        features_BC: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
        return features_BC


def resized(picture_BCHW: Tensor) -> Tensor:
    """Pictures with values from 0 to 255, (B, 1 or 3, H, W), as (B, 3, 299, 299) in [-1, 1]: antialiased bicubic in
    floating point, cut to the range, as clean-fid resizes."""
    x = picture_BCHW.float().expand(-1, 3, -1, -1)
    x = F.interpolate(x, size=(SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 255) / 127.5 - 1
