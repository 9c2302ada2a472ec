"""Cross-validation: a run for each fold, and the mean and standard deviation of their test metrics."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from torch import nn

from lamina import registry
from lamina.errors import RunError, UsageError
from lamina.files import write_whole
from lamina.options.launcher import several
from lamina.options.recipe import Recipe
from lamina.runs.config import LENGTHS, TrainConfig, make_config
from lamina.runs.directory import RunDirectory, check_name
from lamina.runs.requested import named_data, requested_options
from lamina.runs.resuming import short_name
from lamina.runs.run import Run
from lamina.runs.training import Training, prepare
from lamina.tasks.base import Task
from lamina.training.stopping import stoppable

RESULT = "folds.json"


@dataclass(frozen=True)
class Folds:
    """The runs of a cross-validation and their metrics on the folds they were tested on.

    Example: ``lamina.cross_validate("mlp", "iris", folds=5).mean["accuracy"]``
    """

    path: Path
    """the folder of the runs; ``folds.json`` in it holds the metrics"""
    runs: Sequence[Run]
    metrics: Sequence[Mapping[str, float]]
    """of each run on its test split"""

    @property
    def mean(self) -> dict[str, float]:
        """The mean of each metric over the folds."""
        return {name: fmean(row[name] for row in self.metrics) for name in self._names}

    @property
    def std(self) -> dict[str, float]:
        """The standard deviation of each metric over the folds (with K - 1 in the denominator)."""
        return {name: stdev(row[name] for row in self.metrics) for name in self._names}

    @property
    def _names(self) -> list[str]:
        return [name for name in self.metrics[0] if all(name in row for row in self.metrics)]

    def to_dict(self) -> dict[str, Any]:
        """As in ``folds.json``."""
        folds = [{"run": str(run.path), **row} for run, row in zip(self.runs, self.metrics, strict=True)]
        return {"folds": len(self.runs), "mean": self.mean, "std": self.std, "metrics": folds}


class CrossValidation:
    """A cross-validation in a folder of its own, a run in it for each fold: ``fold1``, ``fold2``, ...

    Iterate over ``pending`` and train each; then ``result``. One that was stopped is resumed where it was: folds that
    are finished stay.
    """

    def __init__(
        self,
        model: str | nn.Module | None,
        options: Mapping[str, Any],
        *,
        config: str | None = None,
        name: str | None = None,
        directory: str | Path = "runs",
        resume: bool = False,
        task: Task | None = None,
    ) -> None:
        self.model, self.config, self.task = model, config, task
        options, self.memory = named_data({key: value for key, value in options.items() if value is not None})
        self.options = options if self.memory is None else {**options, "data": self.memory}
        self.resume = resume
        if isinstance(model, nn.Module):
            label: str | None = type(model).__name__.lower()
        else:
            label = registry.canonical(model) if isinstance(model, str) else None
        if resume:
            self.path = Path(directory) / (name or f"{label}-{short_name(options['data'])}-folds")
            if not is_cross_validation(self.path):
                raise UsageError(f"no such cross-validation: {self.path} has no run fold1")
            settings = TrainConfig.of_run(RunDirectory.open(self.path / "fold1"))
            if options.get("folds") not in (None, settings.options.folds):
                raise UsageError(f"{self.path} has {settings.options.folds} folds: it cannot be resumed with others")
            self.options |= {"folds": settings.options.folds}
            self._saved: dict[str, Any] = {key: value for key, value in settings.to_dict().items() if key != "format"}
        else:
            settings = make_config(label, options, config=config, default_recipe=isinstance(model, str | None))
            self.path = _free(Path(directory), name or f"{settings.name}-{short_name(settings.data)}-folds")
            self._saved = {}
        if settings.recipe.devices > 1 or several():
            raise UsageError("folds are trained one after another on one device: --fold N trains one on several")
        self.count = settings.options.folds or 0

    def directory(self, fold: int) -> RunDirectory:
        """The run of a fold, whether it exists or not."""
        return RunDirectory(self.path / f"fold{fold}")

    def pending(self, *, dry: bool = False) -> Iterator[tuple[int, Training]]:
        """The number and the prepared training of each fold that is not finished, each after the one before is."""
        longer = any(key in self.options for key in LENGTHS)
        saved = {key: value for key, value in self._saved.items() if not (longer and key in LENGTHS)}
        for fold in range(1, self.count + 1):
            directory = self.directory(fold)
            exists = directory.path.exists()
            if exists and directory.status().get("finished") and not longer:
                continue
            model = copy.deepcopy(self.model) if isinstance(self.model, nn.Module) else self.model
            options = {**self.options, "fold": fold}
            if not exists:
                own = {**saved.get("model", {}), **self.options.get("model", {})}
                model, options = model or saved.get("name"), {**saved, **options, "model": own}
            training = prepare(
                model,
                options,
                config=None if self.resume else self.config,
                name=directory.name,
                directory=self.path,
                resume=exists,
                dry=dry,
                task=copy.deepcopy(self.task),
            )
            self._keep({key: value for key, value in self._kept().items() if key != str(fold)}, dry)
            yield fold, training

    def tested(self, fold: int, run: Run | None = None) -> dict[str, float]:
        """The metrics of a finished fold on its test split, kept in the folder."""
        kept = self._kept()
        if str(fold) not in kept:
            run = run or self._run(fold)
            kept[str(fold)] = {name: float(value) for name, value in run.evaluate("test").items()}
            self._keep(kept)
        return kept[str(fold)]

    def result(self) -> Folds:
        """All folds, once each is trained; writes ``folds.json``."""
        rows = [self.tested(fold) for fold in range(1, self.count + 1)]
        found = Folds(self.path, [self._run(fold) for fold in range(1, self.count + 1)], rows)
        self._write({**found.to_dict(), "tested": self._kept()})
        return found

    def _run(self, fold: int) -> Run:
        own = copy.deepcopy(self.model) if isinstance(self.model, nn.Module) else None
        return Run(self.directory(fold).path, model=own, task=copy.deepcopy(self.task), data=self.memory)

    def _kept(self) -> dict[str, dict[str, float]]:
        path = self.path / RESULT
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))["tested"])
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{path} cannot be read: remove it, and the folds are tested again") from None

    def _keep(self, rows: Mapping[str, Mapping[str, float]], dry: bool = False) -> None:
        if rows and not dry:
            self._write({"folds": self.count, "tested": rows})

    def _write(self, content: Mapping[str, Any]) -> None:
        text = json.dumps(content, indent=1) + "\n"
        write_whole(self.path / RESULT, lambda file: file.write(text.encode()))


def is_cross_validation(path: Path) -> bool:
    """Whether a folder is that of a cross-validation."""
    return not (path / "config.yaml").exists() and (path / "fold1" / "config.yaml").is_file()


def cross_validate(
    model: str | nn.Module | None = None,
    data: Any = None,
    *,
    folds: int | None = None,
    recipe: Recipe | None = None,
    model_options: Mapping[str, Any] | None = None,
    config: str | None = None,
    name: str | None = None,
    directory: str | Path = "runs",
    resume: bool = False,
    report: bool = True,
    weights: str | Path | None = None,
    reset_head: bool | None = None,
    entry: str | None = None,
    task: str | Task | None = None,
    **options: Any,
) -> Folds:
    """Train on each of K folds, the others in turn, and return the runs with their test metrics.

        found = lamina.cross_validate("mlp", data="houses.csv", target="price", folds=5)
        found.mean["rmse"], found.std["rmse"]
        lamina.cross_validate("mlp", data="visits.csv", target="ill", folds=5, group="patient")

    The folds are equal parts of the data, drawn by ``split_seed``, with the class proportions of the whole, and with
    ``group`` no group in two of them. Each is the test split of one run; the validation split is drawn from the others.
    The runs are ``fold1`` to ``foldK`` in the folder ``directory/name``, as is ``folds.json`` with the metrics.
    ``resume`` goes on with one that was stopped. All other arguments are those of ``lamina.train``; a module of your
    own is copied for each fold.

    Raises UsageError, DataError, RunError, TrainingError.
    """
    given = requested_options(
        data, recipe, model_options, weights, reset_head, entry, task, {**options, "folds": folds, "fold": None}
    )
    own_task = task if isinstance(task, Task) else None
    whole = CrossValidation(model, given, config=config, name=name, directory=directory, resume=resume, task=own_task)
    if not whole.count:
        raise UsageError("cross_validate needs the number of folds: folds=5")
    for fold, training in whole.pending():
        for _ in stoppable(training.events()):
            pass
        training.finalize()
        run = training.run
        for text in run.shortfalls("test", whole.tested(fold, run)):
            warnings.warn(f"fold {fold}: {text}", stacklevel=2)
        if report:
            run.report()
    return whole.result()


def _free(parent: Path, name: str) -> Path:
    """``name`` in a folder, or ``name-2``, ``name-3``, ... where that is taken."""
    check_name(name)
    number = 1
    while (path := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path
