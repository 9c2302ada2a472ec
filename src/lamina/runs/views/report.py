"""The report of a run: results of its best weights, gathered as plain arrays and rendered."""

from __future__ import annotations

import os
import platform
import shlex
from dataclasses import asdict, fields
from pathlib import Path

import torch

from lamina import registry
from lamina.files import write_whole
from lamina.options.conversion import typed
from lamina.options.recipe import Recipe, grouped
from lamina.report.content import ReportContent
from lamina.report.page import chosen, render_report
from lamina.runs import baselines
from lamina.runs.config import published
from lamina.runs.fitting import fitted_notes
from lamina.runs.views.base import View
from lamina.version import __version__


def write_report(view: View) -> Path:
    """Write ``report.html`` into the run. Raises RunError where it cannot be written."""
    content = report_content(view)
    outcome = chosen(content.outcomes)
    more = view.sections(content, outcome) if outcome is not None else []
    if outcome is not None:
        more = [*more, *baselines.section(view.run, outcome.split, outcome.metrics)]
    page = render_report(content, more).encode()
    if outcome is not None:
        view.run.directory.write("results.json", {"split": outcome.split, "metrics": dict(outcome.metrics)})
    write_whole(view.run.directory.report, lambda file: file.write(page))
    return view.run.directory.report


def report_content(view: View) -> ReportContent:
    """Everything the report shows, computed from the best weights and the run's own data."""
    run = view.run
    spec, status, card = run.source.spec, run.directory.status(), run.card
    facts: dict[str, object] = {
        "parameters": card["parameters"],
        **{f"{spec.counted} in {split}": len(samples) for split, samples in run.source.splits.items()},
        "epochs": len(run.history),
        "minutes": round(status.get("seconds", 0.0) / 60, 2),
        "data hash": spec.fingerprint,
        "command": _command(run.path / "config.yaml", run.config.in_memory),
    }
    splits = [split for split in ("test", "validation") if split in run.source.splits][:1] or ["train"]
    outcomes = [view.outcome(split) for split in splits]
    notes = [note for outcome in outcomes for note in run.shortfalls(outcome.split, outcome.metrics)]
    notes += [
        *fitted_notes(run.card.get("fitted", {}), run.card.get("variant", "")),
        *spec.notes,
        *run.preprocess.notes,
        *(f"left out: {name}" for name in spec.skipped),
    ]
    return ReportContent(
        run=run.directory.name,
        model=run.config.name,
        data=run.config.data_name,
        task=run.task_name,
        classes=run.classes,
        card={**card.get("card", {}), **{f"option {key}": value for key, value in card.get("config", {}).items()}},
        recipe=_flat(run.config.recipe),
        defaults=_defaults(card.get("variant")),
        facts=facts,
        environment=environment(),
        history=run.history,
        outcomes=outcomes,
        internals=view.internals(splits[0]),
        training_samples=view.saved_samples(),
        notes=notes,
        finished=bool(status.get("finished")),
    )


def _command(config: Path, in_memory: bool) -> str:
    """What trains the same again."""
    if in_memory:
        return f"lamina.train(config={str(config)!r}, data=...)"
    return f"lamina train --config {shlex.quote(str(config))}"


def _flat(recipe: Recipe) -> dict[str, object]:
    """The recipe's options in one table, augmentation included."""
    options = asdict(recipe)
    return {**options, **options.pop("augmentation")}


def _defaults(variant: str | None) -> dict[str, object]:
    """The recipe that training takes where nothing is given: the model's own over the library's."""
    own = grouped(published(registry.card(variant).recipe)) if variant and registry.is_model(variant) else {}
    own = {name: value for name, value in own.items() if name in {field.name for field in fields(Recipe)}}
    return _flat(Recipe(**typed(Recipe, own, "recipe option")))


def environment() -> dict[str, object]:
    """Versions and hardware."""
    return {
        "lamina": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
