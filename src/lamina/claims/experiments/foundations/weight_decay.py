"""L2 in the gradient and decoupled decay: the same under SGD, not under Adam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lamina.claims.claim import Array, Bar, Claim, Measurement, Settings, generator
from lamina.equations import optimisers
from lamina.report.svg import MUTED, SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class DecaySettings(Settings):
    scales: tuple[float, ...] = (100.0, 0.1)
    """gradients are N(0, scale^2), drawn anew at each step, the same for all rules"""
    weights: int = 1000
    """of each scale, all 1 at first: their mean shows the decay without the noise"""
    wd: float = 0.1
    lr: float = 0.01
    """of Adam"""
    sgd_lr: float = 1e-3
    steps: int = 200


def measure(settings: DecaySettings, seed: int) -> Measurement:
    draw = generator(seed, "gradients")
    scale_S1 = torch.tensor(settings.scales, dtype=torch.float64)[:, None]
    one_SW = torch.ones(len(settings.scales), settings.weights, dtype=torch.float64)
    sgd_l2 = sgd_decoupled = adam_l2 = adamw = still = one_SW
    l2_state = adamw_state = still_state = optimisers.adam_start(one_SW)
    paths: dict[str, list[Array]] = {"l2": [], "decoupled": []}
    for _ in range(settings.steps):
        g_SW = scale_S1 * torch.randn(one_SW.shape, generator=draw, dtype=torch.float64)
        sgd_l2 = optimisers.sgd(sgd_l2, optimisers.l2_gradient(g_SW, sgd_l2, settings.wd), settings.sgd_lr)
        shrunk = optimisers.decoupled_decay(sgd_decoupled, settings.sgd_lr, settings.wd)
        sgd_decoupled = optimisers.sgd(shrunk, g_SW, settings.sgd_lr)
        penalised = optimisers.l2_gradient(g_SW, adam_l2, settings.wd)
        adam_l2, l2_state = optimisers.adam(adam_l2, penalised, l2_state, settings.lr)
        adamw, adamw_state = optimisers.adamw(adamw, g_SW, adamw_state, settings.lr, wd=settings.wd)
        still, still_state = optimisers.adamw(still, 0 * g_SW, still_state, settings.lr, wd=settings.wd)
        paths["l2"].append(_mean(adam_l2))
        paths["decoupled"].append(_mean(adamw))
    expected = (1 - settings.lr * settings.wd) ** settings.steps
    l2_large, l2_small = paths["l2"][-1].tolist()
    decoupled_large, decoupled_small = paths["decoupled"][-1].tolist()
    return Measurement(
        numbers={
            "sgd_apart": (sgd_l2 - sgd_decoupled).abs().max().item(),
            "l2_large": l2_large,
            "l2_small": l2_small,
            "decoupled_large": decoupled_large,
            "decoupled_small": decoupled_small,
            "l2_gap": abs(l2_large - l2_small),
            "decoupled_gap": abs(decoupled_large - decoupled_small),
            "expected": expected,
            "still_off": (still - expected).abs().max().item(),
        },
        arrays={name: np.stack(path) for name, path in paths.items()},
    )


def _mean(theta_SW: Tensor) -> Array:
    mean: Array = theta_SW.mean(1).numpy()
    return mean


def figure(figure: Figure, settings: DecaySettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    steps = np.arange(1, settings.steps + 1)
    for i, (name, label) in enumerate((("l2", "Adam with L2"), ("decoupled", "AdamW"))):
        mean_TS = np.mean([one.arrays[name] for one in measured], axis=0)
        for j, scale in enumerate(settings.scales):
            style = "-" if j == 0 else "--"
            axes.plot(steps, mean_TS[:, j], style, color=SERIES[i], label=f"{label}, gradients {scale:g}")
    axes.plot(steps, (1 - settings.lr * settings.wd) ** steps, ":", color=MUTED, label="(1 − lr wd)^t")
    axes.set(xlabel="step", ylabel="mean weight", ylim=(0, 1.05))
    legend(axes, columns=2)
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="weight-decay",
    sentence="L2 in the gradient and decoupled weight decay give the same iterates under plain SGD. Under Adam they "
    "do not: L2 hardly shrinks weights with large gradients and over-shrinks those with small ones; decoupled decay "
    "shrinks all alike.",
    source="Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019",
    arxiv="1711.05101",
    loose="“λ||θ||² in the loss is weight decay”: its gradient is 2λθ, so torch's weight_decay is 2λ; and they are "
    "one only under plain SGD.",
    settings=DecaySettings(),
    measure=measure,
    universal=True,
    margin=2.0,
    bars=(
        Bar(number="sgd_apart", at_most=1e-10, why="the same up to float64 rounding of steps up to 0.4"),
        Bar(number="l2_gap", at_least=0.2, why="measured before as 0.472, on single weights"),
        Bar(number="decoupled_gap", at_most=0.05, why="noise of the means: about 0.14 √(2 / 1000) = 0.006"),
        Bar(number="still_off", at_most=1e-12, why="without gradients only the decay (1 − lr wd)^t is left"),
    ),
    names={
        "sgd_apart": "largest difference of L2 and decoupled decay under SGD",
        "l2_large": "mean weight, Adam with L2, large gradients",
        "l2_small": "mean weight, Adam with L2, small gradients",
        "decoupled_large": "mean weight, AdamW, large gradients",
        "decoupled_small": "mean weight, AdamW, small gradients",
        "l2_gap": "mean weights of large and small gradients apart, Adam with L2",
        "decoupled_gap": "mean weights of large and small gradients apart, AdamW",
        "expected": "(1 − lr wd)^t",
        "still_off": "largest distance of AdamW from (1 − lr wd)^t at g = 0",
    },
    figure=figure,
    caption="Mean of the weights, all 1 at first, under noise of two sizes; mean over seeds",
    reading="After {setting.steps} steps decoupled decay leaves {decoupled_large} of the weights with large gradients "
    "and {decoupled_small} of those with small ones, beside (1 − lr·wd)^t = {expected}. With L2 Adam divides the pull "
    "of the decay by the size of the gradient: {l2_large} and {l2_small} are left. Under SGD the two agree to "
    "{sgd_apart}.",
)
