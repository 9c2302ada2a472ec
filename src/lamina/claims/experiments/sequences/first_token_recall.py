"""Predicting the first token at the end: attention reaches it at any distance, a recurrent network does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.registry import create_model
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETS = {"attention": "attention", "rnn": "RNN"}


@dataclass(frozen=True, kw_only=True)
class RecallSettings(Settings):
    symbols: int = 8
    near: int = 50
    far: int = 200
    """lengths of the random sequences, whose first token is to be predicted after the last"""
    width: int = 32
    """of one block of attention with one head and learned positions"""
    hidden: int = 64
    """units of the RNN, and the width of its embedding"""
    batch: int = 64
    steps: int = 500
    lr: float = 1e-3
    """of Adam"""
    clip: float = 1.0
    """maximum gradient norm"""
    check: int = 10
    """steps between two evaluations on new sequences"""
    right: float = 0.99
    """accuracy at which the task counts as learned, and training stops"""
    sequences: int = 500


def build(settings: RecallSettings, name: str, length: int) -> Any:
    """A language model, of which the logits after the last token are used."""
    if name == "rnn":
        sizes = {"embedding_dim": settings.hidden, "hidden_size": settings.hidden}
        return create_model("rnn-lm", vocab_size=settings.symbols, **sizes)
    sizes = {"vocab_size": settings.symbols, "context": length, "layers": 1, "heads": 1, "width": settings.width}
    return create_model("transformer-lm", dropout=0.0, tied=False, **sizes)


def measure(settings: RecallSettings, seed: int) -> Measurement:
    numbers: dict[str, float] = {}
    arrays = {}
    for place, length in _places(settings).items():
        for name in NETS:
            net = drawn(partial(build, settings, name, length), seed, "weights", name, length)
            accuracies = _train(settings, net, length, seed)
            learned = accuracies[-1] >= settings.right
            numbers[f"{name}_{place}"] = accuracies[-1]
            if name == "attention":
                numbers[f"{place}_steps"] = settings.check * len(accuracies) if learned else math.inf
            arrays[f"{name}_{place}"] = np.array(accuracies)
    steps = [numbers[f"{place}_steps"] for place in ("near", "far")]
    numbers["times"] = max(steps) / min(steps) if math.isfinite(min(steps)) else math.inf
    return Measurement(numbers=numbers, arrays=arrays)


def _places(settings: RecallSettings) -> dict[str, int]:
    return {"near": settings.near, "far": settings.far}


def _train(settings: RecallSettings, net: nn.Module, length: int, seed: int) -> list[float]:
    """Train the net: its accuracy at every evaluation."""
    draw = generator(seed, "training", length)
    test_NT = _sequences(settings, settings.sequences, length, generator(seed, "test", length))
    optimiser = torch.optim.Adam(net.parameters(), settings.lr)
    accuracies: list[float] = []
    for step in range(1, settings.steps + 1):
        tokens_BT = _sequences(settings, settings.batch, length, draw)
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(net(tokens_BT)[0][:, -1], tokens_BT[:, 0]))
        nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimiser.step()
        if step % settings.check == 0:
            with torch.no_grad():
                predicted_N = net(test_NT)[0][:, -1].argmax(-1)
            accuracies.append((predicted_N == test_NT[:, 0]).double().mean().item())
            if accuracies[-1] >= settings.right:
                break
    return accuracies


def _sequences(settings: RecallSettings, count: int, length: int, draw: torch.Generator) -> Tensor:
    return torch.randint(settings.symbols, (count, length), generator=draw)


def figure(figure: Figure, settings: RecallSettings, measured: Sequence[Measurement]) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (place, length) in zip(panels, _places(settings).items(), strict=True):
        for i, (name, net) in enumerate(NETS.items()):
            for j, one in enumerate(measured):
                accuracies = one.arrays[f"{name}_{place}"]
                steps = settings.check * np.arange(1, len(accuracies) + 1)
                label = None if j else net
                axes.plot(steps, accuracies, color=SERIES[i], linewidth=1.2, alpha=0.7, label=label)
        axes.axhline(1 / settings.symbols, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="chance")
        axes.set(xlabel=f"step, {length} tokens", ylim=(0, 1.05), xlim=(0, settings.steps))
        axes.set_xticks(range(0, settings.steps, 100))
    panels[0].set_ylabel("first tokens named")
    legend(panels[0])
    readable(panels[0].yaxis)


_SETTINGS = RecallSettings()
_PLACES = _places(_SETTINGS)

CLAIM = Claim(
    name="first-token-recall",
    sentence="One layer of attention learns to name the first of 200 random tokens in the steps it needs for the first "
    "of 50 (within a factor of 2); an RNN of more units learns neither.",
    source="Vaswani et al., Attention is all you need, NIPS 2017, section 4 (path lengths); Bengio, Simard & Frasconi, "
    "IEEE Trans. Neural Networks 5, 1994",
    arxiv="1706.03762",
    settings=_SETTINGS,
    measure=measure,
    universal=False,
    bars=(
        Bar(number="times", at_most=2.0, why="the same steps, give or take a factor of 2"),
        Bar(number="rnn_near", at_most=0.25, why="twice chance"),
        Bar(number="rnn_far", at_most=0.25, why="twice chance"),
    ),
    names={
        "times": "steps that attention takes, the longer over the shorter of both lengths",
        **{f"{place}_steps": f"steps until 99 %, attention, {length} tokens" for place, length in _PLACES.items()},
        **{
            f"{net}_{place}": f"share of first tokens named, {label}, {length} tokens"
            for net, label in NETS.items()
            for place, length in _PLACES.items()
        },
    },
    figure=figure,
    caption="Share of first tokens that are named, of sequences not trained on; a line a seed",
    reading="Attention names the first token after {near_steps} steps where there are 50, after "
    "{far_steps} where there are 200: {times} times as many. The token is one step away at any distance, but "
    "at its start attention looks at all tokens alike and has to find it, among 200 in place of 50. In "
    "{setting.steps} steps the RNN of {setting.hidden} units names {rnn_near} and {rnn_far} of the first tokens; "
    "chance is 1/8. Width and steps were sized on other seeds.",
)
