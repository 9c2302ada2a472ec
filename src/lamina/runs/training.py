"""Train: prepare everything, run the loop, keep the run directory true at every moment."""

from __future__ import annotations

import dataclasses
import logging
import signal
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from lamina import registry
from lamina.data.modality import holds
from lamina.data.protocols import BatchOptions
from lamina.data.source import Source
from lamina.data.streams import Batch, Place, Stream
from lamina.errors import RunError, UsageError
from lamina.options.recipe import Recipe
from lamina.runs.build import Parts, batch_options, build
from lamina.runs.config import TrainConfig, make_config
from lamina.runs.data import chained, open_data, parts_of
from lamina.runs.directory import RunDirectory, check_name
from lamina.runs.evaluation import like, measure, predicting
from lamina.runs.run import Run
from lamina.runs.views.base import View
from lamina.runs.views.table import view_of
from lamina.runs.weights import digest, save_tensors, save_weights
from lamina.tasks.base import Task
from lamina.training.allocation import freed_memory_kept
from lamina.training.checkpoints import load_checkpoint
from lamina.training.engine import FABRIC_PRECISION, Engine
from lamina.training.events import EpochDone, Event, Stopped
from lamina.training.loop import expect_watched, fit
from lamina.weights.loading import Loaded, load_weights
from lamina.weights.reading import StateDict, read_state_dict

LENGTHS = ("epochs", "steps", "images")
MAY_CHANGE = (*LENGTHS, "checkpoint_every", "patience", "devices", "accelerator", "workers", "memory")
"""recipe options that a resumed run may have otherwise than it began"""


class Training:
    """A training about to run or under way: iterate over ``events()``, or let ``train`` do it."""

    def __init__(
        self,
        directory: RunDirectory,
        config: TrainConfig,
        source: Source,
        parts: Parts,
        fabric: Fabric,
        resume: bool,
        loaded: Loaded | None = None,
    ) -> None:
        self.directory, self.config, self.source, self.parts = directory, config, source, parts
        self.fabric, self.resume, self.loaded = fabric, resume, loaded
        # the model's own, counted before the recipe freezes some
        self.parameters = sum(p.numel() for p in parts.model.parameters() if p.requires_grad)
        self.engine = Engine(fabric, parts.task, _players(parts), config.recipe)
        self.place = Place(fabric.device, fabric.global_rank, fabric.world_size)
        recipe, preprocess = config.recipe, parts.preprocess
        options = batch_options(recipe, parts.task, parts.model, self.place)
        self.streams = self._streams(options)
        self.validation: Iterable[Batch] | None = None
        if "validation" in source.splits:
            self.validation = chained(
                preprocess.evaluation_batches(samples, options, workers=recipe.workers)
                for samples in self._samples("validation").values()
            )
        self.samples = view_for(parts).training_samples(parts.task, preprocess, source, recipe.seed)
        expect_watched(self.engine, self.validation is not None)

    @property
    def run(self) -> Run:
        task = self.parts.task if self.parts.kind is None else None
        return Run(self.directory.path, model=self.parts.model, task=task)

    def events(self) -> Generator[Event]:
        """Train; closing stops cleanly. An EpochDone is yielded when its row and the best weights are on the disk."""
        if not self.fabric.is_global_zero:
            yield from self._fit()
            return
        with self.directory.locked():
            self.directory.remove_temporaries()
            self.directory.fitted.unlink(missing_ok=True)  # it is of weights that may not be the best any more
            self.directory.keep_rows(self._rows_of_checkpoint())
            began, before = time.monotonic(), self.directory.status().get("seconds", 0.0)
            finished = False
            try:
                with closing(self._fit()) as events:
                    for event in events:
                        if isinstance(event, EpochDone):
                            self._keep(event)
                        finished = isinstance(event, Stopped)
                        yield event
            finally:
                seconds = round(before + time.monotonic() - began, 1)
                status = {"finished": finished, "step": self.engine.step, "seconds": seconds}
                self.directory.write("status.json", status)

    def disband(self) -> None:
        """After the last event: end the work with the other processes, so that each may go on (or end) alone."""
        if self.fabric.world_size > 1:
            self.fabric.barrier()
            torch.distributed.destroy_process_group()

    def _fit(self) -> Generator[Event]:
        with freed_memory_kept(self.fabric.device):
            yield from fit(
                self.engine,
                self.streams,
                evaluate=None if self.validation is None else self._evaluate,
                checkpoints=self.directory.checkpoints,
                resume=self.resume,
            )

    def _keep(self, event: EpochDone) -> None:
        self.directory.add_row(_row(event))
        with self.engine.averaged():
            if event.best:
                save_weights(self.parts.model, self.directory.weights)
            if self.samples is not None:
                # what a compiler would make of one more token every time is not worth its while
                with self.fabric.autocast(), torch.compiler.set_stance("force_eager"):
                    when = {"epoch": event.epoch, "step": event.step}
                    self.directory.add_samples({**when, **row} for row in self.samples.rows(self.parts.model))

    def _rows_of_checkpoint(self) -> int:
        latest = self.directory.checkpoints.latest() if self.resume else None
        return 0 if latest is None else int(load_checkpoint(latest)["rows"])

    def _evaluate(self) -> dict[str, float]:
        assert self.validation is not None
        with self.fabric.autocast():
            return measure(
                self.parts.task, self.parts.model, self.validation, seed=self.config.recipe.seed, place=self.place
            )

    @property
    def task_name(self) -> str:
        """The task's name in the table, or the class of a task of the user's own."""
        return type(self.parts.task).__name__ if self.parts.kind is None else self.parts.kind.name

    @property
    def stream(self) -> Stream:
        """The stream that counts epochs: the only one, or the longest."""
        return next(iter(self.streams.values()))

    def _streams(self, options: BatchOptions) -> dict[str, Stream]:
        """Training batches by name: "train", or one stream for each side, the longest, which counts epochs, first."""
        made: dict[str, Stream] = {}
        for name, samples in self._samples("train").items():
            try:
                made[name] = self.parts.preprocess.training_stream(samples, options)
            except UsageError as error:
                raise UsageError(f"side {name}: {error}") if self.parts.task.sides else error from None
        return dict(sorted(made.items(), key=lambda item: -item[1].per_epoch))

    def _samples(self, split: str) -> dict[str, Any]:
        """A split, or that of each side: held on the device, or decoded while training, as the recipe's ``memory``
        says."""
        hold = holds(self.parts.preprocess, self.source, self.config.recipe.memory)
        return {
            name: self.parts.preprocess.encode(part, hold).to(self.fabric.device)
            for name, part in parts_of(self.source, split, self.parts.task).items()
        }

    def finalize(self) -> None:
        """Once training is over: fit on the validation split what the task fits under its best weights, and keep it
        with the run."""
        if not self.fabric.is_global_zero or not self.directory.weights.is_file():
            return
        if "validation" not in self.source.splits or type(self.parts.task).finalize is Task.finalize:
            return
        run = self.run
        batches = run.batches("validation", self.source)
        with predicting(run.model):
            fitted = run.task.finalize(run.model, (like(run.model, batch) for batch in batches))
        if fitted:
            save_tensors(fitted, self.directory.fitted)


def prepare(
    model: str | nn.Module | None,
    asked: Mapping[str, Any],
    *,
    config: str | None = None,
    name: str | None = None,
    directory: str | Path = "runs",
    resume: bool = False,
    dry: bool = False,
    task: Task | None = None,
) -> Training:
    """Everything up to the first step: configuration, data, preprocessing, model, run directory.

    ``model`` is a variant's name or a module of the user's; ``asked`` is flat, as a recipe file is:
    ``{"data": "digits", "epochs": 5, "model": {"activation": "relu"}}``. ``task`` is one of the user's own. ``dry``
    writes nothing: what it returns is to be looked at, not trained. Raises UsageError, DataError or RunError.
    """
    own = model if isinstance(model, nn.Module) else None
    if own is not None:
        label: str | None = type(own).__name__.lower()
    else:
        label = registry.canonical(model) if isinstance(model, str) else None
    parent = Path(directory)
    if resume:
        if config is not None:
            raise UsageError("--resume goes on with the run's own configuration: leave --config out")
        found = _find(parent, name, label, asked)
        wanted = _resumed(found, label, asked)
    else:
        wanted = make_config(label, asked, config=config, default_recipe=own is None)
        found = None
    planned = found or RunDirectory(parent / (name or f"{wanted.name}-{_short(wanted.data)}"))
    check_name(planned.name if name is None else name)
    fabric = _fabric(wanted.recipe)
    begin = _first_weights(wanted, found)
    source = open_data(wanted.data, wanted.options)
    if found is not None and found.read("data.json")["fingerprint"] != source.spec.fingerprint:
        raise RunError(f"the data of {found.path} are not those it was begun with: '{wanted.data_name}' has changed")
    parts = build(wanted, source, own, None if found is None else found.preprocess(), task)
    view_for(parts).check_before_training()
    loaded = None if begin is None else load_weights(parts.model, begin, reset_head=wanted.reset_head)
    # what does not fit is told before we write
    training = Training(planned, wanted, source, parts, fabric, resume, loaded)
    if dry:
        return training
    if found is None:
        training.directory = _begin(parent, planned.name, training)
    elif fabric.is_global_zero:
        with found.locked():  # another process may be training it: then this is the place to stop
            found.write("config.yaml", wanted.to_dict())
    return training


def train(
    model: str | nn.Module | None = None,
    data: str | Sequence[str] | None = None,
    *,
    recipe: Recipe | None = None,
    model_options: Mapping[str, Any] | None = None,
    config: str | None = None,
    name: str | None = None,
    directory: str | Path = "runs",
    resume: bool = False,
    report: bool = True,
    weights: str | Path | None = None,
    reset_head: bool = False,
    task: str | Task | None = None,
    **options: Any,
) -> Run:
    """Train a model on data, and return its run: ``lamina.train("lenet5", data="digits", epochs=5)``.

    ``model``: a variant's name, or any ``nn.Module``. ``task``: a name in the table of tasks, or a ``Task`` of your own
    (default: the first of the model's tasks that the data can serve). ``data``: an embedded set, a path, or
    ``hf:<dataset>@<revision>``; several are the sides of a task that draws from unpaired sets. ``options``: fields of
    ``Recipe`` and ``DataOptions`` by name; ``model_options`` the model's own; ``recipe`` a whole recipe in place of the
    variant's default. ``weights``: a file of published weights, or a run's folder, to begin with; ``reset_head`` leaves
    its output layer out. The run is ``directory/name``; a name that is taken gets ``-2``. ``resume`` goes on from the
    latest checkpoint. Ctrl-C stops after the step under way, saves and raises KeyboardInterrupt.

    Raises UsageError, DataError, RunError, TrainingError.
    """
    whole = {} if recipe is None else dataclasses.asdict(recipe)
    asked = {**whole, **options, "data": data, "model": dict(model_options or {})}
    own_task = task if isinstance(task, Task) else None
    asked |= {} if own_task is not None else {"task": task}
    asked |= {"weights": None if weights is None else str(weights), "reset_head": reset_head or None}
    training = prepare(model, asked, config=config, name=name, directory=directory, resume=resume, task=own_task)
    for _ in stoppable(training.events()):
        pass
    training.disband()
    training.finalize()
    run = training.run
    if report and training.fabric.is_global_zero:
        run.report()
    return run


def stoppable(events: Generator[Event]) -> Iterator[Event]:
    """The same events; SIGINT and SIGTERM stop after the step under way, save, and then raise KeyboardInterrupt.

    Outside the main thread signals cannot be caught, and the events pass unchanged.
    """
    with closing(events), _caught_signals() as caught:
        for event in events:
            yield event
            if caught:
                events.close()
                raise KeyboardInterrupt(signal.Signals(caught[0]).name)


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    caught: list[int] = []
    try:
        before = {s: signal.signal(s, lambda number, _: caught.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def view_for(parts: Parts) -> type[View]:
    """The row of the table of views that a run of these parts will have."""
    return view_of("" if parts.kind is None else parts.kind.name, parts.preprocess.kind)


def _players(parts: Parts) -> dict[str, nn.Module]:
    if parts.task.players == ("model",):
        return {"model": parts.model}
    return {player: getattr(parts.model, player) for player in parts.task.players}


def _row(event: EpochDone) -> dict[str, float]:
    return {
        "epoch": event.epoch,
        "step": event.step,
        "lr": event.lr,
        **{f"train_{name}": value for name, value in event.train.items()},
        **{f"validation_{name}": value for name, value in event.validation.items()},
        "best": int(event.best),
    }


def _fabric(recipe: Recipe) -> Fabric:
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    strategy = "ddp" if recipe.devices > 1 else "auto"
    try:
        fabric = Fabric(
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            strategy=strategy,
            precision=FABRIC_PRECISION[recipe.precision],
        )
    except (RuntimeError, ValueError, AssertionError) as error:
        where = f"accelerator '{recipe.accelerator}' with {recipe.devices} devices"
        raise UsageError(f"cannot train on {where}: {error}") from None
    if recipe.devices > 1:
        fabric.launch()
    return fabric


def _short(data: str | Sequence[str]) -> str:
    """The last part of a data source's name, fit for a folder's name; of several sources those of all."""
    if not isinstance(data, str):
        return "-".join(map(_short, data))
    stem = data.removeprefix("hf:").split("@")[0].rstrip("/").split("/")[-1].split(".")[0]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stem) or "data"


def _find(parent: Path, name: str | None, label: str | None, asked: Mapping[str, Any]) -> RunDirectory:
    if name is None:
        if label is None or not asked.get("data"):
            raise UsageError("--resume needs the run's --name, or the model and --data it was begun with")
        name = f"{label}-{_short(asked['data'])}"
    return RunDirectory.open(parent / name)


def _resumed(found: RunDirectory, label: str | None, asked: Mapping[str, Any]) -> TrainConfig:
    """The run's own configuration, with what may change changed. Raises UsageError where anything else is asked."""
    begun = TrainConfig.from_dict(found.read("config.yaml"))
    if label is not None and label != begun.name:
        raise UsageError(f"{found.path} trains {begun.name}, not {label}")
    stated = {key: value for key, value in begun.to_dict().items() if key != "format"}
    given = {key: value for key, value in asked.items() if value is not None}
    longer = any(key in given for key in LENGTHS)
    base = {key: value for key, value in stated.items() if not (longer and key in LENGTHS)}
    model = {**begun.model, **given.get("model", {})}
    wanted = make_config(begun.name, {**base, **given, "model": model}, default_recipe=False)
    for key, value in wanted.to_dict().items():
        if key in stated and stated[key] != value and key not in MAY_CHANGE:
            was = f"{key}={stated[key]}"
            raise UsageError(f"{found.path} was begun with {was}; it cannot be resumed with {key}={value}")
    return wanted


def _first_weights(config: TrainConfig, found: RunDirectory | None) -> StateDict | None:
    """The weights to begin with; None where there are none, and for a run that a checkpoint will bring back.

    Raises RunError where a run without a checkpoint would begin again with other weights.
    """
    if config.weights is None or (found is not None and found.checkpoints.latest() is not None):
        return None
    state = read_state_dict(config.weights)
    if found is not None and found.read("card.json")["weights"]["sha256"] != digest(state.path):
        raise RunError(f"{state.path} is not the file of weights that {found.path} was begun with: it has changed")
    return state


def _begin(parent: Path, name: str, training: Training) -> RunDirectory:
    config, fabric = training.config, training.fabric
    path = ""
    if fabric.is_global_zero:
        files: dict[str, Mapping[str, Any]] = {
            "config.yaml": config.to_dict(),
            "data.json": dataclasses.asdict(training.source.spec),
            **training.parts.preprocess.files(),
            "card.json": _card(config, training) | _origin(training.loaded),
        }
        path = str(RunDirectory.create(parent, name, files).path)
    if fabric.world_size > 1:
        path = fabric.broadcast(path)
    return RunDirectory(Path(path))


def _origin(loaded: Loaded | None) -> dict[str, Any]:
    """Where the weights came from that training begins with."""
    if loaded is None:
        return {}
    return {"weights": {"file": str(loaded.file), "sha256": digest(loaded.file), "names": loaded.source}}


def _card(config: TrainConfig, training: Training) -> dict[str, Any]:
    """The facts of the trained model; of a variant its card, and the options it was built with."""
    parts = training.parts
    facts: dict[str, Any] = {"parameters": training.parameters}
    facts |= {"own_task": type(parts.task).__name__} if parts.kind is None else {"task": parts.kind.name}
    if parts.variant:
        facts = {"variant": config.name, "card": dataclasses.asdict(registry.card(config.name)), **facts}
        facts["config"] = dataclasses.asdict(parts.model.config)  # type: ignore[call-overload] # Module's Any
    return facts
