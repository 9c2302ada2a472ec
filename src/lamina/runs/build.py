"""From configuration and data to task, preprocessing and model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina import registry
from lamina.cards import Card
from lamina.data.modality import MODALITIES, fit_preprocess
from lamina.data.protocols import BatchOptions, Needs, Preprocess
from lamina.data.source import Source, targets_of
from lamina.data.spec import DataSpec
from lamina.data.streams import Place
from lamina.decoding.decoder import limits
from lamina.errors import UsageError, unknown
from lamina.options.recipe import Recipe
from lamina.randomness import derive
from lamina.runs.config import TrainConfig
from lamina.runs.directory import RunDirectory
from lamina.tasks.base import Task
from lamina.tasks.kind import Objective, TaskKind, TaskSetup
from lamina.tasks.table import AUTO, TASKS, expect_task
from lamina.weights.folders import expect_vocabulary
from lamina.weights.hub import located
from lamina.weights.published import stated_image

DATA_OPTIONS = ("num_classes", "in_channels", "image_size", "in_features", "vocab_size", "source_vocab_size")
"""model options that are derived from the data"""


@dataclass(frozen=True)
class Parts:
    """The components of a training."""

    task: Task
    kind: TaskKind | None
    """the task's row in the table; None for a task of the user's own"""
    preprocess: Preprocess
    model: nn.Module
    variant: bool
    """whether the model is a variant of the registry"""


def build(
    config: TrainConfig,
    source: Source,
    module: nn.Module | None = None,
    resumed: Preprocess | None = None,
    task: Task | None = None,
    *,
    vocabulary: str | None = None,
    judged: bool = False,
) -> Parts:
    """Choose the task, fit the preprocessing, then build model and task for it.

    ``module`` replaces a variant by name, ``task`` a task by name. ``resumed`` is the saved
    preprocessing of a run that is resumed: its mean and standard deviation stay, and its tokenizer. ``vocabulary`` is
    the hash of that of the given weights, which are ``judged`` as they are, or trained on.

    Raises UsageError where model, task and data do not fit each other.
    """
    size = card = defaults = None
    if module is None:
        card = registry.card(config.name)
        row = registry.variant(config.name)
        defaults = registry.configure(row, config.model)  # a misspelt option fails before the data are read
        size, context = getattr(defaults, "image_size", None), getattr(defaults, "context", None)
    else:
        context = limits(module)[1]
    if card is not None:
        _expect_kind(config.name, card, source.spec)
    if task is not None and config.objective is not None:
        raise UsageError("objective is for tasks of the table: a task of your own knows what it minimises")
    kind = choose_task(config, source.spec, card) if task is None else None
    objective = choose_objective(config, kind, card) if kind is not None else None
    named = kind.name if kind is not None else "your own"
    if config.recipe.class_weights and not (source.spec.classes and kind is not None and kind.weighs_classes):
        raise UsageError(f"class_weights: the task is {named}, which has no classes")
    if config.recipe.calibrate and not (kind is not None and kind.calibrates):
        raise UsageError(f"calibrate: the task is {named}, which has neither probabilities nor labels to calibrate")
    if config.recipe.calibrate and "validation" not in source.splits and not (kind is not None and kind.cross_fits):
        raise UsageError("calibrate fits on the validation split: set --validation above 0")
    folder = folder_of(config.weights) if config.weights is not None and resumed is None else None
    needs = Needs(
        options=config.options,
        model=defaults,
        augmentation=config.recipe.augmentation,
        channels=config.model.get("in_channels"),
        size=None if size is None else (size, size),
        context=context,
        memory=config.recipe.memory,
        pretrained=config.weights is not None,
        origin=origin_of(config) if resumed is None else None,
        beside=folder,
        moments=None if folder is None else (stated_image(folder) or {}).get("moments"),
        vocabulary=vocabulary,
        judged=judged,
        resumed=resumed,
        image_range=None if kind is None else kind.image_range,
    )
    preprocess = fit_preprocess(source, needs)
    model = make_model(config, preprocess, kind, objective) if module is None else module
    if config.weights is not None and module is None and resumed is None:
        expect_vocabulary(model, config.name, config.weights)
    if task is None:
        assert kind is not None
        assert objective is not None
        task = task_of(kind, preprocess, config.recipe, objective, targets_of(source.splits["train"]))
    _expect_methods(task, model, config.name)
    return Parts(task, kind, preprocess, model, module is None)


def choose_task(config: TrainConfig, spec: DataSpec, card: Card | None) -> TaskKind:
    """The requested task, else the first of the model's tasks that the data can serve; for a module of the user's
    own the first in the table.

    Raises UsageError for a task that is not known, or that the model or the data cannot serve.
    """
    requested = config.options.task
    expect_task(requested)
    able = card.tasks if card is not None else tuple(TASKS)
    if requested != AUTO:
        kind = TASKS[requested]
        reason = kind.serves(spec)
        if requested not in able:
            nor = "" if reason is None else f"; nor can '{spec.name}' serve it: it {reason}"
            raise UsageError(f"{config.name} can be trained for {either(able)}, not for {requested}{nor}")
        if reason is not None:
            raise UsageError(f"'{spec.name}' cannot serve {requested}: it {reason}")
        _expect_classes(config.name, card, spec)
        return kind
    reasons: dict[str, str] = {}
    for name in able:
        found = TASKS.find(name)
        if found is not None and (found.automatic or card is not None):
            reason = found.serves(spec)
            if reason is None:
                _expect_classes(config.name, card, spec)
                return found
            reasons.setdefault(reason, name)
    broken = "".join(f"; {TASKS.faults[name]}" for name in able if name in TASKS.faults)
    missing = [name for name in able if name not in TASKS]
    if missing:
        raise UsageError(
            f"{config.name} is trained for {either(able)}, and no installed package provides '{missing[0]}'{broken}"
        )
    but = f", but '{spec.name}' {'; it '.join(reasons)}" if reasons else ""
    raise UsageError(f"{config.name} can be trained for {either(able)}{but}{broken}")


def choose_objective(config: TrainConfig, kind: TaskKind, card: Card | None) -> Objective:
    """The requested objective, else the card's, else the task's default.

    Raises UsageError for one that task or model do not have.
    """
    usual, given = None if card is None else card.objective, config.objective
    if given is None and usual is not None and usual not in kind.objectives and not _elsewhere(card, usual):
        raise unknown("objective", usual, kind.objectives)
    objective = kind.objective(given, usual)
    if given is not None and card is not None and card.differentiable_method != "forward" and objective.name != usual:
        raise UsageError(f"{config.name} is trained by '{usual}' alone: its output is a step, which has no gradient")
    return objective


def _elsewhere(card: Card | None, objective: str) -> bool:
    """Whether another of the card's tasks has the objective."""
    kinds = [TASKS.find(name) for name in (() if card is None else card.tasks)]
    return any(kind is not None and objective in kind.objectives for kind in kinds)


def _expect_methods(task: Task, model: nn.Module, name: str) -> None:
    method = task.needs_method
    if method is not None and not hasattr(model, method):
        raise UsageError(
            f"the objective '{task.name}' is for models with a method '{method}', which {name} does not have"
        )


def origin_of(config: TrainConfig) -> Preprocess | None:
    """The preprocessing that the initial weights were trained with, where they are a run's.

    Raises RunError for a run that cannot be read.
    """
    if config.weights is None:
        return None
    run = folder_of(config.weights)
    return RunDirectory.open(run).preprocess() if (run / "preprocess.json").is_file() else None


def folder_of(weights: str) -> Path:
    """The folder that weights are in; of a run's checkpoint, the run."""
    path = located(weights)
    folder = path if path.is_dir() else path.parent
    return folder.parent if folder.name == "checkpoints" else folder


def make_model(
    config: TrainConfig, preprocess: Preprocess, kind: TaskKind | None = None, objective: Objective | None = None
) -> nn.Module:
    """The variant that fits the preprocessed data and the objective, its weights drawn from the recipe's seed."""
    row = registry.variant(config.name)
    fields = {field.name for field in dataclasses.fields(row.config)}
    decided = {name: value for name, value in preprocess.model_options().items() if name in fields}
    for name, value in decided.items():
        requested: Any = config.model.get(name)
        if requested is not None and requested != value:
            raise UsageError(f"model option {name}={requested} does not fit the data, which need {value}")
    if kind is not None and objective is not None:
        decided |= _of_objective(config, kind, objective, preprocess, fields)
    options = registry.configure(row, {**decided, **config.model})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.recipe.seed, "weights"))
        return registry.build(row, options)


def _of_objective(
    config: TrainConfig, kind: TaskKind, objective: Objective, preprocess: Preprocess, fields: set[str]
) -> dict[str, Any]:
    """The model options that the objective decides. Raises UsageError where the model does not have them, or others
    were given."""
    decided = dict(kind.model_options(objective, preprocess))
    for name, value in decided.items():
        if name not in fields:
            raise UsageError(
                f"the objective '{objective.name}' is for models with an option '{name}', not {config.name}"
            )
        if config.model.get(name, value) != value:
            raise UsageError(
                f"model option {name}={config.model[name]} does not fit the objective '{objective.name}', "
                f"whose options need {value}"
            )
    return decided


def card_of(config: TrainConfig, parts: Parts, parameters: int) -> dict[str, Any]:
    """The facts of a trained model, for card.json; for a variant its card and config."""
    facts: dict[str, Any] = {"parameters": parameters}
    facts |= {"own_task": type(parts.task).__name__} if parts.kind is None else {"task": parts.kind.name}
    if parts.variant:
        facts = {"variant": config.name, "card": dataclasses.asdict(registry.card(config.name)), **facts}
        facts["config"] = dataclasses.asdict(parts.model.config)  # type: ignore[call-overload] # Module's Any
    packages = {
        "model": registry.package(config.name) if parts.variant else None,
        "modality": MODALITIES.package(parts.preprocess.kind),
        "task": None if parts.kind is None else TASKS.package(parts.kind.name),
    }
    if any(packages.values()):  # named where the run is opened without them
        facts["packages"] = {what: package for what, package in packages.items() if package is not None}
    return facts


def task_of(
    kind: TaskKind, preprocess: Preprocess, recipe: Recipe, objective: Objective, targets: Tensor | None = None
) -> Task:
    """A task of the table, for preprocessed data. ``targets`` are the training split's."""
    return kind.make(TaskSetup(preprocess=preprocess, recipe=recipe, objective=objective, targets=targets))


def batch_options(recipe: Recipe, task: Task, model: nn.Module, place: Place | None = None) -> BatchOptions:
    """The options that determine the batches. Several players, or sides, may rely on batches of one size."""
    return BatchOptions(
        recipe=recipe,
        task=task.name,
        mixes=task.mixes,
        context=limits(model)[1],
        whole=len(task.players) == 1 and not task.sides,
        place=place or Place(),
    )


def _expect_kind(name: str, card: Card, spec: DataSpec) -> None:
    if spec.kind not in card.inputs:
        raise UsageError(f"{name} takes {either(card.inputs)} data, but '{spec.name}' is {spec.kind} data")


def _expect_classes(name: str, card: Card | None, spec: DataSpec) -> None:
    if card is not None and card.classes is not None and len(spec.classes) != card.classes:
        raise UsageError(f"{name} is for {card.classes} classes, but '{spec.name}' has {len(spec.classes)}")


def either(words: tuple[str, ...]) -> str:
    """One, or one of several, in words: "a", "a or b", "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def players_of(parts: Parts) -> dict[str, nn.Module]:
    """The players of the task: parts of the model, or the model itself."""
    if parts.task.players == ("model",):
        return {"model": parts.model}
    return {player: getattr(parts.model, player) for player in parts.task.players}
