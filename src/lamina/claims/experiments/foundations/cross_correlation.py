"""What deep learning calls convolution does not flip its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lamina.claims.claim import Array, Bar, Claim, Measurement, Settings, generator
from lamina.equations import convolution
from lamina.report.svg import INK, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle


@dataclass(frozen=True, kw_only=True)
class CornerSettings(Settings):
    side: int = 6
    kernel: int = 3
    """all zero but for a 1 in its top-left corner; inputs N(0, 1), float64"""


def measure(settings: CornerSettings, seed: int) -> Measurement:
    side, k = settings.side, settings.kernel
    x = torch.randn(1, 1, side, side, generator=generator(seed, "input"), dtype=torch.float64)
    w = torch.zeros(1, 1, k, k, dtype=torch.float64)
    w[0, 0, 0, 0] = 1
    out = side - k + 1
    top_left, bottom_right = x[..., :out, :out], x[..., k - 1 :, k - 1 :]
    y, flipped = convolution.cross_correlation(x, w), convolution.true_convolution(x, w)
    return Measurement(
        numbers={
            "correlation": (y - top_left).abs().max().item(),
            "convolution": (flipped - bottom_right).abs().max().item(),
            "apart": (y - flipped).abs().max().item(),
        },
        arrays={"x": x[0, 0].numpy(), "correlation": y[0, 0].numpy(), "convolution": flipped[0, 0].numpy()},
    )


def figure(figure: Figure, settings: CornerSettings, measured: Sequence[Measurement]) -> None:
    arrays = measured[0].arrays
    out, k = settings.side - settings.kernel + 1, settings.kernel
    boxes = (("correlation", 0, "cross-correlation"), ("convolution", k - 1, "true convolution"))
    axes = figure.subplots(1, 3, width_ratios=(settings.side, out, out))
    _numbers(axes[0], arrays["x"], "input")
    for i, (name, start, title) in enumerate(boxes):
        axes[0].add_patch(_frame(start, out, SERIES[i]))
        _numbers(axes[i + 1], arrays[name], title)
        axes[i + 1].add_patch(_frame(0, out, SERIES[i]))


def _frame(start: int, size: int, colour: str) -> Rectangle:
    from matplotlib.patches import Rectangle

    return Rectangle((start - 0.48, start - 0.48), size - 0.04, size - 0.04, fill=False, edgecolor=colour, linewidth=2)


def _numbers(axes: Axes, values_HW: Array, title: str) -> None:
    height, width = values_HW.shape
    for row in range(height):
        for column in range(width):
            text = f"{values_HW[row, column]:.1f}".replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=INK)
    axes.set(xlim=(-0.6, width - 0.4), ylim=(height - 0.4, -0.6), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.set_title(title)


CLAIM = Claim(
    name="cross-correlation",
    sentence="The “convolution” of neural networks is cross-correlation: a kernel with a single 1 at its top left "
    "picks the input at the top left; true convolution, which flips the kernel, picks the one at the bottom right.",
    source="Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016",
    arxiv="1603.07285",
    loose="“Convolution: element-wise multiplication and sum”: without the flip that is cross-correlation.",
    settings=CornerSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="correlation", at_most=1e-12, why="one term times 1: no rounding"),
        Bar(number="convolution", at_most=1e-12, why="one term times 1: no rounding"),
        Bar(number="apart", at_least=0.1, why="the two are not the same thing"),
    ),
    names={
        "correlation": "largest difference of cross-correlation from the top-left inputs",
        "convolution": "largest difference of true convolution from the bottom-right inputs",
        "apart": "largest difference between the two",
    },
    figure=figure,
    caption="The first seed's input, and the parts of it that the two operations pick",
    reading="Cross-correlation returns the top-left inputs up to {correlation}, true convolution the bottom-right "
    "ones up to {convolution}; the two differ by {apart}. A learned kernel is as good flipped as not, so libraries "
    "save the flip; it matters where kernels are set by hand or carried over from signal processing.",
)
