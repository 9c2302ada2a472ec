"""Style transfer written plainly: pytorch/examples' TransformerNet, Gatys' losses with loops; and pictures."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvLayer(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, kernel: int, stride: int, upsample: int = 0) -> None:
        super().__init__()
        self.upsample = upsample
        self.pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(fan_in, fan_out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.upsample:
            x = F.interpolate(x, mode="nearest", scale_factor=self.upsample)
        out: Tensor = self.conv2d(self.pad(x))
        return out


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.in1 = ConvLayer(channels, channels, 3, 1), nn.InstanceNorm2d(channels, affine=True)
        self.conv2, self.in2 = ConvLayer(channels, channels, 3, 1), nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.in2(self.conv2(torch.relu(self.in1(self.conv1(x)))))
        return out + x


class TransformerNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.in1 = ConvLayer(3, 32, 9, 1), nn.InstanceNorm2d(32, affine=True)
        self.conv2, self.in2 = ConvLayer(32, 64, 3, 2), nn.InstanceNorm2d(64, affine=True)
        self.conv3, self.in3 = ConvLayer(64, 128, 3, 2), nn.InstanceNorm2d(128, affine=True)
        for number in range(1, 6):
            setattr(self, f"res{number}", ResidualBlock(128))
        self.deconv1, self.in4 = ConvLayer(128, 64, 3, 1, 2), nn.InstanceNorm2d(64, affine=True)
        self.deconv2, self.in5 = ConvLayer(64, 32, 3, 1, 2), nn.InstanceNorm2d(32, affine=True)
        self.deconv3 = ConvLayer(32, 3, 9, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.in1(self.conv1(x)))
        y = torch.relu(self.in2(self.conv2(y)))
        y = torch.relu(self.in3(self.conv3(y)))
        for number in range(1, 6):
            y = getattr(self, f"res{number}")(y)
        y = torch.relu(self.in4(self.deconv1(y)))
        y = torch.relu(self.in5(self.deconv2(y)))
        out: Tensor = self.deconv3(y)
        return out


def gatys_layer(maps_CHW: Tensor, style_CHW: Tensor) -> float:
    """E_l of Gatys et al. 2016, with the paper's sums: maps of one size."""
    n, m = maps_CHW.shape[0], maps_CHW[0].numel()
    total = 0.0
    for i in range(n):
        for j in range(n):
            g = sum(float(a * b) for a, b in zip(maps_CHW[i].flatten(), maps_CHW[j].flatten(), strict=True))
            a = sum(float(a * b) for a, b in zip(style_CHW[i].flatten(), style_CHW[j].flatten(), strict=True))
            total += (g - a) ** 2
    return total / (4 * n**2 * m**2)


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth waves of colour, another one for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 64
    waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.uniform(-2, 2, (3, 3))]
    return (127.5 + 120 * np.stack(waves, 2)).astype(np.uint8)
