"""Inspection of an autoencoder with one picture.

Legend: L numbers of a code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.report.autoencoding.inspection import AutoencoderPage, Walk
from lamina.report.wording import number, share
from lamina.runs.autoencoding.generation import along, decoded
from lamina.runs.evaluation import like, predicting
from lamina.runs.opened import Opened

WALKED = 6
STEPS = 9


@dataclass(frozen=True)
class AutoencoderInspection:
    """What is seen of one input."""

    x_CHW: Tensor
    restored_CHW: Tensor
    error_CHW: Tensor
    """squared error of each value"""
    score: float
    code_L: Tensor
    spread_L: Tensor | None
    """standard deviation of q(z|x); None for a model without a distribution of codes"""


def inspect_picture(run: Opened, item: Any) -> AutoencoderPage:
    """``Run.inspect`` for autoencoders of pictures, with its page. Raises UsageError or DataError."""
    task: Any = run.task
    (batch,) = run.preprocess.input_batches(item)
    with predicting(run.model):
        x = task.input(like(run.model, batch))
        task.likelihood.check(x)
        restored = task.restore(run.model, x)
        score = float(task.score_of(task.score, run.model, x, restored))
        code_L = task.code(run.model, x, restored)[0].float().cpu()
        q = getattr(run.model, "encode", lambda _: None)(x) if task.has_prior else None
    out = restored.mean[0].float().cpu()
    error_CHW = (out - x[0].float().cpu()).square()
    seen = AutoencoderInspection(
        x[0].float().cpu(), out, error_CHW, score, code_L, None if q is None else (0.5 * q[1][0]).exp().float().cpu()
    )
    threshold = task.usual_threshold()
    words = [("score", f"{number(score)} ({task.score})")]
    if threshold is not None:
        verdict = "anomalous" if score > threshold else "normal"
        words += [("threshold", number(threshold)), ("verdict", verdict)]
    words.append(("blame", ", ".join(f"{part['name']} {share(part['share'])}" for part in task.blamed(error_CHW))))
    error_HW = error_CHW.sum(0)
    return AutoencoderPage(
        name=run.directory.name,
        model=run.config.name,
        image=Path(item).name if isinstance(item, str | Path) else "an image",
        seen=seen,
        picture_HWC=run.preprocess.undo(seen.x_CHW),
        restored_HWC=run.preprocess.undo(out),
        error_HW=(error_HW / error_HW.max().clamp_min(1e-12)).numpy(),
        predictions=words,
        code=[(f"z{i}", float(value)) for i, value in enumerate(code_L.tolist())][:40],
        walks=_walks(run, code_L),
        facts={"model": run.config.name, "weights": f"the best of {run.path}", "data": run.config.data_name},
    )


def _walks(run: Opened, code_L: Tensor) -> list[Walk]:
    """Along the dimensions of which this code says most: those furthest from the middle."""
    task: Any = run.task
    if not hasattr(run.model, "decode") or not (task.has_prior or run.fitted):
        return []
    middle, deviation = task.span(run.model)
    away_L = ((code_L.double() - middle.double()) / deviation.double().clamp_min(1e-12)).abs()
    return [
        Walk(
            name=f"z{axis}",
            pictures=[run.preprocess.undo(value) for value in decoded(run, along(run, axis, STEPS, code_L))],
        )
        for axis in torch.argsort(away_L, descending=True)[:WALKED].tolist()
    ]
