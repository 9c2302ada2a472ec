"""The field of a temporal convolutional network, measured by its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations.forecasting import receptive_field
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FieldSettings(Settings):
    kernel_sizes: tuple[int, ...] = (3, 3, 2, 5, 7)
    blocks: tuple[int, ...] = (2, 4, 5, 3, 3)
    """of each net; the dilation doubles from block to block"""
    width: int = 4
    """channels of a block; weights positive, so that nothing cancels, in float64"""


def measure(settings: FieldSettings, seed: int) -> Measurement:
    seen, formula, later = [], [], 0.0
    for size, levels in zip(settings.kernel_sizes, settings.blocks, strict=True):
        name = f"{size} x {levels}"
        expected = receptive_field(size, [2**level for level in range(levels)])
        steps = expected + 20
        options = {
            "context": steps,
            "channels": 1,
            "kernel_size": size,
            "levels": levels,
            "block_width": settings.width,
        }
        model: Any = drawn(partial(create_model, "tcn", **options), seed, name).double().eval()
        with torch.no_grad():
            for weight in model.blocks.parameters():
                weight.abs_().add_(0.01)
        x = (torch.rand(1, 1, steps, generator=generator(seed, name), dtype=torch.float64) + 0.5).requires_grad_()
        out = model.features(x)
        (last,) = torch.autograd.grad(out[..., -1].sum(), x, retain_graph=True)
        (middle,) = torch.autograd.grad(out[..., steps // 2].sum(), x)
        later = max(later, float(middle[..., steps // 2 + 1 :].abs().max()))
        seen.append(int((last != 0).sum()))
        formula.append(expected)
    difference = max(abs(a - b) for a, b in zip(seen, formula, strict=True))
    return Measurement(
        numbers={"agreement": float(difference == 0), "later": 1.0 if later == 0 else 0.0},
        arrays={"seen": torch.tensor(seen).double().numpy(), "formula": torch.tensor(formula).double().numpy()},
    )


def figure(figure: Figure, settings: FieldSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    names = [f"{size} x {levels}" for size, levels in zip(settings.kernel_sizes, settings.blocks, strict=True)]
    place = range(len(names))
    axes.plot(place, measured[0].arrays["formula"], "-", color=SERIES[1], label="formula")
    axes.plot(place, measured[0].arrays["seen"], "o", color=SERIES[0], label="measured")
    axes.set(xticks=list(place), xticklabels=names, ylabel="steps seen", xlabel="kernel x blocks")
    legend(axes)


CLAIM = Claim(
    name="tcn-receptive-field",
    sentence="A TCN of n blocks with kernel k sees 1 + 2 (k - 1) (2^n - 1) steps, and none that follows.",
    source="Bai, Kolter & Koltun, An empirical evaluation of generic convolutional and recurrent networks for sequence "
    "modeling, 2018",
    arxiv="1803.01271",
    loose="1 + (k - 1) (2^n - 1) is often quoted: it forgets that a block has two convolutions.",
    settings=FieldSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="agreement", equals=1.0, why="the inputs with a gradient are counted one by one"),
        Bar(number="later", equals=1.0, why="a causal convolution has no path from later inputs"),
    ),
    names={
        "agreement": "1 where as many inputs have a gradient as the formula says, for every net",
        "later": "1 where no input after a step has a gradient",
    },
    figure=figure,
    caption="Steps that the last output depends on (first seed)",
    reading="For kernels of {setting.kernel_sizes} in {setting.blocks} blocks the inputs with a gradient are as many "
    "as the formula says, and no step sees what follows it.",
)
