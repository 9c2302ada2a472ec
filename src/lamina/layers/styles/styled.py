"""What generators with styles share: the mapping from z to w, noise, mixing, truncation (Karras et al. 2019).

w is the style of a layer; the mean of w in training is the centre that truncation draws towards. Mixing gives the
layers from a crossover on the styles of another z.

Legend: B batch, L numbers of z, N layers, W numbers of w, K classes, S side of the picture.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lamina.layers.latent import CHUNK, LatentGenerator, latent_noise
from lamina.layers.styles.equalised import EqualLinear, leaky, pixel_norm

MEAN_DECAY = 0.995
"""of the mean of w, for each batch"""
CENTRE = 4096
"""z whose mean w stands for that of training, where there is none"""
MAPPING_RATE = 0.01
"""factor on the learning rate of the mapping"""
Noise = Literal["fixed", "fresh", "none"]


class Mapping(nn.Module):
    """z (B, L), its label's one-hot code beside it -> w (B, W): normalised, then dense layers, each leaky."""

    def __init__(self, latent: int, W: int, depth: int, gain: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EqualLinear(latent if i == 0 else W, W, gain=math.sqrt(2) / gain, rate=MAPPING_RATE) for i in range(depth)
        )
        self.gain = gain

    def forward(self, z_BL: Tensor) -> Tensor:
        w = pixel_norm(z_BL)
        for layer in self.layers:
            w = leaky(layer(w), self.gain)
        return w


class StyledGenerator(LatentGenerator):
    """Base class of generators with styles. A subclass sets ``mapping``, and defines ``layers`` and ``synthesis``."""

    mapping: Mapping
    w_mean: Tensor
    mixing: float
    """probability that a training sample is of two z"""
    truncated_layers: int | None = None
    """layers that truncation acts on, from the first; None: all"""

    def start_styles(self, W: int, sides: list[int]) -> None:
        """Buffers: the mean of w, and the fixed noise of each layer, of a map of each of these sides."""
        self.register_buffer("w_mean", torch.zeros(W))
        for i, side in enumerate(sides):
            self.register_buffer(f"noise_{i}", torch.randn(1, 1, side, side))

    @property
    def style_layers(self) -> int:
        """Layers that take a style at present."""
        raise NotImplementedError

    def synthesis(self, w_BNW: Tensor, noise: list[Tensor | None]) -> Tensor:
        """Pictures from the style of each layer, and the noise map of each layer that has one."""
        raise NotImplementedError

    @property
    def noise_sides(self) -> list[int]:
        """The side of the noise map of each layer that has one at present."""
        raise NotImplementedError

    def forward(self, z_BL: Tensor, label_B: Tensor | None = None) -> Tensor:
        """In training with fresh noise, mixed styles and the mean of w followed; else with fixed noise.

        Raises ValueError for z of another size, and for a missing label.
        """
        w_BNW = self.spread(self.mapping(self.inputs(z_BL, label_B)))
        if self.training:
            self._follow_mean(w_BNW[:, 0])
            w_BNW = self._mixed(w_BNW, label_B)
        return self.synthesis(w_BNW, self.noise(z_BL.shape[0], "fresh" if self.training else "fixed"))

    def spread(self, w_BW: Tensor) -> Tensor:
        """The same style for every layer, (B, N, W)."""
        return w_BW[:, None].expand(-1, self.style_layers, -1)

    def noise(self, count: int, kind: Noise, seed: int | None = None, first: int = 0) -> list[Tensor | None]:
        """The noise map (1 or B, 1, S, S) of each layer: fixed; fresh, from torch's default generator or a function of
        ``seed`` and the number of the sample, from ``first`` on; or none."""
        like = self.w_mean
        sides = self.noise_sides
        if kind == "none":
            return [None] * len(sides)
        if kind == "fixed":
            return [self.get_buffer(f"noise_{i}") for i in range(len(sides))]
        if seed is None:
            return [torch.randn(count, 1, side, side, dtype=like.dtype, device=like.device) for side in sides]
        total = sum(side**2 for side in sides)
        drawn = latent_noise(count, total, seed, first=first, purpose="noise").to(like)
        parts = torch.split(drawn, [side**2 for side in sides], 1)
        return [part.reshape(count, 1, side, side) for part, side in zip(parts, sides, strict=True)]

    def truncated(self, w_BNW: Tensor, share: float) -> Tensor:
        """Styles drawn towards the mean: w_mean + share (w - w_mean), on the layers that truncation acts on."""
        if share == 1:
            return w_BNW
        count = w_BNW.shape[1] if self.truncated_layers is None else self.truncated_layers
        centre = self.centre()
        nearer = centre + share * (w_BNW[:, :count] - centre)
        return torch.cat([nearer, w_BNW[:, count:]], 1)

    @torch.no_grad()
    def centre(self) -> Tensor:
        """The mean of w (W,) in training; of weights that came without one, that of 4,096 z."""
        if self.w_mean.any() or self.classes:
            return self.w_mean
        mean_W: Tensor = self.mapping(self.draw(CENTRE, seed=0)).mean(0)
        return mean_W

    def styles(self, z_BL: Tensor, label_B: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """The styles (B, N, W) of z."""
        return self.truncated(self.spread(self.mapping(self.inputs(z_BL, label_B))), truncation)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        seed: int | None = None,
        label: int | None = None,
        truncation: float = 1.0,
        noise: Noise = "fixed",
    ) -> Tensor:
        """``count`` pictures in evaluation mode. With a seed the i-th is a function of seed and i.

        Raises ValueError for a label that the model does not have, and a truncation outside [0, 1].

            model.generator.sample(16, seed=1, truncation=0.7)
        """
        if not 0 <= truncation <= 1:
            raise ValueError(f"truncation must lie in [0, 1], got {truncation}")
        z_BL, label_B = self.draw(count, seed), self.labels(count, label)
        return self.pictured(self.styles(z_BL, label_B, truncation), noise, seed)

    @torch.no_grad()
    def pictured(self, w_BNW: Tensor, noise: Noise = "fixed", seed: int | None = None) -> Tensor:
        """Pictures of styles in evaluation mode, some at once; fresh noise is a function of seed and number."""
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            parts = [
                self.synthesis(w, self.noise(len(w), noise, seed, first=i))
                for i in range(0, max(len(w_BNW), 1), CHUNK)
                for w in (w_BNW[i : i + CHUNK],)
            ]
        finally:
            for module, training in modes.items():
                module.training = training
        return torch.cat(parts)

    @torch.no_grad()
    def _follow_mean(self, w_BW: Tensor) -> None:
        mean_W = w_BW.detach().mean(0).to(self.w_mean.dtype)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(mean_W)
            mean_W /= torch.distributed.get_world_size()
        self.w_mean.lerp_(mean_W, 1 - MEAN_DECAY)

    def _mixed(self, w_BNW: Tensor, label_B: Tensor | None) -> Tensor:
        """Of each sample with probability ``mixing`` the layers from a random crossover on have the style of another
        z."""
        B, N, _ = w_BNW.shape
        if not self.mixing or N < 2:
            return w_BNW
        other_BNW = self.spread(self.mapping(self.inputs(self.draw(B), label_B)))
        crossover_B = torch.randint(1, N, (B,))
        crossover_B = torch.where(torch.rand(B) < self.mixing, crossover_B, torch.tensor(N)).to(w_BNW.device)
        first_BN1 = (torch.arange(N, device=w_BNW.device) < crossover_B[:, None])[..., None]
        return torch.where(first_BN1, w_BNW, other_BNW)
