"""Training: preparation, the loop, and a run directory that is consistent at every moment."""

from __future__ import annotations

import dataclasses
import itertools
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch
from lightning_fabric import Fabric
from torch import nn

from lamina import registry
from lamina.data.formats.memory import MemoryData
from lamina.data.modality import holds
from lamina.data.opening import Data
from lamina.data.protocols import BatchOptions
from lamina.data.source import Source, Split
from lamina.data.streams import Batch, Place, Stream
from lamina.errors import UsageError
from lamina.options.recipe import Augmentation, Recipe
from lamina.runs.advising import advise_on
from lamina.runs.build import Parts, batch_options, build, players_of
from lamina.runs.config import TrainConfig, make_config
from lamina.runs.crossfitting import FOLDS, cross_fitted, wants_cross_fitting
from lamina.runs.data import OpenData, chained, open_for, parts_of, training_parts
from lamina.runs.directory import RunDirectory, check_name
from lamina.runs.evaluation import calls_model, forward_batches, like, measure, predicting
from lamina.runs.finding import find_data
from lamina.runs.finetuning import fine_tuned, scarce
from lamina.runs.fitting import facts_of, fit_recipe, fitted_notes
from lamina.runs.keywords import TrainKwargs
from lamina.runs.loggers.base import followed, loggers_named
from lamina.runs.machine import FOUND, fit_length, fit_machine, with_found
from lamina.runs.places import PLACES, with_places
from lamina.runs.processes.agreement import begin, facts, seen_by_all
from lamina.runs.records import files_of, first_weights, row
from lamina.runs.requested import named_data, requested_options
from lamina.runs.resuming import Position, expect_same_task, find_run, resume_notes, resumed_config, short_name
from lamina.runs.run import Run
from lamina.runs.sample_metrics.judge import sample_metrics
from lamina.runs.views.parts import expect_metric, view_for
from lamina.runs.weights import save_tensors, save_weights
from lamina.tasks.base import Task
from lamina.training.allocation import freed_memory_kept
from lamina.training.checkpoints import load_checkpoint
from lamina.training.engine import Engine
from lamina.training.events import EpochDone, Event, Stopped
from lamina.training.launching import disband, from_the_first_line, launched, with_launcher
from lamina.training.loop import expect_watched, fit
from lamina.training.processes import agreed, current, together
from lamina.training.statistics import first_batches
from lamina.training.stopping import stoppable
from lamina.weights.hub import is_hub
from lamina.weights.loading import Loaded, load_weights


class Training:
    """A prepared training. ``train`` runs it; to observe or stop it, iterate over ``events()``:

    training = lamina.prepare("lenet5", {"data": "digits", "epochs": 5})
    for event in training.events():
        if isinstance(event, EpochDone) and event.validation["accuracy"] > 0.98:
            break
    training.finalize()
    run = training.run
    """

    def __init__(
        self,
        directory: RunDirectory,
        config: TrainConfig,
        source: Source,
        parts: Parts,
        fabric: Fabric,
        resume: bool,
        loaded: Loaded | None = None,
        memory: MemoryData | None = None,
        fitted: Mapping[str, str] | None = None,
    ) -> None:
        self.fitted = fitted or {}
        """the options that were "auto" and are not the recipe's own, and why"""
        self.directory, self.config, self.source, self.parts = directory, config, source, parts
        self.fabric, self.resume, self.loaded, self.memory = fabric, resume, loaded, memory
        # the model's own, counted before the recipe freezes some
        self.parameters = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
        self._positions: dict[Path, Position] = {}
        self.place = Place(fabric.device, fabric.global_rank, fabric.world_size)
        recipe, preprocess = config.recipe, parts.preprocess
        options = batch_options(recipe, parts.task, parts.model, self.place)
        self.validation: Iterable[Batch] | None = None
        with agreed():
            samples = self._samples("train")
            self.streams = self._streams(samples, options)
            as_judged = replace(options, recipe=replace(recipe, augmentation=Augmentation()))
            self._as_judged = self._streams(samples, as_judged)
            if "validation" in source.splits:
                self.validation = chained(
                    preprocess.evaluation_batches(samples, options, workers=recipe.workers)
                    for samples in self._samples("validation").values()
                )
                expect_metric(parts, config.recipe)
        if config.auto or recipe.minutes is not None:
            found, why = fit_machine(config, parts, self.stream, fabric.device)
            self.config = config = with_found(config, found)
            self.fabric = launched(config.recipe) if found else fabric
            self.config, shorter = fit_length(config, parts, self.stream, fabric.device)
            config, recipe = self.config, self.config.recipe
            self.fitted = {**self.fitted, **why, **shorter}
        self.engine = Engine(self.fabric, parts.task, players_of(parts), config.recipe)
        view = view_for(parts)
        self.samples = view.training_samples(parts.task, preprocess, source, recipe.seed)
        self.sample_metrics = sample_metrics(view, parts, recipe, source, directory.path.parent, options)
        expect_watched(self.engine, self.validation is not None)
        before = TrainConfig.of_run(directory).recipe if resume else config.recipe
        self.resume_notes = resume_notes(str(directory.path), before, config.recipe, self._position().share)
        settling: list[str] = []
        if self._position().measures_statistics:
            settling = self.engine.settling_notes(self.stream.per_epoch, self._position().rows, calls_model(parts.task))
        count = recipe.samples(self.stream.per_epoch)
        self.phases = parts.task.phases(count, recipe.batch_size)
        """the phases that training comes to, where it has several"""
        held = source.spec.sizes.get("train", 0)
        for phase in self.phases:
            if phase.batch_size > held:
                raise UsageError(
                    f"batch size {phase.batch_size} at {phase.name} is larger than the training data ({held} samples): "
                    f"use --objective.batch-sizes, none of them above {held}"
                )
        task_notes = (*parts.task.notes, *parts.task.length_notes(count, recipe.batch_size, fabric.world_size))
        notes = (config.notes, source.spec.notes, parts.preprocess.notes, task_notes, self.engine.notes, settling)
        self.notes = [*itertools.chain(*notes), *self.resume_notes]
        """what the user should read"""
        if config.weights is None and not resume and parts.variant:
            few = scarce(registry.card(config.name), config.name, source.spec, self.parameters)
            self.notes += [few] if few else []
        if wants_cross_fitting(config, source, parts):
            self.notes.append(
                f"there are no validation data: thresholds are cross-fitted after training, by {FOLDS} models, each "
                f"trained without one part of {FOLDS} of the training data"
            )

    @property
    def fitted_notes(self) -> list[str]:
        """What was found for options that were "auto", and why."""
        return fitted_notes(self.fitted, self.config.name)

    @property
    def run(self) -> Run:
        task = self.parts.task if self.parts.kind is None else None
        return Run(self.directory.path, model=self.engine.copy_of(self.parts.model), task=task, data=self.memory)

    def events(self) -> Generator[Event]:
        """Train; closing stops cleanly. An EpochDone is yielded once its row and the best weights are on disk."""
        with together(self.directory.checkpoints.stands):
            yield from self._events()

    def _events(self) -> Generator[Event]:
        if not self.fabric.is_global_zero:
            for event in self._fit():
                if isinstance(event, EpochDone):
                    self._weights(event)
                    self._wait_for_samples()
                yield event
            return
        with self.directory.locked():
            self.directory.remove_temporaries()
            self.directory.fitted.unlink(missing_ok=True)  # it may belong to weights that are no longer the best
            (self.directory.path / "results.json").unlink(missing_ok=True)
            self.directory.keep_rows(self._position().rows)
            began, before = time.monotonic(), self.directory.status().get("seconds", 0.0)
            finished = False
            try:
                with closing(self._fit()) as events:
                    for event in events:
                        if isinstance(event, EpochDone):
                            self._keep(event)
                            self._wait_for_samples()
                        finished = isinstance(event, Stopped)
                        yield event
            finally:
                seconds = round(before + time.monotonic() - began, 1)
                status = {"finished": finished, "step": self.engine.step, "seconds": seconds}
                status["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
                self.directory.write("status.json", status)

    def first_steps(self) -> Generator[Event]:
        """Train without writing anything, to time it."""
        return fit(self.engine, self.streams, evaluate=None if self.validation is None else self._evaluate)

    def disband(self) -> None:
        """After the last event: leave the process group."""
        with together(self.directory.checkpoints.stands):
            disband()

    def _wait_for_samples(self) -> None:
        """The first process draws samples after an epoch, which may take longer than a collective call may wait."""
        if self.samples is not None:
            current().gather("samples")

    def _position(self) -> Position:
        """What the latest checkpoint reached; each checkpoint is read once."""
        latest = self.directory.checkpoints.latest() if self.resume else None
        if latest is None:
            return Position()
        if latest not in self._positions:
            state = load_checkpoint(latest, tensors=False)
            measures = state["engine"].get("norm_batches_before") is not None
            self._positions[latest] = Position(
                rows=state["rows"], share=state["engine"]["progress"][1], measures_statistics=measures
            )
        return self._positions[latest]

    def _fit(self) -> Generator[Event]:
        with freed_memory_kept(self.fabric.device):
            yield from fit(
                self.engine,
                self.streams,
                evaluate=None if self.validation is None else self._evaluate,
                forward=self._forward if calls_model(self.parts.task) else None,
                checkpoints=self.directory.checkpoints,
                resume=self.resume,
            )

    def _keep(self, event: EpochDone) -> None:
        self.directory.add_row(row(event))
        with self.engine.averaged():
            model = self._weights(event)
            if event.best:
                vocabulary = getattr(self.parts.preprocess, "vocabulary", None)
                save_weights(model, self.directory.weights, vocabulary)
            if self.samples is not None:
                # growing sequences would be compiled again for every length
                with self.fabric.autocast(), torch.compiler.set_stance("force_eager"):
                    when = {"epoch": event.epoch, "step": event.step}
                    if rows := [{**when, **row} for row in self.samples.rows(model)]:
                        self.directory.add_samples(rows)
                    if (picture := self.samples.picture(model)) is not None:
                        self.directory.add_picture(event.epoch, picture)

    def _weights(self, event: EpochDone) -> nn.Module:
        """The model that is saved and shown after an epoch: of a divided net a copy, which the first process has."""
        return self.engine.whole_model(self.parts.model, event.best or self.samples is not None)

    def _evaluate(self) -> dict[str, float]:
        assert self.validation is not None
        with self.fabric.autocast():
            found = measure(
                self.parts.task, self.parts.model, self.validation, seed=self.config.recipe.seed, place=self.place
            )
            if self.config.recipe.monitor not in (None, *found):
                model, parts = self.engine.whole_model(self.parts.model), self.parts
                if self.fabric.is_global_zero or not self.engine.divided:  # what the first process finds holds for all
                    scores, split = view_for(parts).validation_scores, self.source.splits["validation"]
                    found |= scores(parts.task, parts.preprocess, model, split, self.config.options)
                current().gather("scores")
        return found | self.sample_metrics()  # outside: another network's arithmetic is its own

    def _forward(self) -> None:
        """Evaluate training batches, shuffled and without augmentation: for the running statistics."""
        phase, recipe = self.engine.phase, self.config.recipe
        batch_size = phase.batch_size if phase is not None and phase.batch_size is not None else recipe.batch_size
        # its mode, of norms alone in training, would be compiled anew
        with self.fabric.autocast(), torch.compiler.set_stance("force_eager"):
            batches = first_batches(self._as_judged, batch_size)
            forward_batches(self.parts.task, self.parts.model, batches, seed=recipe.seed, place=self.place)

    @property
    def task_name(self) -> str:
        """The task's name in the table, or the class of a task of the user's own."""
        return type(self.parts.task).__name__ if self.parts.kind is None else self.parts.kind.name

    @property
    def stream(self) -> Stream:
        """The stream that counts epochs: the only one, or the longest."""
        return next(iter(self.streams.values()))

    def _streams(self, samples: Mapping[str, Any], options: BatchOptions) -> dict[str, Stream]:
        """Training batches by name: "train", or one stream for each side or share, the longest, which counts epochs,
        first."""
        made: dict[str, Stream] = {}
        for name, part in samples.items():
            try:
                made[name] = self.parts.preprocess.training_stream(part, options)
            except UsageError as error:
                several = "side" if self.parts.task.sides else "stream" if self.parts.task.shares else ""
                raise UsageError(f"{several} {name}: {error}") if several else error from None
        return dict(sorted(made.items(), key=lambda item: -item[1].per_epoch))

    def _samples(self, split: str) -> dict[str, Any]:
        """A split, or its parts by stream: held on the device or decoded while training, depending on the recipe's
        ``memory``."""
        hold = holds(self.parts.preprocess, self.source, self.config.recipe.memory)
        return {
            name: self.parts.preprocess.encode(part, hold).to(self.fabric.device)
            for name, part in self._parts(split).items()
        }

    def _parts(self, split: str) -> dict[str, Split]:
        if split == "train":
            return training_parts(self.source, self.parts.task, self.config.options.split_seed)
        return parts_of(self.source, split, self.parts.task)

    def finalize(self) -> None:
        """After training: run ``Task.finalize`` with the best weights on the validation split, and save the result
        with the run; ``View.keep`` writes what else belongs to it."""
        if self.fabric.is_global_zero and self.directory.weights.is_file():
            self._finalize()
            self.run.view.keep()

    def _finalize(self) -> None:
        across = wants_cross_fitting(self.config, self.source, self.parts)
        if type(self.parts.task).finalize is Task.finalize or not (across or "validation" in self.source.splits):
            return
        folds = cross_fitted(self.config, self.source, self.parts, self.fabric) if across else []
        run = self.run
        run.task.load_state_dict(self.parts.task.state_dict())

        def batches_of(split: str) -> Iterator[Any]:
            return (like(run.model, batch) for batch in run.batches(split, self.source))

        batches = batches_of("train" if across else "validation")
        with predicting(run.model):
            if across:
                fitted = run.task.finalize_across(run.model, batches, folds)
            else:
                fitted = run.task.finalize(run.model, batches)
            if type(self.parts.task).finalize_training is not Task.finalize_training:
                fitted |= run.task.finalize_training(run.model, batches_of("train"))
        if fitted:
            save_tensors(fitted, self.directory.fitted)


@from_the_first_line()
def prepare(
    model: str | nn.Module | None,
    options: Mapping[str, Any],
    *,
    config: str | None = None,
    name: str | None = None,
    directory: str | Path = "runs",
    resume: bool = False,
    dry: bool = False,
    task: Task | None = None,
    fitted: bool = True,
    opened: OpenData | None = None,
) -> Training:
    """Everything up to the first step: configuration, data, preprocessing, model, run directory.

        training = lamina.prepare("lenet5", {"data": "digits", "epochs": 5, "model": {"activation": "relu"}})
        training.parts.model, training.streams

    ``model`` is a variant's name or a module; ``options`` is flat, like a recipe file. ``task`` is one of your own.
    ``dry`` writes nothing: the result is for inspection, not for training. Unless a recipe is named by ``config``, what
    is not given is "auto" (``runs.fitting``); with ``fitted=False`` it is the model's recipe as it stands. ``opened``:
    the data, where they were opened before, as for advice. Raises UsageError, DataError or RunError.
    """
    options, memory = named_data(options)
    own = model if isinstance(model, nn.Module) else None
    if own is not None:
        label: str | None = type(own).__name__.lower()
    else:
        label = registry.canonical(model) if isinstance(model, str) else None
    parent, reasons = Path(directory), dict[str, str]()
    if resume:
        if config is not None:
            raise UsageError("--resume uses the run's own configuration: leave --config out")
        found = find_run(parent, name, label, options)
        expect_same_task(found, own, task)
        settings = resumed_config(found, label, options)
    else:
        fitted = fitted and config is None
        if label is None and config is None and options.get("data") is not None:
            advice, opened = advise_on(options["data"] if memory is None else memory, options)
            label, options, reasons = advice.model, advice.over(options), {"model": f"{advice.model}: {advice.why}"}
        settings = make_config(label, options, config=config, default_recipe=own is None, fitted=fitted)
        found = None
    planned = found or RunDirectory(parent / (name or f"{settings.name}-{short_name(settings.data)}"))
    check_name(planned.name if name is None else name)
    settings = dataclasses.replace(settings, recipe=with_launcher(settings.recipe, options))
    fabric = launched(settings.recipe)
    compared: dict[str, str] = {}
    with agreed(compared):
        start = first_weights(settings, found)
        place: str | tuple[str, ...] | MemoryData = settings.data if memory is None else memory
        if found is None:
            tasks = registry.card(settings.name).tasks if own is None else ()
            source, options_for = open_for(place, settings.options, tasks, opened)
            settings = dataclasses.replace(settings, options=options_for)
            if start is not None and is_hub(settings.weights or ""):
                recipe, note = fine_tuned(settings.recipe, settings.given, source.spec)
                # what fine-tuning decides is not fitted once more
                auto = settings.auto & {"image_size", *FOUND}
                settings = dataclasses.replace(settings, recipe=recipe, notes=(*settings.notes, note), auto=auto)
            settings, found_for = fit_recipe(settings, facts_of(source, settings))
            reasons |= found_for
        else:
            moved = None if place == TrainConfig.of_run(found).data else place
            place, source = find_data(found, settings.options, moved)
        place = place if isinstance(place, str | tuple) else settings.data
        resumed = None if found is None else found.preprocess()
        parts = build(settings, source, own, resumed, task, vocabulary=None if start is None else start.vocabulary)
        view_for(parts).check_before_training()
        if found is None or found.checkpoints.latest() is None:
            parts.task.initialise(parts.model)
        loaded = None if start is None else load_weights(parts.model, start, reset_head=settings.reset_head)
        compared |= facts(settings, source, parts, found)
    if found is not None:
        seen_by_all(found)
    # errors are raised before anything is written
    training = Training(planned, settings, source, parts, fabric, resume, loaded, memory, reasons)
    if dry:
        return training
    if found is None:
        of_model = (parts, training.parameters, training.fitted, loaded)
        files = partial(files_of, parent / planned.name, training.config, source.spec, *of_model)
        training.directory = begin(parent, planned.name, files)
        return training
    with agreed():
        if fabric.is_global_zero:
            with found.locked():  # raises where another process is training it
                saved = found.read("config.yaml")
                kept = {key: saved[key] for key in ("data", *PLACES) if memory is not None and key in saved}
                found.write("config.yaml", {**with_places(settings.to_dict(), place, found.path), **kept})
    return training


def train(
    model: str | nn.Module | None = None,
    data: Data | None = None,
    *,
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
    loggers: Sequence[str] = (),
    **options: Unpack[TrainKwargs],
) -> Run:
    """Train a model on data and return its run.

        run = lamina.train("lenet5", data="digits", epochs=5)
        run = lamina.train("mlp", data="houses.csv", target="price", objective={"name": "huber", "delta": 2.0})
        run = lamina.train(module, data="iris", epochs=20, name="mine")  # any nn.Module
        run = lamina.train("mlp", data=frame, target="price")
        run = lamina.train("lenet5", data={"train": (images, labels), "test": (more_images, more_labels)})

    ``model``: a variant's name, or any ``nn.Module``. ``task``: a name in the table of tasks, or a ``Task`` of your own
    (default: the first of the model's tasks that the data can serve). ``data``: an embedded set, a path, or
    ``hf:<dataset>@<revision>``; several are the sides of a task with unpaired sets; or data in memory
    (``lamina.data.opening.Data``): a frame, (inputs, labels), lists of texts, pictures or pairs, a data set. Of data in
    memory a run keeps the fingerprint: ``open_run``, ``evaluate`` and ``resume`` take them again as ``data``.
    ``options``: fields of ``Recipe`` and ``DataOptions`` by name; ``model_options``: those of the model; ``recipe``: a
    whole recipe instead of the variant's default. ``weights``: a file of published weights, a run's folder, a name on
    the model's card ("imagenet") or ``hf:<repository>@<revision>`` to start from; ``reset_head`` skips its output layer
    (by default that of classes, for weights of the hub), ``entry`` chooses among those of a checkpoint. The run is
    ``directory/name``; if it exists, ``-2`` is added. ``resume`` continues from the latest checkpoint. Ctrl-C stops
    after the current step, saves and raises KeyboardInterrupt. ``loggers``: "tensorboard", "wandb", "mlflow", which
    follow the training.

    Raises UsageError, DataError, RunError, TrainingError.
    """
    following = loggers_named(loggers)
    requested = requested_options(data, recipe, model_options, weights, reset_head, entry, task, options)
    own_task = task if isinstance(task, Task) else None
    where = {"config": config, "name": name, "directory": directory, "resume": resume, "fitted": recipe is None}
    training = prepare(model, requested, task=own_task, **where)  # type: ignore[arg-type]
    for text in training.resume_notes:
        warnings.warn(text, stacklevel=2)
    for _ in stoppable(followed(training, following)):
        pass
    training.disband()
    training.finalize()
    run = training.run
    if training.fabric.is_global_zero:
        for text in run.validation_shortfalls():
            warnings.warn(text, stacklevel=2)
        if report:
            run.report()
    return run
