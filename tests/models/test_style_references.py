"""The nets of StyleGAN, StyleGAN2 and ProGAN, written plainly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from style_nets import CLOSE, net, normal
from torch import Tensor

from lamina.layers.styles.equalised import blur, fir, pixel_norm, with_deviation


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def test_the_generator_of_stylegan_written_plainly() -> None:
    generator = net("stylegan").generator
    z = normal(3, 5)
    w = z / ((z**2).mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in generator.mapping.layers:
        w = lrelu(w @ (layer.weight * 0.01 * math.sqrt(2) / math.sqrt(layer.weight.shape[1])).T + layer.bias * 0.01)

    def conv(layer: Any, x: Tensor, gain: float = math.sqrt(2)) -> Tensor:
        weight = layer.weight * gain / math.sqrt(layer.weight[0].numel())
        return F.conv2d(x, weight, layer.bias, padding=layer.weight.shape[-1] // 2)

    def epilogue(part: Any, x: Tensor, n: int) -> Tensor:
        noise = getattr(generator, f"noise_{n}")
        x = lrelu(x + part.noise_weight[:, None, None] * noise + part.bias[:, None, None])
        style = w @ (part.style.weight / 2).T + part.style.bias
        return (
            F.instance_norm(x, eps=1e-8) * (style[:, : x.shape[1], None, None] + 1) + style[:, x.shape[1] :, None, None]
        )

    x = epilogue(generator.epilogue1, generator.constant[None].repeat(3, 1, 1, 1), 0)
    x = epilogue(generator.epilogue2, conv(generator.conv, x), 1)
    for i, block in enumerate(generator.blocks, 1):
        x = blur(conv(block.conv1, x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
        x = epilogue(block.epilogue1, x, 2 * i)
        x = epilogue(block.epilogue2, conv(block.conv2, x), 2 * i + 1)
    torch.testing.assert_close(generator(z), conv(generator.to_rgb[2], x, 1.0), **CLOSE)


def filtered(x: Tensor, pad: tuple[int, int], gain: float = 1.0) -> Tensor:
    """The filter [1, 3, 3, 1] as a plain convolution of each channel, padded by zeros before and after."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = torch.outer(taps, taps) * gain / 64
    whole = F.pad(x, (*pad, *pad))
    return F.conv2d(whole, kernel[None, None].repeat(x.shape[1], 1, 1, 1), groups=x.shape[1])


def test_the_generator_of_stylegan2_written_plainly() -> None:
    """A kernel for each sample, the picture added up over the sizes."""
    generator = net("stylegan2").generator
    z = normal(3, 5)
    w = z / ((z**2).mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in generator.mapping.layers:
        w = w @ (layer.weight * 0.01 / math.sqrt(layer.weight.shape[1])).T + layer.bias * 0.01
        w = lrelu(w) * math.sqrt(2)

    def conv(layer: Any, x: Tensor, up: bool = False, demodulate: bool = True) -> Tensor:
        style = w @ (layer.style.weight / 2).T + layer.style.bias
        out = []
        for b in range(3):
            kernel = layer.weight / math.sqrt(layer.weight[0].numel()) * style[b][None, :, None, None]
            if demodulate:
                kernel = kernel / ((kernel**2).sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
            one = x[b : b + 1]
            if up:  # zeros between the pixels, then the convolution turned round: the transposed one
                spread = torch.zeros(1, x.shape[1], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1, dtype=x.dtype)
                spread[:, :, ::2, ::2] = one
                out.append(F.conv2d(F.pad(spread, (2, 2, 2, 2)), kernel.flip(2, 3)))
            else:
                out.append(F.conv2d(one, kernel, padding=kernel.shape[-1] // 2))
        found = torch.cat(out)
        return filtered(found, (1, 1), 4) if up else found

    def layer_of(n: int, x: Tensor, up: bool = False) -> Tensor:
        layer = generator.layers[n]
        x = conv(layer.conv, x, up) + layer.strength * getattr(generator, f"noise_{n}")
        return lrelu(x + layer.bias[:, None, None]) * math.sqrt(2)

    def to_rgb(i: int, x: Tensor) -> Tensor:
        layer = generator.to_rgb[i]
        return conv(layer.conv, x, demodulate=False) + layer.bias[:, None, None]

    x = layer_of(0, generator.constant[None].repeat(3, 1, 1, 1))
    picture = to_rgb(0, x)
    for i in (1, 2):
        x = layer_of(2 * i, layer_of(2 * i - 1, x, up=True))
        spread = torch.zeros(3, 3, 2 * picture.shape[2], 2 * picture.shape[3], dtype=x.dtype)
        spread[:, :, ::2, ::2] = picture
        picture = filtered(spread, (2, 1), 4) + to_rgb(i, x)
    torch.testing.assert_close(generator(z), picture, **CLOSE)


def test_the_discriminator_of_stylegan2_written_plainly() -> None:
    discriminator = net("stylegan2").discriminator
    x = normal(4, 3, 16, 16)

    def conv(layer: Any, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight = layer.weight / math.sqrt(layer.weight[0].numel())
        return F.conv2d(x, weight, layer.bias, stride, padding)

    def unit(x: Tensor) -> Tensor:
        return lrelu(x) * math.sqrt(2)

    y = unit(conv(discriminator.from_rgb, x))
    for block in discriminator.blocks:
        main = unit(conv(block.conv1, y, padding=1))
        main = unit(conv(block.conv2, filtered(main, (2, 2)), stride=2))
        y = (main + conv(block.skip, filtered(y, (1, 1)), stride=2)) / math.sqrt(2)
    variance = ((y - y.mean(0)) ** 2).mean(0)
    extra = (variance + 1e-8).sqrt().mean().expand(4, 1, 4, 4)
    y = unit(conv(discriminator.conv, torch.cat([y, extra], 1), padding=1)).flatten(1)
    y = unit(y @ (discriminator.dense.weight / math.sqrt(96)).T + discriminator.dense.bias)
    y = y @ (discriminator.output.weight / math.sqrt(6)).T + discriminator.output.bias
    torch.testing.assert_close(discriminator(x), y, **CLOSE)


@pytest.mark.parametrize(
    ("up", "down", "pad"), [(1, 1, (1, 1)), (2, 1, (2, 1)), (1, 2, (2, 2)), (3, 2, (3, 0)), (1, 2, (1, 1))]
)
def test_a_filter_is_differentiated_twice_as_its_convolution(up: int, down: int, pad: tuple[int, int]) -> None:
    """Sides that a step of ``down`` does not divide, taps that are not symmetric."""
    taps = (1.0, 3.0, 2.0, 0.5)
    x = normal(2, 3, 7, 6).requires_grad_()

    def slopes(out: Tensor) -> tuple[Tensor, Tensor]:
        (first,) = torch.autograd.grad((out.tanh() * normal(*out.shape, seed=5)).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad((first**3).sum(), x)
        return first.detach(), second

    spread = torch.zeros(2, 3, 7, up, 6, up, dtype=torch.float64)
    spread[:, :, :, 0, :, 0] = 1
    whole = x[:, :, :, None, :, None] * spread
    kernel = torch.tensor(taps, dtype=torch.float64).flip(0) / sum(taps)
    plain = F.conv2d(
        F.pad(whole.reshape(2, 3, 7 * up, 6 * up), (*pad, *pad)),
        torch.outer(kernel, kernel)[None, None].repeat(3, 1, 1, 1), stride=down, groups=3,
    )  # fmt: skip
    for found, wanted in zip(slopes(fir(x, taps, up=up, down=down, pad=pad)), slopes(plain), strict=True):
        torch.testing.assert_close(found, wanted, **CLOSE)


@pytest.mark.parametrize("name", ["stylegan", "progan"])
def test_the_growing_discriminator_written_plainly(name: str) -> None:
    discriminator = net(name).discriminator
    x = normal(4, 3, 16, 16)

    def conv(layer: Any, x: Tensor, bias: Any = None) -> Tensor:
        weight = layer.weight * math.sqrt(2) / math.sqrt(layer.weight[0].numel())
        return F.conv2d(x, weight, layer.bias if bias is None else None, padding=layer.weight.shape[-1] // 2)

    y = lrelu(conv(discriminator.from_rgb[2], x))
    for block in (discriminator.blocks[1], discriminator.blocks[0]):
        y = lrelu(conv(block.conv1, y))
        y = F.avg_pool2d(conv(block.conv2, blur(y) if name == "stylegan" else y, 0), 2)
        y = lrelu(y + block.bias[:, None, None])
    y = lrelu(conv(discriminator.conv, with_deviation(y)))
    dense, output = discriminator.dense, discriminator.output
    y = lrelu(y.flatten(1) @ (dense.weight * math.sqrt(2) / math.sqrt(96)).T + dense.bias)
    y = y @ (output.weight / math.sqrt(6)).T + output.bias
    torch.testing.assert_close(discriminator(x), y, **CLOSE)


def test_the_generator_of_progan_written_plainly() -> None:
    generator = net("progan").generator
    z = normal(3, 5)

    def conv(layer: Any, x: Tensor, gain: float = math.sqrt(2)) -> Tensor:
        weight = layer.weight * gain / math.sqrt(layer.weight[0].numel())
        return F.conv2d(x, weight, layer.bias, padding=layer.weight.shape[-1] // 2)

    dense = generator.dense
    x = pixel_norm(z) @ (dense.weight * math.sqrt(2) / 4 / math.sqrt(5)).T + dense.bias
    x = pixel_norm(lrelu(x.reshape(3, 6, 4, 4)))
    x = pixel_norm(lrelu(conv(generator.conv, x)))
    for block in generator.blocks:
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = pixel_norm(lrelu(conv(block.conv2, pixel_norm(lrelu(conv(block.conv1, x))))))
    torch.testing.assert_close(generator(z), conv(generator.to_rgb[2], x, 1.0), **CLOSE)
