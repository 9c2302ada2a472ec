"""Self-attention is permutation equivariant, unless positions or a mask break the symmetry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.building import drawn, largest
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.layers.multi_head import MultiHeadAttention
from lamina.layers.positions import LearnedPositions, SinusoidalPositions
from lamina.layers.transformer import BlockOptions, Stack
from lamina.report.svg import SERIES, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETS = {
    "attention": "attention alone",
    "blocks": "two blocks",
    "sinusoidal": "two blocks, sinusoidal positions",
    "learned": "two blocks, learned positions",
    "causal": "two blocks, causal mask",
}


@dataclass(frozen=True, kw_only=True)
class PermutationSettings(Settings):
    tokens: int = 12
    width: int = 16
    heads: int = 2
    layers: int = 2
    batch: int = 2
    permutations: int = 50
    """drawn at random; tokens N(0, 1), torch's default initialisation of weights and learned positions, in float64"""


def measure(settings: PermutationSettings, seed: int) -> Measurement:
    draw = generator(seed, "tensors")
    x_BTC = torch.randn(settings.batch, settings.tokens, settings.width, generator=draw, dtype=torch.float64)
    orders = [torch.randperm(settings.tokens, generator=draw) for _ in range(settings.permutations)]
    numbers, arrays = {}, {}
    for name, net in _nets(settings, seed).items():
        out_BTC = net(x_BTC)
        off = [largest(net(x_BTC[:, order]) - out_BTC[:, order]) / largest(out_BTC) for order in orders]
        numbers[name] = max(off) if name in ("attention", "blocks") else min(off)
        arrays[name] = np.array(off)
    return Measurement(numbers=numbers, arrays=arrays)


def _nets(settings: PermutationSettings, seed: int) -> dict[str, Callable[[Tensor], Tensor]]:
    C, place_T = settings.width, torch.arange(settings.tokens)
    attention = drawn(partial(MultiHeadAttention, C, settings.heads), seed, "attention").double()
    options = BlockOptions(
        width=C, heads=settings.heads, hidden=4 * C, norm="first", activation="gelu", dropout=0.0, attention_dropout=0.0
    )
    stack = drawn(partial(Stack, options, settings.layers), seed, "blocks").double()
    learned = drawn(partial(LearnedPositions, settings.tokens, C), seed, "positions").double()
    return {
        "attention": attention,
        "blocks": stack,
        "sinusoidal": lambda x_BTC: stack(x_BTC + SinusoidalPositions(C)(place_T, x_BTC.dtype)),
        "learned": lambda x_BTC: stack(x_BTC + learned(place_T)),
        "causal": partial(stack, causal=True),
    }


def figure(figure: Figure, settings: PermutationSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for row, name in enumerate(NETS):
        off = np.concatenate([one.arrays[name] for one in measured])
        ordered = name not in ("attention", "blocks")
        axes.plot(off, np.full(len(off), row), "o", color=SERIES[int(ordered)], alpha=0.25, markersize=5)
    axes.set(xscale="log", xlabel="largest difference / largest output", ylim=(len(NETS) - 0.5, -0.5))
    axes.set_yticks(range(len(NETS)), list(NETS.values()))
    readable(axes.xaxis)


CLAIM = Claim(
    name="permutation-equivariance",
    sentence="Self-attention without positions is blind to order: tokens in another order give the same outputs in "
    "that order. Positions, sinusoidal or learned, break this.",
    source="Vaswani et al., Attention is all you need, NIPS 2017, section 3.5; Lee et al., Set Transformer, ICML 2019",
    arxiv="1706.03762",
    settings=PermutationSettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="attention", at_most=1e-12, why="the same sums in another order: float64 rounding at most"),
        Bar(number="blocks", at_most=1e-12, why="normalisation and feed-forward layers see one token at a time"),
        Bar(number="sinusoidal", at_least=0.01, why="every order drawn is noticed, far above rounding"),
        Bar(number="learned", at_least=0.01, why="every order drawn is noticed, far above rounding"),
    ),
    names={
        "attention": "largest difference, attention alone",
        "blocks": "largest difference, two blocks",
        "sinusoidal": "smallest difference, two blocks with sinusoidal positions",
        "learned": "smallest difference, two blocks with learned positions",
        "causal": "smallest difference, two blocks with a causal mask and no positions",
    },
    figure=figure,
    caption="How far outputs of permuted tokens are from permuted outputs, over the largest output; a dot for each "
    "order and seed",
    reading="Over {setting.permutations} orders of {setting.tokens} tokens, outputs of attention alone differ by "
    "{attention} of the largest, those of two whole blocks by {blocks}. With sinusoidal positions no order changes "
    "less than {sinusoidal}, with learned ones {learned}. A causal mask tells order too ({causal}): a causal language "
    "model is not blind even without positions.",
)
