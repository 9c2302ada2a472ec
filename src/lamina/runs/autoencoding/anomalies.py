"""Anomalies judged on a split with classes: one is normal, the others are not; baselines beside.

Legend: N samples, F features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamina.data.source import Source, targets_of
from lamina.data.streams import Batch
from lamina.errors import UsageError, unknown
from lamina.runs.autoencoding.baselines import Floats, baseline_scores, ranked
from lamina.runs.opened import Opened, final_split


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Scores of the samples of a split."""

    normal: str
    score: str
    """what they are judged by"""
    score_N: Floats
    anomalous_N: np.ndarray[Any, np.dtype[np.bool_]]
    baselines: dict[str, Floats]
    threshold: float | None
    """None: there are too few normal validation samples"""

    def metrics(self) -> dict[str, float]:
        """ "auroc" and "auc_pr", of the model and, named before them, of the baselines; at the usual threshold the
        share of anomalies "detected", and of normal samples that are "false_alarms"."""
        found = ranked(self.score_N, self.anomalous_N)
        if self.threshold is not None:
            above_N = self.score_N > self.threshold
            found["detected"] = float(above_N[self.anomalous_N].mean())
            found["false_alarms"] = float(above_N[~self.anomalous_N].mean())
        for name, score_N in self.baselines.items():
            found |= {f"{name}_{metric}": value for metric, value in ranked(score_N, self.anomalous_N).items()}
        return found


def judge(
    run: Opened, split: str | None, source: Source | None = None, normal: str | None = None, score: str | None = None
) -> Judged | None:
    """Scores of the model and of the baselines on a split; None where nothing says which class is normal, and for a
    split of normal samples alone in a run that was trained on one class.

    Raises UsageError for a class that is not there, or that is everything.
    """
    class_name = run.config.options.normal if normal is None else normal
    source = run.source if source is None else source
    split = final_split(source) if split is None else split
    if class_name is None or split not in source.splits:
        return None
    classes, targets = source.spec.classes, targets_of(source.splits[split])
    if targets is None or not classes:
        raise UsageError(f"--normal {class_name} names a class, but {source.spec.name} has no classes")
    if class_name not in classes:
        raise unknown("class", class_name, classes)
    anomalous_N = (targets != classes.index(class_name)).numpy()
    if anomalous_N.all() or not anomalous_N.any():
        if normal is None and not anomalous_N.any():
            return None
        what = "is of that class: none is an anomaly" if not anomalous_N.any() else "is of another class"
        raise UsageError(f"--normal {class_name}: every sample of {split} {what}")
    task: Any = run.task
    task = task.judging(score)
    found = run.predictions(split, source, task)["score"].double().numpy()
    held_out = inputs(run, "validation") if "validation" in run.source.splits else None
    return Judged(
        normal=class_name,
        score=task.score,
        score_N=found,
        anomalous_N=anomalous_N,
        baselines=baseline_scores(inputs(run, "train"), held_out, inputs(run, split, source), run.config.recipe.seed),
        threshold=task.usual_threshold(),
    )


def inputs(run: Opened, split: str, source: Source | None = None, most: int | None = None) -> Floats:
    """The inputs of the model on a split, (N, F), at most so many."""
    task: Any = run.task
    batches: Iterable[Batch] = run.batches(split, source)
    parts, count = [], 0
    for batch in batches:
        parts.append(task.input(batch).flatten(1).double().cpu())
        count += len(parts[-1])
        if most is not None and count >= most:
            break
    return torch.cat(parts)[:most].numpy()
