"""The report of a run: what its best weights say, gathered as plain arrays and rendered."""

from __future__ import annotations

import os
import platform
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.data.source import ImageFiles, Table, Text, Texts, labelled
from lamina.data.streams import Batch, InMemory
from lamina.evaluation_mode import evaluation_mode
from lamina.files import write_whole
from lamina.inspection.gradients import gradient_flow
from lamina.inspection.importance import permutation_importance
from lamina.report.content import Array, Inside, Mistake, Outcome, ReportContent
from lamina.report.page import render_report
from lamina.runs.evaluation import like, measure
from lamina.runs.text.report import running_outcome, telling_outcome, told, translated_outcome, written_of
from lamina.tasks.base import EngineAtRest
from lamina.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from lamina.runs.run import Run

MISTAKES = 24  # shown at most
IMPORTANCE_ROWS = 1000  # rows of a table that importance is measured on at most
GRADIENT_SAMPLES = 256


def write_report(run: Run) -> Path:
    """Write ``report.html`` into the run. Raises RunError where it cannot be written."""
    page = render_report(report_content(run)).encode()
    write_whole(run.directory.report, lambda file: file.write(page))
    return run.directory.report


def report_content(run: Run) -> ReportContent:
    """Everything the report shows, computed from the best weights and the run's own data."""
    spec, status = run.source.spec, run.directory.status()
    card = run.directory.read("card.json")
    facts: dict[str, object] = {
        "parameters": card["parameters"],
        **{
            f"{'characters' if isinstance(samples, Text) else 'samples'} in {split}": len(samples)
            for split, samples in run.source.splits.items()
        },
        "epochs": len(run.history),
        "minutes": round(status.get("seconds", 0.0) / 60, 2),
        "data hash": spec.fingerprint,
        "command": f"lamina train --config {shlex.quote(str(run.path / 'config.yaml'))}",
    }
    notes = [*run.preprocess.notes, *(f"left out: {name}" for name in spec.skipped)]
    splits = [split for split in ("test", "validation") if split in run.source.splits][:1] or ["train"]
    return ReportContent(
        run=run.directory.name,
        model=run.config.name,
        data=run.config.data,
        task=run.preprocess.target.task,
        classes=run.classes,
        card={**card.get("card", {}), **{f"option {key}": value for key, value in card.get("config", {}).items()}},
        recipe=asdict(run.config.recipe),
        facts=facts,
        environment=environment(),
        history=run.history,
        outcomes=[_outcome(run, split) for split in splits],
        inside=_inside(run, splits[0]),
        written=written_of(run),
        notes=notes,
        finished=bool(status.get("finished")),
    )


def environment() -> dict[str, object]:
    """Where this ran: what a reader needs to judge a difference."""
    return {
        "lamina": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _outcome(run: Run, split: str) -> Outcome:
    match run.task.name:
        case "language-modelling":
            return running_outcome(run, split)
        case "translation":
            return translated_outcome(run, split)
    found = run.outcome(split)
    truth = run.preprocess.target.decode(found["target"])
    said = found["values"] if "values" in found else found["probabilities"]
    return Outcome(
        split=split,
        metrics=run.evaluate(split),
        truth=truth.numpy(),
        said=said.numpy(),
        mistakes=_mistakes(run, split, truth, said),
        text=telling_outcome(run, split) if run.preprocess.kind == "text" else None,
    )


def _mistakes(run: Run, split: str, truth: Tensor, said: Tensor) -> list[Mistake]:
    """The most confident wrong predictions; for regression the largest errors."""
    names, task = run.classes, run.preprocess.target.task
    if task == "regression":
        error_NK = said - truth
        scaled_NK = error_NK.abs() / torch.tensor(run.preprocess.target.std)
        worst, output = scaled_NK.max(1)
        order = worst.argsort(descending=True)[:MISTAKES].tolist()
        several = len(names) > 1
        return [
            Mistake(
                truth=(f"{names[k]} " if several else "") + f"{truth[i, k]:.6g}",
                said=f"{said[i, k]:.6g}",
                error=float(error_NK[i, k]),
                **_sample(run, split, i, k),
            )
            for i in order
            for k in [int(output[i])]
        ]
    if task == "multilabel":
        sure_NK = torch.where(truth > 0.5, 1 - said, said)  # confidence in the wrong answer
        worst, label = sure_NK.max(1)
        wrong = [i for i in worst.argsort(descending=True).tolist() if worst[i] > 0.5][:MISTAKES]
        return [
            Mistake(
                truth=names[k] if truth[i, k] > 0.5 else f"not {names[k]}",
                said=f"not {names[k]}" if truth[i, k] > 0.5 else names[k],
                probability=float(worst[i]),
                **_sample(run, split, i, k),
            )
            for i in wrong
            for k in [int(label[i])]
        ]
    probability, answer = said.max(1)
    wrong = [i for i in probability.argsort(descending=True).tolist() if answer[i] != truth[i]][:MISTAKES]
    return [
        Mistake(
            truth=names[int(truth[i])],
            said=names[int(answer[i])],
            probability=float(probability[i]),
            **_sample(run, split, i, int(answer[i])),
        )
        for i in wrong
    ]


def _sample(run: Run, split: str, index: int, output: int) -> dict[str, Any]:
    """Where a sample comes from and what it looks like, as fields of Mistake; ``output`` is the one told wrong."""
    samples = run.source.splits[split]
    if isinstance(samples, Texts):
        return told(run, split, index, output)
    if isinstance(samples, Table):
        return {"where": f"{split} row {index}", "values": samples.frame.iloc[index].to_dict()}
    where = samples.paths[index].name if isinstance(samples, ImageFiles) else f"{split} image {index}"
    return {"where": where, "image_HWC": _picture(run, split, index)}


def _picture(run: Run, split: str, index: int) -> Array:
    """One image as the model gets it, before normalisation: (H, W, C) uint8."""
    one = run.preprocess.encode(labelled(run.source.splits[split]).subset([index]), hold=True)
    assert isinstance(one, InMemory)
    low, high = run.source.spec.value_range
    image_CHW = (one.tensors["image"][0].float() - low) / (high - low)
    picture: Array = (image_CHW.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return picture


def _inside(run: Run, split: str) -> Inside:
    found: dict[str, Any] = {}
    if run.preprocess.kind == "text":
        return Inside(gradients=_gradients(run))
    if run.preprocess.kind == "image":
        convolutions = [m for m in run.model.modules() if isinstance(m, nn.Conv2d)]
        if convolutions:
            found["filters_OIHW"] = convolutions[0].weight.detach().float().numpy()
        if hasattr(run.model, "features"):
            found["example_HWC"] = _picture(run, split, 0)
            found["maps"] = _maps(run, split)
    else:
        found["importance"] = _importance(run, split)
    return Inside(gradients=_gradients(run), **found)


def _maps(run: Run, split: str) -> list[tuple[str, np.ndarray[Any, Any]]]:
    one = run.preprocess.encode(labelled(run.source.splits[split]).subset([0]), hold=True)
    assert isinstance(one, InMemory)
    batch = like(run.model, run.preprocess.prepare(one.tensors))
    with evaluation_mode(run.model), torch.no_grad():
        maps = run.model.features(batch[run.preprocess.input_key])  # type: ignore[operator]
    return [(f"stage {i}", stage[0].float().numpy()) for i, stage in enumerate(maps)]


def _gradients(run: Run) -> list[tuple[str, float]]:
    """On the first training samples, with dropout and batch statistics off: the model as it is used."""
    if run.preprocess.kind == "text":
        first = next(iter(run.batches("train")))
        return gradient_flow(run.model, lambda model: run.task.loss(model, first, EngineAtRest())[0])
    train = labelled(run.source.splits["train"])
    some = train.subset(range(min(GRADIENT_SAMPLES, len(train))))
    samples = run.preprocess.encode(some, hold=True)
    assert isinstance(samples, InMemory)
    batch: Batch = like(run.model, run.preprocess.prepare(samples.tensors))
    return gradient_flow(run.model, lambda model: run.task.loss(model, batch, EngineAtRest())[0])


def _importance(run: Run, split: str) -> list[tuple[str, float, float]]:
    table = run.source.splits[split]
    assert isinstance(table, Table)
    part = table.subset(range(min(IMPORTANCE_ROWS, len(table))))
    name, mode = {"regression": ("r2", "max")}.get(run.preprocess.target.task, run.task.monitor or ("loss", "min"))

    def score(frame: pd.DataFrame) -> float:
        samples = run.preprocess.encode(Table(frame, part.targets), hold=True)
        assert isinstance(samples, InMemory)
        with evaluation_mode(run.model), torch.no_grad():
            value = measure(run.task, run.model, [run.preprocess.prepare(samples.tensors)])[name]
        return value if mode == "max" else -value

    return permutation_importance(score, part.frame, seed=run.config.recipe.seed)
