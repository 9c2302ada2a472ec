"""Sequential operations and total operations of recurrence and self-attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lamina.claims.building import macs, weightless
from lamina.claims.claim import Bar, Claim, Measurement, Settings
from lamina.layers.multi_head import MultiHeadAttention
from lamina.layers.recurrent import Recurrent
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELLS: dict[str, str] = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
WORKERS = {"rnn": "RNN", "attention": "attention", "products": "attention, products"}


@dataclass(frozen=True, kw_only=True)
class OperationSettings(Settings):
    seeds: tuple[int, ...] = (0,)
    """nothing is random"""
    lengths: tuple[int, ...] = (8, 16, 32, 64)
    """n; the claim compares each with the one before it"""
    widths: tuple[int, ...] = (16, 32)
    """d, of inputs and outputs; chains and crossing are those of the last"""
    heads: int = 4


def measure(settings: OperationSettings, seed: int) -> Measurement:
    narrow, wide = settings.widths
    before, last = settings.lengths[-2:]
    chains = {name: [_chain(settings, name, n, wide) for n in settings.lengths] for name in (*CELLS, "attention")}
    numbers: dict[str, float] = {}
    for name in CELLS:
        growth = np.diff(chains[name])
        ratios = growth[1:] / growth[:-1]
        numbers[f"{name}_chain"] = float(ratios[np.abs(ratios - 2).argmax()])
        numbers[f"{name}_step"] = float(growth[-1] / (last - before))
    numbers["attention_chain"] = chains["attention"][-1] / chains["attention"][0]
    numbers["attention_links"] = float(chains["attention"][-1])
    for name in (*CELLS, "products"):
        whole = _work(settings, name, last, wide)
        numbers[f"{name}_by_length"] = whole / _work(settings, name, before, wide)
        numbers[f"{name}_by_width"] = whole / _work(settings, name, last, narrow)
    work = {name: [_work(settings, name, n, wide) for n in settings.lengths] for name in WORKERS}
    numbers["crossing"] = _work(settings, "products", wide, wide) / _work(settings, "rnn", wide, wide)
    numbers["attention_times"] = _work(settings, "attention", 2 * wide, wide) / _work(settings, "rnn", 2 * wide, wide)
    arrays: dict[str, Any] = {name: np.array(links, dtype=float) for name, links in chains.items()}
    arrays |= {f"{name}_work": np.array(count, dtype=float) for name, count in work.items()}
    return Measurement(numbers=numbers, arrays=arrays)


def _layer(settings: OperationSettings, name: str, d: int) -> nn.Module:
    if name in ("attention", "products"):
        return weightless(partial(MultiHeadAttention, d, settings.heads))
    kind: Any = name
    return weightless(partial(Recurrent, kind, d, d))


def _work(settings: OperationSettings, name: str, n: int, d: int) -> int:
    """Multiply-adds for one sequence; "products": of queries, keys and values alone, without the projections."""
    return macs(_layer(settings, name, d), 1, n, d, products_only=name == "products")


def _chain(settings: OperationSettings, name: str, n: int, d: int) -> int:
    """The number of sequential operations: the longest path in the graph from output to input."""
    x = torch.empty(1, n, d, device="meta", requires_grad=True)
    out = _layer(settings, name, d)(x)
    end: Any = (out[0] if isinstance(out, tuple) else out).grad_fn
    longest: dict[Any, int] = {}
    waiting = [end]
    while waiting:  # by hand: Python's own stack is not deep enough
        node = waiting[-1]
        before = [source for source, _ in node.next_functions if source is not None]
        missing = [source for source in before if source not in longest]
        if missing:
            waiting += missing
        else:
            longest[waiting.pop()] = 1 + max((longest[source] for source in before), default=0)
    return longest[end]


def figure(figure: Figure, settings: OperationSettings, measured: Sequence[Measurement]) -> None:
    left, right = figure.subplots(1, 2)
    arrays = measured[0].arrays
    for i, (name, label) in enumerate({**CELLS, "attention": "attention"}.items()):
        left.plot(settings.lengths, arrays[name], color=SERIES[i], marker="o", label=label)
    for i, (name, label) in zip((0, 3, 3), WORKERS.items(), strict=True):
        work, dashes = arrays[f"{name}_work"] / 1e6, (0, (4, 3)) if name == "products" else (0, ())
        right.plot(settings.lengths, work, color=SERIES[i], linestyle=dashes, marker="o", label=label)
    left.set(ylabel="operations one after the other")
    right.set(ylabel="million multiply-adds")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="length n")
        axes.set_xticks(settings.lengths, [str(n) for n in settings.lengths])
        axes.minorticks_off()
        legend(axes, columns=2)
        readable(axes.yaxis)


CLAIM = Claim(
    name="sequential-operations",
    sentence="Over a sequence of length n a recurrent layer of width d needs O(n) operations one after the other and "
    "O(n d²) in all; the products of self-attention need O(1) one after the other and O(n² d) in all, less than an RNN "
    "as long as n < d.",
    source="Vaswani et al., Attention is all you need, NIPS 2017, table 1",
    arxiv="1706.03762",
    loose="“An RNN takes O(n) time, attention O(1)”: so many operations one after the other; in all, attention needs "
    "more of them the longer the sequence.",
    settings=OperationSettings(),
    measure=measure,
    universal=True,
    bars=(
        *(Bar(number=f"{name}_chain", equals=2, why="twice the length adds twice as many: O(n)") for name in CELLS),
        Bar(number="attention_chain", equals=1, why="O(1): the same at every length"),
        *(Bar(number=f"{name}_by_length", equals=2, why="O(n d²)") for name in CELLS),
        *(Bar(number=f"{name}_by_width", equals=4, why="O(n d²)") for name in CELLS),
        Bar(number="products_by_length", equals=4, why="O(n² d)"),
        Bar(number="products_by_width", equals=2, why="O(n² d)"),
        Bar(number="crossing", equals=1, why="2n²d = 2nd² at n = d"),
    ),
    names={
        **{f"{name}_chain": f"growth of the chain at twice the length, {label}" for name, label in CELLS.items()},
        **{f"{name}_step": f"operations one after the other for each step, {label}" for name, label in CELLS.items()},
        "attention_chain": "chain at the last length over that at the first, attention",
        "attention_links": "operations one after the other at any length, attention",
        **{f"{name}_by_length": f"multiply-adds at twice the length, {label}" for name, label in CELLS.items()},
        **{f"{name}_by_width": f"multiply-adds at twice the width, {label}" for name, label in CELLS.items()},
        "products_by_length": "multiply-adds at twice the length, products of attention",
        "products_by_width": "multiply-adds at twice the width, products of attention",
        "crossing": "products of attention over RNN, multiply-adds at n = d",
        "attention_times": "attention with its projections over RNN, multiply-adds at n = 2d",
    },
    figure=figure,
    caption="Longest chain of operations between input and output (left) and all multiply-adds at width 32 (right; "
    "of attention also its products of queries, keys and values alone)",
    reading="Counted on the layers' own graphs, not timed. Each step of an RNN adds {rnn_step} operations that must "
    "wait for one another, of an LSTM {lstm_step}, of a GRU {gru_step}; attention takes {attention_links} at any "
    "length. Its products cost {products_by_length} times as much at twice the length, a recurrent layer "
    "{rnn_by_length} times. The table of the paper leaves out the four projections, 4nd²: with them attention costs "
    "{attention_times} times what an RNN does at n = 2d. All this is for a sequence that is known: written token by "
    "token, either needs n steps.",
)
