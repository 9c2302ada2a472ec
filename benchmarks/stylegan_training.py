"""How fast is a StyleGAN trained at 32 pixels?

``stylegan-32`` in colour at its full size, batches of 16, non-saturating with R1 at every step, mixed styles, the mean
of w followed, Adam at 0.001 with betas 0 and 0.99; one thread. ``plain``: the same operations written with torch alone,
as repositories of this net have them (instance normalisation and convolutions of torch, the blur as a convolution of
each channel, the discriminator frozen in the generator's step), on pictures that lie in memory. ``lamina``: the events
of ``lamina.prepare`` with the same settings; ``as it comes``: with the average of the generator, too.
Milliseconds of CPU time a step, median over rounds; speed: median over rounds of the ratio within a round.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from lamina.training.events import StepDone

SIDE, BATCH, LR, R1, MIXING = 32, 16, 0.001, 10.0, 0.9
LATENT, WIDTHS = 64, (64, 64, 64, 32)
STEPS, ROUNDS = 24, 5
IMAGES = BATCH * (STEPS + 1)
"""an epoch: its first step is not timed"""


def lamina_loop(folder: Path, ema: float) -> float:
    given: dict[str, Any] = {
        "data": str(folder), "validation": 0.0, "test": 0.0, "epochs": 1, "batch_size": BATCH, "lr": LR, "ema": ema,
        "objective": {"r1": R1, "start": 0, "batch_sizes": [], "rates": []}, "accelerator": "cpu",
    }  # fmt: skip
    runs = tempfile.mkdtemp()
    start = end = 0.0
    for event in lamina.prepare("stylegan-32", given, directory=runs).events():
        if isinstance(event, StepDone) and event.step == 1:
            start = time.process_time()
        if isinstance(event, StepDone) and event.step == STEPS + 1:
            end = time.process_time()
    shutil.rmtree(runs)
    return (end - start) / STEPS


class Linear(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, gain: float = 1.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in) / rate)
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.scale, self.rate = gain * rate / math.sqrt(fan_in), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Conv(nn.Module):
    def __init__(self, fan_in: int, fan_out: int, k: int, gain: float = 2**0.5, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in, k, k))
        self.bias = nn.Parameter(torch.zeros(fan_out)) if bias else None
        self.scale, self.padding = gain / math.sqrt(fan_in * k * k), k // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


def blurred(x: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


class Epilogue(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.noise = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.style = Linear(LATENT, 2 * width)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = x + self.noise * torch.randn(len(x), 1, x.shape[2], x.shape[3])
        x = F.instance_norm(F.leaky_relu(x + self.bias, 0.2), eps=1e-8)
        scale, shift = self.style(w)[:, :, None, None].chunk(2, 1)
        return x * (scale + 1) + shift


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.ModuleList(Linear(LATENT, LATENT, 2**0.5, 0.01) for _ in range(4))
        self.constant = nn.Parameter(torch.ones(1, WIDTHS[0], 4, 4))
        widths = [(WIDTHS[0], WIDTHS[0])] + [pair for a, b in itertools.pairwise(WIDTHS) for pair in ((a, b), (b, b))]
        self.convs = nn.ModuleList(Conv(a, b, 3, bias=False) for a, b in widths)
        self.epilogues = nn.ModuleList(Epilogue(b) for _, b in [widths[0], *widths])
        self.to_rgb = Conv(WIDTHS[-1], 3, 1, 1.0)
        self.register_buffer("w_mean", torch.zeros(LATENT))

    def styles(self, z: Tensor) -> Tensor:
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), 0.2)
        return w

    def forward(self, z: Tensor) -> Tensor:
        count = len(self.epilogues)
        first, other = self.styles(z), self.styles(torch.randn_like(z))
        self.w_mean.lerp_(first.detach().mean(0), 0.005)
        crossover = torch.where(torch.rand(len(z)) < MIXING, torch.randint(1, count, (len(z),)), count)
        w = [torch.where((n < crossover)[:, None], first, other) for n in range(count)]
        x = self.epilogues[0](self.constant.expand(len(z), -1, -1, -1), w[0])
        for n, conv in enumerate(self.convs, 1):
            x = blurred(conv(F.interpolate(x, scale_factor=2))) if n % 2 == 0 else conv(x)
            x = self.epilogues[n](x, w[n])
        return self.to_rgb(x)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        down = WIDTHS[::-1]
        self.from_rgb = Conv(3, down[0], 1)
        self.first = nn.ModuleList(Conv(a, a, 3) for a in down[:-1])
        self.second = nn.ModuleList(Conv(a, b, 3, bias=False) for a, b in itertools.pairwise(down))
        self.biases = nn.ParameterList(torch.zeros(1, b, 1, 1) for b in down[1:])
        self.conv = Conv(WIDTHS[0] + 1, WIDTHS[0], 3)
        self.dense, self.output = Linear(WIDTHS[0] * 16, WIDTHS[0], 2**0.5), Linear(WIDTHS[0], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.from_rgb(x), 0.2)
        for first, second, bias in zip(self.first, self.second, self.biases, strict=True):
            x = second(blurred(F.leaky_relu(first(x), 0.2)))
            x = F.leaky_relu(F.avg_pool2d(x, 2) + bias, 0.2)
        groups = x.reshape(4, -1, *x.shape[1:])
        deviation = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat(4)
        x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, 4, 4)], 1)
        x = F.leaky_relu(self.conv(x), 0.2)
        return self.output(F.leaky_relu(self.dense(x.flatten(1)), 0.2))


def plain_loop(pictures: Tensor) -> float:
    generator, discriminator = Generator(), Discriminator()
    optimiser_g, optimiser_d = (
        torch.optim.Adam(net.parameters(), LR, (0.0, 0.99)) for net in (generator, discriminator)
    )
    start = 0.0
    for step, part in enumerate(torch.randperm(len(pictures)).split(BATCH)):
        real = pictures[part].float() / 127.5 - 1
        fake = generator(torch.randn(BATCH, LATENT))
        loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()
        real.requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
        loss = loss + R1 / 2 * slope.square().sum((1, 2, 3)).mean()
        optimiser_d.zero_grad()
        loss.backward()
        optimiser_d.step()
        discriminator.requires_grad_(False)
        loss = F.softplus(-discriminator(fake)).mean()
        optimiser_g.zero_grad()
        loss.backward()
        optimiser_g.step()
        discriminator.requires_grad_(True)
        start = time.process_time() if step == 0 else start
    return (time.process_time() - start) / STEPS


def main() -> None:
    """Measure and write the result."""
    torch.set_num_threads(1)
    counts = [sum(p.numel() for p in net.parameters()) for net in (Generator(), Discriminator())]
    model: Any = lamina.create_model("stylegan-32")
    others = sum(p.numel() for layer in model.generator.to_rgb[:-1] for p in layer.parameters())
    resting = sum(p.numel() for layer in model.discriminator.from_rgb[:-1] for p in layer.parameters())
    ours = [sum(p.numel() for p in net.parameters()) for net in (model.generator, model.discriminator)]
    assert counts == [ours[0] - others, ours[1] - resting], "the nets are the same, but for layers of smaller pictures"
    draws = np.random.default_rng(0)
    pictures = draws.integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    folder = Path(tempfile.mkdtemp())
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i:04}.png")
    sides = {
        "plain": partial(plain_loop, torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()),
        "lamina": partial(lamina_loop, folder, 0.0),
        "lamina, as it comes": partial(lamina_loop, folder, 0.999),
    }
    found = interleaved(sides, ROUNDS)
    shutil.rmtree(folder)
    table = "| side | ms a step |\n|---|---|\n"
    for name, times in found.items():
        table += f"| {name} | {1e3 * statistics.median(times):.0f} |\n"
    speed = ratio(found["plain"], found["lamina"])
    reached = "yes" if speed >= 1 else "**no**"
    table += "\n| speed | measured | bar | reached |\n|---|---|---|---|\n"
    table += f"| lamina against plain | {speed:.3f}x | >= 1.0x | {reached} |\n"
    table += (
        f"| lamina, as it comes against plain | {ratio(found['plain'], found['lamina, as it comes']):.3f}x | - | - |\n"
    )
    table += (
        f"\nLoad of the machine at the end (1 of it is this benchmark): {os.getloadavg()[0]:.1f} of {os.cpu_count()}.\n"
    )
    write_result("stylegan_training", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
