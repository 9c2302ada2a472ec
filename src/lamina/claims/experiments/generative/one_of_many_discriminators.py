"""A generator against N discriminators is the plain one's for N = 1, whatever aggregates them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lamina.claims.building import drawn
from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.equations import adversarial
from lamina.registry import create_model
from lamina.report.svg import SERIES, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGGREGATES = {
    "mean": adversarial.mean_of_losses,
    "max": adversarial.largest_loss,
    "softmax": partial(adversarial.softmax_weighted_loss, sharpness=1.0),
}


@dataclass(frozen=True, kw_only=True)
class ManySettings(Settings):
    discriminators: int = 5
    batch: int = 64
    width: int = 32
    sharpness: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0, 1e3, 1e4)
    """lambda of the weights softmax(lambda V)"""


def measure(settings: ManySettings, seed: int) -> Measurement:
    net: Any = drawn(partial(_net, settings), seed, "weights")
    z_B2 = torch.randn(settings.batch, 2, generator=generator(seed, "z"), dtype=torch.float64)
    plain = _gradient(net, z_B2, 1, lambda loss_N: loss_N[0])
    numbers = {
        f"alone_{name}": float((_gradient(net, z_B2, 1, aggregate) - plain).abs().max())
        for name, aggregate in AGGREGATES.items()
    }
    with torch.no_grad():
        loss_N = _losses(net, z_B2, settings.discriminators)
        weighted = [float(adversarial.softmax_weighted_loss(loss_N, sharpness)) for sharpness in settings.sharpness]
        mean, largest = float(adversarial.mean_of_losses(loss_N)), float(adversarial.largest_loss(loss_N))
    numbers |= {
        "from_mean": abs(weighted[0] - mean),
        "from_largest": abs(weighted[-1] - largest),
        "between": largest - mean,
    }
    many = _gradient(net, z_B2, settings.discriminators, adversarial.mean_of_losses)
    numbers["others_count"] = float((many - plain).norm() / plain.norm())
    share = [(value - mean) / (largest - mean) for value in weighted]
    return Measurement(numbers=numbers, arrays={"share": torch.tensor(share, dtype=torch.float64).numpy()})


def _net(settings: ManySettings) -> Any:
    hidden = {f"{player}_hidden": (settings.width,) * 2 for player in ("generator", "discriminator")}
    return create_model("gan-toy", discriminators=settings.discriminators, **hidden).double()


def _losses(net: Any, z_B2: Tensor, count: int) -> Tensor:
    """The generator's non-saturating loss against each of the first ``count`` discriminators, (N,)."""
    score_BN = net.discriminator(net.generator(z_B2))[:, :count]
    return torch.stack([adversarial.non_saturating_generator_loss(score_B) for score_B in score_BN.T])


def _gradient(net: Any, z_B2: Tensor, count: int, aggregate: Any) -> Tensor:
    """Of the aggregated loss by the generator's weights."""
    gradients = torch.autograd.grad(aggregate(_losses(net, z_B2, count)), list(net.generator.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])


def figure(figure: Figure, settings: ManySettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, one in enumerate(measured):
        label = f"seed {settings.seeds[i]}"
        axes.plot(one.arrays["share"], "o-", markersize=4, color=SERIES[i % 5], label=label)
    axes.set_xticks(range(len(settings.sharpness)), [f"{value:,.10g}" for value in settings.sharpness])
    axes.set(xlabel="λ", ylabel="from the mean (0) to the largest (1)")
    legend(axes, columns=5)
    readable(axes.yaxis)


CLAIM = Claim(
    name="one-of-many-discriminators",
    sentence="With one discriminator the generator of several is the plain one, under mean, maximum and softmax alike; "
    "with several, softmax weights go from their mean (λ = 0) to the largest (λ → ∞).",
    source="Durugkar, Gemp & Mahadevan, Generative multi-adversarial networks, ICLR 2017",
    arxiv="1611.01673",
    settings=ManySettings(),
    measure=measure,
    universal=True,
    bars=(
        Bar(number="alone_mean", at_most=1e-12, why="float64 rounding at most"),
        Bar(number="alone_max", at_most=1e-12, why="float64 rounding at most"),
        Bar(number="alone_softmax", at_most=1e-12, why="float64 rounding at most"),
        Bar(number="from_mean", at_most=1e-12, why="equal weights"),
        Bar(number="from_largest", at_most=1e-6, why="all weight on one, at λ = 10,000"),
        Bar(number="others_count", at_least=0.01, why="several do change the gradient: the measure can tell"),
    ),
    names={
        **{f"alone_{name}": f"largest difference of the generator's gradient, N = 1, {name}" for name in AGGREGATES},
        "from_mean": "difference from the mean at λ = 0",
        "from_largest": "difference from the largest at λ = 10,000",
        "between": "largest loss minus the mean, of five",
        "others_count": "relative change of the gradient by four more, mean",
    },
    figure=figure,
    caption="Where the softmax-weighted loss lies between mean and largest, by λ, for each seed",
    reading="With N = 1 the gradients differ by {alone_mean}, {alone_max} and {alone_softmax} at most. Of "
    "{setting.discriminators} discriminators, whose largest loss is {between} above their mean, the weighted loss "
    "differs by {from_mean} from the mean at λ = 0 and by {from_largest} from the largest at λ = 10,000.",
)
