"""The two correct candidates of the GRU, and one that is often quoted and is not a GRU."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.building import drawn, largest
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import recurrent
from lamina.layers.recurrent import Kind, Recurrent
from lamina.report.svg import SERIES, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: dict[str, Kind] = {"after": "gru", "before": "gru-reset-before"}
LABELS = {"after": "W x + r (U h)", "before": "W x + U (r h)", "misquoted": "r (W x + U h)"}
SHUT = -1e3
"""bias of a closed gate: its sigmoid is 0"""


@dataclass(frozen=True, kw_only=True)
class CandidateSettings(Settings):
    inputs: int = 64
    hidden: int = 64
    batch: int = 32
    """inputs N(0, 1), states uniform in (-1, 1), torch's default initialisation, in float64"""
    gates: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    """values of the reset gate in the figure"""


def misquoted(x_BD: Tensor, h_BH: Tensor, W: Tensor, U: Tensor, b: Tensor, b_u: Tensor) -> Tensor:
    """A step with h~ = tanh((W [h, x]) r), which is not a GRU: the reset gate acts on the input, too."""
    (W_r, W_z, W_n), (U_r, U_z, U_n) = W.chunk(3), U.chunk(3)
    (b_r, b_z, b_n), (u_r, u_z, u_n) = b.chunk(3), b_u.chunk(3)
    r = torch.sigmoid(x_BD @ W_r.T + b_r + h_BH @ U_r.T + u_r)
    z = torch.sigmoid(x_BD @ W_z.T + b_z + h_BH @ U_z.T + u_z)
    n = torch.tanh(r * (x_BD @ W_n.T + b_n + h_BH @ U_n.T + u_n))
    return (1 - z) * n + z * h_BH


def steps() -> dict[str, Callable[..., Tensor]]:
    """The three forms of a step, (x, h, W, U, b, b_u) -> h'."""
    return {
        "after": recurrent.gru_step,
        "before": partial(recurrent.gru_step, reset_after=False),
        "misquoted": misquoted,
    }


def measure(settings: CandidateSettings, seed: int) -> Measurement:
    draw = generator(seed, "tensors")
    x_BD = torch.randn(settings.batch, settings.inputs, generator=draw, dtype=torch.float64, requires_grad=True)
    h_BH = 2 * torch.rand(settings.batch, settings.hidden, generator=draw, dtype=torch.float64) - 1
    h_BH.requires_grad_()
    layers = {
        name: drawn(partial(Recurrent, kind, settings.inputs, settings.hidden), seed, "weights").double()
        for name, kind in KINDS.items()
    }
    weights = [weight.detach() for weight in layers["after"].parameters()]
    after = {name: step(x_BD, h_BH, *weights) for name, step in steps().items()}
    numbers = {f"{one}_{other}": largest(after[one] - after[other]) for one, other in combinations(after, 2)}
    ours = {name: layer(x_BD[:, None], (h_BH[:, None],))[0][:, 0] for name, layer in layers.items()}
    numbers["off"] = max(largest(ours[name] - after[name]) for name in layers)
    by_gate: dict[str, list[float]] = {}
    for gate in settings.gates:
        fixed = _gates(weights, settings.hidden, gate)
        for name, step in steps().items():
            candidate_BH = step(x_BD, h_BH, *fixed)
            sums_H = candidate_BH.sum(0)  # rows do not mix: its Jacobian holds that of each
            gradients = [torch.autograd.grad(unit, (x_BD, h_BH), retain_graph=True) for unit in sums_H]
            for what, parts in zip(("input", "memory"), zip(*gradients, strict=True), strict=True):
                norm = torch.stack(parts).square().sum((0, 2)).sqrt().mean().item()
                by_gate.setdefault(f"{name}_{what}", []).append(norm)
    numbers |= {key: norms[settings.gates.index(0.0)] for key, norms in by_gate.items()}
    return Measurement(numbers=numbers, arrays={key: np.array(norms) for key, norms in by_gate.items()})


def _gates(weights: Sequence[Tensor], hidden: int, reset: float) -> list[Tensor]:
    """The weights with the reset gate fixed at this value and the update gate closed: h' is h~."""
    fixed = [weight.clone() for weight in weights]
    for weight in fixed:
        weight[: 2 * hidden] = 0
    fixed[2][:hidden] = math.log(reset / (1 - reset)) if 0 < reset < 1 else (SHUT if reset == 0 else -SHUT)
    fixed[2][hidden : 2 * hidden] = SHUT
    return fixed


def figure(figure: Figure, settings: CandidateSettings, measured: Sequence[Measurement]) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (what, title) in zip(panels, (("input", "by the input x"), ("memory", "by the state h")), strict=True):
        for i, (name, label) in enumerate(LABELS.items()):
            norms_G = np.mean([one.arrays[f"{name}_{what}"] for one in measured], 0)
            dashes = (0, ()) if name == "after" else (0, (4, 3))
            axes.plot(settings.gates, norms_G, color=SERIES[i], linestyle=dashes, label=label)
        axes.set(xlabel="reset gate r", ylim=(0, None))
        axes.set_title(title)
        readable(axes.xaxis)
    panels[0].set_ylabel("norm of the derivative of h~")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    readable(panels[0].yaxis)


CLAIM = Claim(
    name="gru-candidate",
    sentence="A GRU's candidate is tanh(W x + r (U h)) or tanh(W x + U (r h)); the often quoted tanh((W [h, x]) r) is "
    "neither: where its reset gate is shut it no longer sees its input, and theirs do.",
    source="Cho et al., Learning phrase representations using RNN encoder-decoder for statistical machine translation, "
    "EMNLP 2014 (first and third version)",
    arxiv="1406.1078",
    loose="“h~ = tanh(W [h, x] * r)”: this gates the input, too, and after the matrix.",
    settings=CandidateSettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="after_before", at_least=0.05, why="known to differ by the order of 0.1"),
        Bar(number="after_misquoted", at_least=0.05, why="known to differ by the order of 0.1"),
        Bar(number="before_misquoted", at_least=0.05, why="known to differ by the order of 0.1"),
        Bar(number="misquoted_input", at_most=1e-12, why="r = 0 shuts out x"),
        Bar(number="after_input", at_least=0.5, why="x still comes in, far above rounding"),
        Bar(number="before_input", at_least=0.5, why="x still comes in, far above rounding"),
        Bar(number="after_memory", at_most=1e-12, why="r = 0 drops the state, which is what it is for"),
        Bar(number="before_memory", at_most=1e-12, why="r = 0 drops the state, which is what it is for"),
        Bar(number="off", at_most=1e-12, why="the library's two layers are the two right forms"),
    ),
    names={
        "after_before": "largest difference of a step, the two right forms",
        "after_misquoted": "largest difference of a step, r (U h) and the misquoted form",
        "before_misquoted": "largest difference of a step, U (r h) and the misquoted form",
        **{f"{name}_input": f"derivative of h~ by x at r = 0, {label}" for name, label in LABELS.items()},
        **{f"{name}_memory": f"derivative of h~ by h at r = 0, {label}" for name, label in LABELS.items()},
        "off": "largest difference of the library's layers from the equations",
    },
    figure=figure,
    caption="Norm of the derivative of the candidate by its input (left) and by the state (right) against the reset "
    "gate, mean over inputs and seeds",
    reading="After one step from the same state the right forms differ by up to {after_before}, the misquoted one from "
    "them by {after_misquoted} and {before_misquoted}. With the reset gate shut the candidate's derivative by the "
    "input is {after_input} and {before_input} in the right forms, {misquoted_input} in the misquoted one, whose "
    "candidate is then tanh(0) = 0 whatever comes in. By the state all three are {after_memory} there: that is what "
    "the gate is for.",
)
