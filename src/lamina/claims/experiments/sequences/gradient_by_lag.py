"""How much of the gradient at the last step comes back to an earlier input: RNN, LSTM and GRU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.layers.recurrent import Kind, Recurrent
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class LagSettings(Settings):
    steps: int = 100
    inputs: int = 8
    hidden: int = 64
    batch: int = 64
    """inputs N(0, 1), torch's default initialisation, in float64"""


NETS: dict[str, tuple[Kind, float, str]] = {
    "rnn": ("rnn", 0.0, "RNN"),
    "lstm": ("lstm", 1.0, "LSTM, forget bias 1"),
    "gru": ("gru", 0.0, "GRU"),
    "lstm_bare": ("lstm", 0.0, "LSTM, forget bias 0"),
    "lstm_1997": ("lstm-1997", 0.0, "LSTM of 1997"),
}


def measure(settings: LagSettings, seed: int) -> Measurement:
    shape = (settings.batch, settings.steps, settings.inputs)
    numbers, arrays = {}, {}
    for name, (kind, bias, _) in NETS.items():
        build = partial(Recurrent, kind, settings.inputs, settings.hidden, forget_bias=bias)
        layer = drawn(build, seed, "weights", name).double()
        x_BTD = torch.randn(shape, generator=generator(seed, "inputs"), dtype=torch.float64, requires_grad=True)
        (gradient_BTD,) = torch.autograd.grad(layer(x_BTD)[0][:, -1].sum(), x_BTD)
        by_lag = gradient_BTD.norm(dim=2).mean(0).flip(0).numpy()
        numbers[name] = float(by_lag[-1] / by_lag[0])
        numbers[f"{name}_rho"] = numbers[name] ** (1 / (settings.steps - 1))
        arrays[name] = by_lag / by_lag[0]
    return Measurement(numbers=numbers, arrays=arrays)


def figure(figure: Figure, settings: LagSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, (name, (_, _, label)) in zip((0, 1, 2, 1, 3), NETS.items(), strict=True):
        norms_SL = np.array([one.arrays[name] for one in measured])
        dashes = (0, (4, 3)) if name == "lstm_bare" else (0, ())
        axes.plot(np.exp(np.log(norms_SL).mean(0)), color=SERIES[i], linestyle=dashes, label=label)
    axes.set(yscale="log", xlabel="lag in steps", ylabel="gradient norm / that at lag 0")
    legend(axes)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="gradient-by-lag",
    sentence="Of the gradient at an input, less than 1e-15 is left 99 steps further back in an RNN and less than 1e-12 "
    "in a GRU, but more than 1e-9 in an LSTM whose forget gates start with a bias of 1.",
    source="Hochreiter & Schmidhuber, Long short-term memory, Neural Computation 9, 1997; Gers, Schmidhuber & Cummins, "
    "Learning to forget, Neural Computation 12, 2000; Bengio, Simard & Frasconi, IEEE Trans. Neural Networks 5, 1994",
    loose="“Gates solve the vanishing gradient”: at its start a GRU, or an LSTM without the bias, loses it almost as "
    "an RNN does.",
    settings=LagSettings(),
    measure=measure,
    universal=False,
    margin=2.0,
    bars=(
        Bar(number="rnn", at_most=1e-15, why="measured before as 7.5e-22 / 1.6, one seed"),
        Bar(number="gru", at_most=1e-12, why="measured before as 2.9e-18 / 0.66, one seed"),
        Bar(number="lstm", at_least=1e-9, why="measured before as 1.1e-7 / 0.35, one seed"),
    ),
    names={
        **{name: f"gradient at lag 99 / at lag 0, {label}" for name, (_, _, label) in NETS.items()},
        **{f"{name}_rho": f"factor for each step (rho), {label}" for name, (_, _, label) in NETS.items()},
    },
    figure=figure,
    caption="Norm of the gradient of the last step's outputs by an input so many steps before it, over that at lag 0, "
    "mean over the batch and geometric mean over seeds",
    reading="Before any training, {rnn} of the gradient comes back over 99 steps of an RNN, a factor of {rnn_rho} for "
    "each; {gru} of a GRU's ({gru_rho}) and {lstm} of an LSTM's with forget bias 1 ({lstm_rho}). Without that bias the "
    "forget gates start half shut, and {lstm_bare} is left. The LSTM of 1997 has no forget gate: its cells lose "
    "nothing, and the gradient does not vanish ({lstm_1997}).",
)
