"""Convolution and translation commute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.claims.shading import shaded
from lamina.equations import convolution

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class EquivarianceSettings(Settings):
    side: int = 12
    batch: int = 2
    channels: int = 3
    maps: int = 4
    kernel: int = 3
    """inputs and weights N(0, 1), float64; all side x side shifts are tried"""


def wrap(x: Tensor, p: int) -> Tensor:
    """Circular padding: (B, C, H + 2p, W + 2p)."""
    x = torch.cat([x[:, :, -p:], x, x[:, :, :p]], dim=2)
    return torch.cat([x[..., -p:], x, x[..., :p]], dim=3)


def measure(settings: EquivarianceSettings, seed: int) -> Measurement:
    side, k, p = settings.side, settings.kernel, settings.kernel // 2
    draw = generator(seed, "tensors")
    x = torch.randn(settings.batch, settings.channels, side, side, generator=draw, dtype=torch.float64)
    w = torch.randn(settings.maps, settings.channels, k, k, generator=draw, dtype=torch.float64)

    def circular(x: Tensor) -> Tensor:
        return convolution.cross_correlation(wrap(x, p), w)

    def zeros(x: Tensor) -> Tensor:
        return convolution.cross_correlation(x, w, padding=(p, p))

    def strided(x: Tensor) -> Tensor:
        return (
            convolution.cross_correlation(wrap(x, p), w, stride=(2, 2)).repeat_interleave(2, 2).repeat_interleave(2, 3)
        )

    worst = {"circular": 0.0, "zeros": 0.0, "strided": 0.0}
    seen = torch.zeros(side, side, dtype=torch.float64)
    for shift in ((i, j) for i in range(side) for j in range(side)):
        for name, layer in (("circular", circular), ("zeros", zeros), ("strided", strided)):
            error = (layer(_shifted(x, shift)) - _shifted(layer(x), shift)).abs()
            worst[name] = max(worst[name], error.max().item())
            if name == "zeros" and shift == (3, 4):
                seen = error.amax((0, 1))
    return Measurement(numbers=worst, arrays={"zeros": seen.numpy()})


def _shifted(x: Tensor, shift: tuple[int, int]) -> Tensor:
    return torch.roll(x, shift, (2, 3))


def figure(figure: Figure, settings: EquivarianceSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    error_HW = torch.from_numpy(measured[0].arrays["zeros"])
    axes.imshow(shaded(error_HW / error_HW.max()), interpolation="none")
    axes.grid(visible=False)
    axes.set(xlabel="column", ylabel="row")


CLAIM = Claim(
    name="translation-equivariance",
    sentence="Convolution commutes with translation: shifting the input and then convolving is convolving and then "
    "shifting, exactly, where nothing is lost at the border (circular padding).",
    source="LeCun et al., Proc. IEEE 86(11), 1998, section II; Cohen & Welling, ICML 2016",
    arxiv="1602.07576",
    loose="“CNNs are translation invariant”: convolution is equivariant, and only away from the border and at stride "
    "1.",
    settings=EquivarianceSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="circular", at_most=1e-12, why="the same sums: float64 rounding at most"),
        Bar(number="zeros", at_least=0.1, why="zero padding breaks it at the border: the measure can tell"),
    ),
    names={
        "circular": "largest difference, circular padding",
        "zeros": "largest difference, zero padding",
        "strided": "largest difference, circular padding at stride 2",
    },
    figure=figure,
    caption="With zero padding: where the two orders differ after a shift by 3 rows and 4 columns (first seed; the "
    "darker, the more)",
    reading="With circular padding the two orders differ by {circular} over all shifts. With zero padding they differ "
    "by up to {zeros}, along the borders and where the borders were shifted to; with stride 2 by up to {strided}, "
    "since a shift by an odd number of pixels falls between two outputs.",
)
