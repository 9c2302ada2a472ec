"""Inspection of adversarial networks: verdicts over training, the critic's gradients, the nearest training samples.

Legend: B batch, N samples, M training samples, F features of a sample, D discriminators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.data.source import Source
from lamina.report.adversarial import figures
from lamina.report.adversarial.inspection import AdversarialPage
from lamina.report.blocks import Block, Chart, Charts, Section, Text, Tiles
from lamina.report.images import tile
from lamina.report.statistics import Floats
from lamina.report.wording import number, share
from lamina.runs.evaluation import like, predicting
from lamina.runs.opened import Opened
from lamina.tasks.adversarial.games import squared_slopes
from lamina.tasks.adversarial.task import BALANCED

JUDGED = 256
"""samples whose gradients and distances are measured"""
SHOWN = 12
"""samples beside their nearest training samples"""
SIDE = 72
CHUNK = 1024


@dataclass(frozen=True)
class AdversarialInspection:
    """What is seen of a run's players and samples."""

    gradient_norm_ND: Tensor
    """||grad D(x)|| between real and generated samples, of each discriminator"""
    distance_N: Tensor
    """of each generated sample from the nearest training sample, root mean square over its values"""
    nearest_N: Tensor
    """the number of that training sample"""
    real_distance_N: Tensor
    """the same of real samples that were not trained on, or of training samples and the others"""


def inspect_samples(run: Opened) -> AdversarialPage:
    """``Run.inspect`` of an adversarial network, with its page."""
    seen = inspected(run)
    return page(run, seen, sections_of(run, seen), findings(run, seen))


def page(run: Opened, seen: Any, sections: Sequence[Section], found: Sequence[tuple[str, str]]) -> AdversarialPage:
    """The page of what was seen of a run."""
    return AdversarialPage(
        name=run.directory.name,
        model=run.config.name,
        seen=seen,
        sections=sections,
        predictions=found,
        facts={"model": run.config.name, "weights": f"the last of {run.path}", "data": run.config.data_name},
    )


def inspected(run: Opened) -> AdversarialInspection:
    """The tensors of an inspection."""
    split = next((name for name in ("test", "validation") if name in run.source.splits), "train")
    real_N = _inputs(run, split)
    made_N = _made(run, len(real_N[0]))
    distance_N, nearest_N = _nearest(run, made_N)
    alone = split != "train"
    return AdversarialInspection(
        gradient_norm_ND=_gradient_norms(run, *real_N),
        distance_N=distance_N,
        nearest_N=nearest_N,
        real_distance_N=_nearest(run, real_N[0], besides=None if alone else real_N[2])[0],
    )


def findings(run: Opened, seen: AdversarialInspection) -> list[tuple[str, str]]:
    """What an inspection found, in words."""
    found = []
    last: dict[str, float] = next(iter(reversed(run.history)), {})
    verdict = last.get("validation_verdict")
    if verdict is not None:
        balanced = BALANCED[0] <= verdict <= BALANCED[1]
        found.append(("verdict", f"{share(verdict)} rightly judged, {'in' if balanced else 'out of'} balance"))
    norm = seen.gradient_norm_ND.mean()
    found.append(("critic's gradient", f"mean norm {number(float(norm), 3)} between real and generated samples"))
    made, real = seen.distance_N.median(), seen.real_distance_N.median()
    found.append(("nearest training sample", f"at {number(float(made), 3)}, of real samples {number(float(real), 3)}"))
    return [*found, ("copies", _copies(seen))]


def _copies(seen: AdversarialInspection) -> str:
    """Samples nearer to a training sample than nearly any real one is."""
    close = float(seen.real_distance_N.quantile(0.01))
    copied = float((seen.distance_N < close).double().mean())
    return f"{share(copied)} of the samples are nearer to a training sample than 99 % of real samples are"


def sections_of(run: Opened, seen: AdversarialInspection | None = None) -> list[Section]:
    """The sections of a page: verdicts over training, gradients, nearest training samples."""
    seen = inspected(run) if seen is None else seen
    found = [Section(name="balance", title="Balance of the players", blocks=_balance(run, seen))]
    return [*found, Section(name="nearest", title="Nearest training samples", blocks=_nearest_blocks(run, seen))]


def _balance(run: Opened, seen: AdversarialInspection) -> list[Block]:
    charts = []
    if scores := figures.over_training(run.history, {"real": "real_score", "generated": "fake_score"}):
        svg = figures.lines(scores, "epoch", "score", "Scores over training")
        note = "Mean scores of validation samples; apart, the discriminator tells them from each other."
        charts.append(Chart(title="Scores of the discriminator", svg=svg, note=note))
    if verdict := figures.over_training(run.history, {"rightly judged": "verdict"}):
        svg = figures.lines(verdict, "epoch", "share", "Share rightly judged over training", (0.5, *BALANCED))
        note = "0.5: it cannot tell them; above 0.98 or below 0.02 (dashed) one of the players has won."
        charts.append(Chart(title="Verdicts", svg=svg, note=note))
    if losses := figures.over_training(run.history, {"generator": "loss", "discriminator": "discriminator_loss"}):
        svg = figures.lines(losses, "epoch", "loss", "Losses of the players over training")
        charts.append(Chart(title="Losses", svg=svg, note="Against each other: neither says how good samples are."))
    norms = seen.gradient_norm_ND.double().numpy()
    groups = {f"discriminator {i + 1}" if len(norms.T) > 1 else "gradients": of for i, of in enumerate(norms.T)}
    penalised = getattr(run.task, "penalty_weight", 0.0) > 0
    svg = figures.histogram(groups, "norm", "Norms of the discriminator's gradient", 1.0 if penalised else None)
    mean = number(float(norms.mean()), 3)
    note = f"By the input, at {len(norms)} points between real and generated samples; mean {mean}."
    note += " A gradient penalty holds it near 1 (dashed)." if penalised else ""
    charts.append(Chart(title="Gradients of the discriminator", svg=svg, note=note))
    return [Charts(charts=charts)]


def _nearest_blocks(run: Opened, seen: AdversarialInspection) -> list[Block]:
    groups = {"generated": seen.distance_N.double().numpy(), "real": seen.real_distance_N.double().numpy()}
    svg = figures.histogram(groups, "distance", "Distances from the nearest training sample")
    note = (
        "Root mean square over the values of a sample, as the model sees them. Generated samples much nearer than real "
        f"ones are copies of training data: {_copies(seen)}."
    )
    charts = [Chart(title="Distance from the nearest training sample", svg=svg, note=note)]
    made_N = _made(run, JUDGED)
    blocks: list[Block] = []
    if made_N[0].ndim == 3:
        near_N = _of_training(run, seen.nearest_N[:SHOWN].tolist())
        distances = [number(distance, 2) for distance in seen.distance_N[:SHOWN].tolist()]
        for title, values, captions in (
            ("Generated, and the distance", made_N, distances),
            ("Nearest in training", near_N, [""] * len(distances)),
        ):
            shown = zip(values, captions, strict=False)
            tiles = [tile(run.preprocess.undo(value), SIDE, caption) for value, caption in shown]
            blocks.append(Tiles(title=title, alt=f"{title.lower()}: {len(tiles)} samples", tiles=tiles))
    elif made_N[0].numel() == 2:
        names = [column.name for column in run.source.spec.columns][:2]
        real, made = (_points(run, values) for values in (_inputs(run, "train")[0], made_N))
        charts.insert(0, Chart(title="Samples", svg=figures.clouds(real, made, names)))
    blocks.append(Charts(charts=charts))
    what = "The nearest sample of all training data; distance between values is no likeness of contents."
    return [*blocks, Text(text=what)]


def _points(run: Opened, values: Tensor) -> Floats:
    """Samples of two numbers in their own units, (N, 2)."""
    return np.array([[float(number) for number in run.preprocess.undo(value).values()] for value in values])


def _made(run: Opened, count: int) -> Tensor:
    """Samples in the shape of the data, (N, ...), those that ``generate`` gives for the run's seed."""
    task: Any = run.task
    with predicting(run.model):
        made: Tensor = task.sample(run.model, count, run.config.recipe.seed).float().cpu()
    return made


def _inputs(run: Opened, split: str) -> tuple[Tensor, Tensor | None, Sequence[int]]:
    """Real samples of a split as the model sees them, their targets, and their numbers, evenly spread."""
    samples: Any = run.source.splits[split]
    count = min(JUDGED, len(samples))
    index = torch.linspace(0, len(samples) - 1, count).round().long().tolist()
    batches = [*_batches(run, run.source, split, index)]
    inputs = torch.cat([run.task.input(batch).float().cpu() for batch in batches])  # type: ignore[attr-defined]
    targets = torch.cat([batch["target"] for batch in batches]) if "target" in batches[0] else None
    return inputs, targets, index


def _batches(run: Opened, source: Source, split: str, index: Sequence[int] | None = None) -> Any:
    samples: Any = source.splits[split]
    some = samples if index is None else samples.subset(index)
    return run.preprocess.evaluation_batches(run.preprocess.encode(some, hold=False), run.batch_options)


def _of_training(run: Opened, index: Sequence[int]) -> Tensor:
    """Training samples by number, (N, ...), in this order."""
    order = sorted(set(index))
    found = torch.cat([run.task.input(batch).float() for batch in _batches(run, run.source, "train", order)])  # type: ignore[attr-defined]
    return found[[order.index(i) for i in index]]


def _nearest(run: Opened, x: Tensor, besides: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """Distance from the nearest training sample and its number, (N,) each. ``besides``: x are the training samples of
    these numbers, which are not compared with themselves."""
    flat_NF = x.flatten(1).double()
    least = torch.full((len(x),), torch.inf, dtype=torch.float64)
    where, start = torch.zeros(len(x), dtype=torch.int64), 0
    own = None if besides is None else torch.tensor(besides)
    for batch in _batches(run, run.source, "train"):
        for part in torch.split(run.task.input(batch).flatten(1).double().cpu(), CHUNK):  # type: ignore[attr-defined]
            apart_NM = torch.cdist(flat_NF, part)
            if own is not None:
                inside = (own >= start) & (own < start + len(part))
                apart_NM[inside.nonzero()[:, 0], own[inside] - start] = torch.inf
            found = apart_NM.min(1)
            nearer = found.values < least
            where = torch.where(nearer, found.indices + start, where)
            least = torch.where(nearer, found.values, least)
            start += len(part)
    return least / flat_NF.shape[1] ** 0.5, where


def _gradient_norms(run: Opened, real: Tensor, target: Tensor | None, index: Sequence[int]) -> Tensor:
    """||grad D|| at points drawn evenly between real and generated samples, in evaluation mode, (N, D)."""
    model: Any = run.model
    generator = torch.Generator().manual_seed(run.config.recipe.seed)
    label_B = target if model.generator.classes else None
    x = like(model, {"x": real})["x"]
    with predicting(model):
        z = model.generator.draw(len(real), run.config.recipe.seed)
        made = model.generator(z, label_B).reshape(x.shape).to(x.dtype)
    epsilon = torch.rand(len(x), *[1] * (x.ndim - 1), generator=generator).to(x.dtype)
    mixed = epsilon * x + (1 - epsilon) * made
    norms: Tensor = squared_slopes(model.discriminator.eval(), mixed, label_B).detach().sqrt().float()
    return norms
