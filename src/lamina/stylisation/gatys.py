"""Style transfer by optimisation: a picture whose features are those of one picture, and whose Gram matrices are those
of another. Nothing is trained.

Source: Gatys, Ecker, Bethge, "Image style transfer using convolutional neural networks", CVPR 2016, arXiv 1508.06576.
Differences: Adam unless ``optimiser="lbfgs"``; content and style may differ in size, since Gram matrices are means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamina.errors import TrainingError
from lamina.randomness import derive
from lamina.stylisation.features import GATYS, FeatureNet, feature_net
from lamina.stylisation.losses import gatys_content, gatys_style, gram
from lamina.stylisation.memory import expect_memory, optimisation_bytes
from lamina.stylisation.options import GatysOptions
from lamina.stylisation.pictures import Picture, as_picture, read, within


@dataclass(frozen=True)
class Losses:
    """The losses after a number of steps, weighted in ``total`` only."""

    step: int
    style: float
    content: float
    total: float


@dataclass(frozen=True)
class Stylised:
    """A picture, (H, W, 3) uint8, and how it came about."""

    picture: Picture
    losses: tuple[Losses, ...]
    """before the first step and after each"""
    features: str
    """the net and where its weights are from"""


def style(
    content: Any,
    style: Any,
    *,
    progress: Callable[[Losses], None] | None = None,
    options: GatysOptions | None = None,
    **given: Any,
) -> Stylised:
    """The content of one picture in the style of another, by optimisation (Gatys et al. 2016).

    Pictures are paths, PIL images or arrays (see ``Run.predict``) of any size and mode. ``given`` are the fields of
    ``GatysOptions``; ``progress`` is called after each step. Raises UsageError for options out of range and pictures
    that need more memory than there is, DataError for those that cannot be read.

    Example::

        lamina.style("house.jpg", "starry-night.jpg", weights="vgg19.pth", size=256).picture
    """
    options = options or GatysOptions(**given)
    name = "cuda" if options.device == "auto" and torch.cuda.is_available() else options.device
    device = torch.device("cpu" if name == "auto" else name)
    content_BCHW = within(read(content), options.size or None).to(device)
    style_BCHW = within(read(style), options.size or max(content_BCHW.shape[2:])).to(device)
    net = feature_net(options.features, options.weights, seed=options.seed, pooling=options.pooling).to(device)
    layers = GATYS[net.architecture]
    height, width = content_BCHW.shape[2:]
    every = [*layers.content, *layers.style]
    expect_memory(optimisation_bytes(net, lambda x: net(x, every), height, width), height, width, device)
    with torch.no_grad():
        wanted = net(content_BCHW, layers.content) if options.content_weight else {}
        grams = {name: gram(maps) for name, maps in net(style_BCHW, layers.style).items()}
    return _Optimisation(net, wanted, grams, options).run(content_BCHW, progress)


class _Optimisation:
    """The picture's values are optimised, on a scale from 0 to 1; what leaves it is cut off at the end."""

    def __init__(
        self, net: FeatureNet, wanted: Mapping[str, Tensor], grams: Mapping[str, Tensor], options: GatysOptions
    ) -> None:
        self.net, self.wanted, self.grams, self.options = net, wanted, grams, options

    def run(self, content_BCHW: Tensor, progress: Callable[[Losses], None] | None) -> Stylised:
        options = self.options
        x_BCHW = self.first(content_BCHW).requires_grad_()
        adam = options.optimiser == "adam"
        rate = options.rate or (0.05 if adam else 1.0)
        optimiser: Any = (
            torch.optim.Adam([x_BCHW], lr=rate)
            if adam
            else torch.optim.LBFGS([x_BCHW], lr=rate, max_iter=1, history_size=50)
        )
        losses: list[Losses] = []
        for step in range(options.steps + 1):
            total, now = self.losses(x_BCHW, step)
            if not bool(total.isfinite()):
                raise TrainingError(f"the loss is not finite after {step} steps: lower --rate (it is {rate:g})")
            losses.append(now)
            if progress is not None:
                progress(now)
            if step < options.steps:
                if adam:
                    optimiser.zero_grad()
                    total.backward()
                    optimiser.step()
                else:
                    optimiser.step(lambda: self.backward(x_BCHW))
        with torch.no_grad():
            return Stylised(as_picture(x_BCHW), tuple(losses), self.net.origin)

    def first(self, content_BCHW: Tensor) -> Tensor:
        if self.options.start == "content":
            return content_BCHW.clone()
        generator = torch.Generator().manual_seed(derive(self.options.seed, "noise"))
        return torch.rand(content_BCHW.shape, generator=generator).to(content_BCHW.device)

    def losses(self, x_BCHW: Tensor, step: int) -> tuple[Tensor, Losses]:
        maps = self.net(x_BCHW, [*self.wanted, *self.grams])
        style = gatys_style(maps, self.grams).sum()
        content = sum((gatys_content(maps[name], of).sum() for name, of in self.wanted.items()), style.new_zeros(()))
        total = self.options.style_weight * style + self.options.content_weight * content
        return total, Losses(step, style.item(), content.item(), total.item())

    def backward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW.grad = None
        total, _ = self.losses(x_BCHW, 0)
        total.backward()
        return total
