"""Why scores are divided by the root of the width: otherwise attention concentrates on one key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations.attention import entropy
from lamina.layers.attention import attention
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMS = {"scaled": "divided by √d", "bare": "not divided"}


@dataclass(frozen=True, kw_only=True)
class ScaleSettings(Settings):
    widths: tuple[int, ...] = (4, 16, 64, 256, 512)
    """d; the claim is about the last"""
    keys: int = 64
    queries: int = 256
    """each with keys of its own, all N(0, 1), in float64"""


def measure(settings: ScaleSettings, seed: int) -> Measurement:
    numbers: dict[str, float] = {}
    last = settings.widths[-1]
    for width in settings.widths:
        draw = generator(seed, "tensors", width)
        q = torch.randn(settings.queries, 1, 1, width, generator=draw, dtype=torch.float64)
        k = torch.randn(settings.queries, 1, settings.keys, width, generator=draw, dtype=torch.float64)
        for name in FORMS:
            _, attn = attention(q if name == "scaled" else q * math.sqrt(width), k, k, need_map=True)
            assert attn is not None
            numbers[f"{name}_{width}"] = entropy(attn).mean().item()
            if width == last:  # d a_i / d score_i = a_i (1 - a_i), summed over the keys
                numbers[f"{name}_slope"] = (1 - (attn**2).sum(-1)).mean().item()
        if width == last:
            numbers["variance"] = (q @ k.transpose(-2, -1)).var().item()
    numbers["bare"] = numbers[f"bare_{last}"]
    numbers["missing"] = math.log(settings.keys) - numbers[f"scaled_{last}"]
    return Measurement(numbers=numbers)


def figure(figure: Figure, settings: ScaleSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, (name, label) in enumerate(FORMS.items()):
        entropy_SW = np.array([[one.numbers[f"{name}_{width}"] for width in settings.widths] for one in measured])
        axes.plot(settings.widths, entropy_SW.mean(0), color=SERIES[i], marker="o", label=label)
    most = math.log(settings.keys)
    axes.axhline(most, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="all keys alike")
    axes.set(xscale="log", xlabel="width d of queries and keys", ylabel="entropy in nats", ylim=(0, 1.08 * most))
    axes.set_xticks(settings.widths, [str(width) for width in settings.widths])
    axes.minorticks_off()
    legend(axes)
    readable(axes.yaxis)


_SETTINGS = ScaleSettings()

CLAIM = Claim(
    name="attention-scale",
    sentence="Over 64 keys of width 512, attention at its start spreads to within 1 nat of the most there can be, "
    "ln 64 = 4.16; without dividing its scores by √512 its entropy falls below 0.5 nats: it looks at one key.",
    source="Vaswani et al., Attention is all you need, NIPS 2017, section 3.2.1",
    arxiv="1706.03762",
    settings=_SETTINGS,
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="bare", at_most=0.5, why="measured before as 0.19 nats"),
        Bar(number="missing", at_most=1.0, why="measured before as 4.16 − 3.69 nats"),
    ),
    names={
        "bare": "entropy in nats at width 512, not divided",
        "missing": "ln 64 less the entropy at width 512, divided by √d",
        **{
            f"{name}_{width}": f"entropy, width {width}, {label}"
            for width in _SETTINGS.widths
            for name, label in FORMS.items()
        },
        **{f"{name}_slope": f"sum of a(1 − a) over the keys, width 512, {label}" for name, label in FORMS.items()},
        "variance": "variance of q·k at width 512",
    },
    figure=figure,
    caption="Entropy of the attention of random queries over 64 random keys, mean over queries and seeds",
    reading="With entries of variance 1 the product q·k has variance d: {variance} where d is 512. "
    "Divided by √d the scores have variance 1 at any width, and the entropy is {scaled_512} nats; without, {bare}. "
    "The gradient through the softmax shrinks with it: the derivatives a(1 − a) of the weights by their own scores add "
    "up to {scaled_slope} with the division and to {bare_slope} without.",
)
