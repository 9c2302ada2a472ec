"""Sections of the report of an autoencoder.

Legend: B batch, L latent dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.report.autoencoding import figures
from lamina.report.blocks import Block, Chart, Charts, Section, Table, Text, Tiles
from lamina.report.images import Tile, tile
from lamina.report.wording import DASH, share
from lamina.runs.autoencoding.anomalies import Judged, judge
from lamina.runs.autoencoding.features import LABELS, Features, features
from lamina.runs.autoencoding.generation import along, decoded
from lamina.runs.evaluation import like, predicting, seeded
from lamina.runs.opened import Opened
from lamina.runs.views.training_pictures import training_pictures
from lamina.tasks.base import Batch

SHOWN = 10
"""pictures in a row"""
DIMENSIONS = 8
"""dimensions that are walked along"""
STEPS = 9
BARS = 40
SIDE = 56
GRID = 17
"""points of the vector field along a side"""
METHODS = {"": "the model", "pca_": "PCA", "isolation_forest_": "isolation forest", "one_class_svm_": "one-class SVM"}


def shared_sections(run: Opened, split: str) -> list[Section]:
    """Those of every kind of data: latent dimensions, codes as features, anomalies."""
    found = []
    if (costs := dimension_costs(run, split)) is not None:
        rows = [(f"z{i}", float(costs[i])) for i in costs.argsort(descending=True)[:BARS].tolist()]
        used = int((costs > 0.05).sum())
        note = f"{used} of {len(costs)} dimensions carry more than 0.05 nats; the others are the prior's noise."
        chart = Chart(title="KL divergence by dimension", svg=figures.bars(rows, "nats", "KL by dimension"), note=note)
        found.append(Section(name="latent", title="Latent dimensions", blocks=[Charts(charts=[chart])]))
    if hasattr(run.model, "embed") and len(run.source.splits[split]) > 2:
        found.append(feature_section(features(run, split), run))
    if (judged := judge(run, split)) is not None:
        found.append(anomaly_section(judged))
    return found


def dimension_costs(run: Opened, split: str) -> Tensor | None:
    """The mean KL divergence of each latent dimension on a split, (L,); None for a task without a prior."""
    task: Any = run.task
    if not task.has_prior:
        return None
    total, count = torch.zeros(()), 0
    with predicting(run.model):
        for batch in run.batches(split):
            costs_BL = task.dimension_costs(run.model, task.input(like(run.model, batch))).double().cpu()
            total, count = total + costs_BL.sum(0), count + len(costs_BL)
    return total / count


def feature_section(found: Features, run: Opened) -> Section:
    """Two-dimensional plots side by side, and what the codes are good for."""
    classes, names = found.classes_N, run.source.spec.classes
    of = "codes" if found.latent <= 2 else f"two principal components of {found.latent} codes"
    plots = [
        ("The model", found.codes_N2, of),
        ("PCA", found.pca_N2, "of the inputs"),
        ("t-SNE", found.tsne_N2, "of the inputs"),
    ]
    charts = [
        Chart(title=title, svg=figures.points(xy, classes, names, f"{title}, {note}"), note=note[:1].upper() + note[1:])
        for title, xy, note in plots
    ]
    kinds = {"": "the model", "pca_": f"PCA, {found.latent}", "raw_": "the raw input", "tsne_": "t-SNE"}
    columns = ["features", "trustworthiness", "k-NN", *(f"{labels:,} labels" for labels in LABELS)]
    keys = ["trustworthiness", "knn", *(f"probe_{labels}" for labels in LABELS)]
    rows = [[name, *(_cell(found.scores.get(f"{prefix}{key}"), key) for key in keys)] for prefix, name in kinds.items()]
    note = (
        "Trustworthiness of the plots above: how far neighbours in two dimensions are neighbours of the input; 1: all. "
        "k-NN (10 neighbours) and linear probes: accuracy, new samples mapped by what was fitted on training samples "
        "alone; t-SNE cannot map any."
    )
    blocks: list[Block] = [Charts(charts=charts), Table(title="", columns=columns, rows=rows, note=note)]
    return Section(name="features", title="Codes as features", blocks=blocks)


def _cell(value: float | None, key: str) -> str:
    if value is None:
        return DASH
    return f"{value:.3f}" if key == "trustworthiness" else share(value)


def anomaly_section(judged: Judged) -> Section:
    """How well anomalies are told from the normal class, beside the baselines."""
    metrics = judged.metrics()
    rows = [
        [name, f"{metrics[f'{prefix}auroc']:.3f}", f"{metrics[f'{prefix}auc_pr']:.3f}"]
        for prefix, name in METHODS.items()
        if f"{prefix}auroc" in metrics
    ]
    note = f"Normal: {judged.normal}. The score of the model: {judged.score}."
    if "detected" in metrics:
        found, alarms = share(metrics["detected"]), share(metrics["false_alarms"])
        note += f" Above the dashed threshold: {found} of the anomalies, {alarms} of the normal samples."
    svg = figures.score_histogram(judged.score_N, judged.anomalous_N, judged.threshold)
    blocks: list[Block] = [
        Table(title="", columns=["method", "AUROC", "AUC-PR"], rows=rows, note=note),
        Charts(charts=[Chart(title="Scores", svg=svg)]),
    ]
    return Section(name="anomalies", title="Anomalies", blocks=blocks)


def picture_sections(run: Opened, split: str) -> list[Section]:
    """Reconstructions, also through training; walks along the dimensions that carry most."""
    task, batch = run.task, first_batch(run, split)
    x, seen, out = restored(run, batch)
    rows = [("inputs", x), *([("corrupted", seen)] if seen is not x else []), ("restored", out)]
    blocks: list[Block] = [
        Tiles(title=title[:1].upper() + title[1:], alt=f"{len(values)} {title} pictures", tiles=_tiles(run, values))
        for title, values in rows
    ]
    found = [Section(name="reconstructions", title="Reconstructions", blocks=blocks), *training_pictures(run)]
    if hasattr(run.model, "decode") and (getattr(task, "has_prior", False) or run.fitted):
        found.append(Section(name="traversals", title="Walks through the code", blocks=_walks(run, split)))
    return found


def _walks(run: Opened, split: str) -> list[Block]:
    costs = dimension_costs(run, split)
    if costs is None:
        task: Any = run.task
        costs = task.span(run.model)[1]
    blocks: list[Block] = []
    for axis in costs.argsort(descending=True)[:DIMENSIONS].tolist():
        pictures = decoded(run, along(run, axis, STEPS))
        title, alt = f"z{axis}", f"a walk along dimension {axis} of the code"
        blocks.append(Tiles(title=title, alt=alt, tiles=_tiles(run, pictures)))
    return [*blocks, Text(text="From −3 to 3 standard deviations, the dimensions that carry most first.")]


def row_sections(run: Opened, split: str) -> list[Section]:
    """The error of each column; of a denoiser on two columns, its vector field."""
    task: Any = run.task
    total: dict[str, float] = {}
    count = 0
    with predicting(run.model):
        for batch in run.batches(split):
            x = task.input(like(run.model, batch))
            errors = (task.restore(run.model, x).mean - x).square().sum(0).cpu()
            for name, value in task.attributed(errors).items():
                total[name] = total.get(name, 0.0) + value
            count += len(x)
    rows = sorted(((name, value / count) for name, value in total.items()), key=lambda row: -row[1])[:BARS]
    note = "Mean squared error of the restored column; 1 is that of always giving the mean of a column of numbers."
    charts = [Chart(title="Error by column", svg=figures.bars(rows, "squared error", "Error by column"), note=note)]
    if len(x[0]) == 2 and getattr(task, "corrupt", None) is not None:
        charts.append(_field(run, split))
    return [Section(name="reconstructions", title="Reconstructions", blocks=[Charts(charts=charts)])]


def _field(run: Opened, split: str) -> Chart:
    task: Any = run.task
    x = restored(run, first_batch(run, split, 500))[0].double().cpu().numpy()
    low, high = x.min(0), x.max(0)
    edge = 0.25 * (high - low)
    sides = [np.linspace(low[k] - edge[k], high[k] + edge[k], GRID) for k in (0, 1)]
    at = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    weight = next(run.model.parameters())
    with predicting(run.model):
        to = task.restore(run.model, torch.as_tensor(at).to(weight)).mean.double().cpu().numpy()
    names = list(task.attributed(torch.zeros(2)))
    names = names if len(names) == 2 else ["first feature", "second feature"]
    note = "Arrows from x to its restoration r(x): for small Gaussian noise they point uphill in the data's density."
    return Chart(title="Vector field", svg=figures.vector_field(x, at, to, names), note=note)


def first_batch(run: Opened, split: str, count: int = SHOWN) -> Batch:
    """The first samples of a split, prepared."""
    samples: Any = run.source.splits[split]
    some = samples.subset(range(min(count, len(samples))))
    encoded: Any = run.preprocess.encode(some, hold=True)
    return run.preprocess.prepare({name: torch.clone(value) for name, value in encoded.tensors.items()})


def restored(run: Opened, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The inputs, as the model sees them in training, and what it restores."""
    task: Any = run.task
    x = task.input(like(run.model, batch))
    with seeded(run.model, run.config.recipe.seed, 0):
        seen = task.corrupt(x) if hasattr(task, "corrupt") else x
        return x, seen, task.restore(run.model, seen).mean


def _tiles(run: Opened, values: Tensor | Sequence[Tensor]) -> list[Tile]:
    return [tile(run.preprocess.undo(value.float().cpu()), SIDE) for value in values]
