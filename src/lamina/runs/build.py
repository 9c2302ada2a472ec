"""From a configuration and a source to what is trained: task, preprocessing fitted on the training split, model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina import registry
from lamina.cards import Card
from lamina.data.modality import fit_preprocess
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

DATA_OPTIONS = ("num_classes", "in_channels", "image_size", "in_features", "vocab_size", "source_vocab_size")
"""options of a model that the data decide"""


@dataclass(frozen=True)
class Parts:
    """What a training puts together."""

    task: Task
    kind: TaskKind | None
    """the task's row in the table; None for a task of the user's own"""
    preprocess: Preprocess
    model: nn.Module
    variant: bool
    """whether the model is a variant of the registry, which its name can build again"""


def build(
    config: TrainConfig,
    source: Source,
    module: nn.Module | None = None,
    resumed: Preprocess | None = None,
    task: Task | None = None,
) -> Parts:
    """Choose the task, fit the preprocessing, then build model and task to it.

    ``module`` takes the place of a variant by name, ``task`` that of a task by name. ``resumed`` is the saved
    preprocessing of a run that is resumed: its mean and standard deviation stay, and its tokenizer.

    Raises UsageError where model, task and data do not fit each other.
    """
    size = card = None
    if module is None:
        card = registry.card(config.name)
        row = registry.variant(config.name)
        defaults = registry.configure(row, config.model)  # a misspelt option is told before the data are read through
        size, context = getattr(defaults, "image_size", None), getattr(defaults, "context", None)
    else:
        context = limits(module)[1]
    kind = choose_task(config, source.spec, card) if task is None else None
    objective = choose_objective(config, kind, card) if kind is not None else None
    named = kind.name if kind is not None else "your own"
    if config.recipe.class_weights and not (source.spec.classes and kind is not None and kind.weighs_classes):
        raise UsageError(f"class_weights: the task is {named}, which has no classes")
    if config.recipe.calibrate and not (kind is not None and kind.calibrates):
        raise UsageError(f"calibrate: the task is {named}, which has neither probabilities nor labels to calibrate")
    if config.recipe.calibrate and "validation" not in source.splits:
        raise UsageError("calibrate fits on the validation split: set --validation above 0")
    needs = Needs(
        options=config.options,
        augmentation=config.recipe.augmentation,
        channels=config.model.get("in_channels"),
        size=None if size is None else (size, size),
        context=context,
        memory=config.recipe.memory,
        pretrained=config.weights is not None,
        origin=_origin(config),
        resumed=resumed,
    )
    preprocess = fit_preprocess(source, needs)
    model = make_model(config, preprocess) if module is None else module
    if task is None:
        assert kind is not None
        assert objective is not None
        task = task_of(kind, preprocess, config.recipe, objective, targets_of(source.splits["train"]))
    _expect_methods(task, model, config.name)
    return Parts(task, kind, preprocess, model, module is None)


def choose_task(config: TrainConfig, spec: DataSpec, card: Card | None) -> TaskKind:
    """The task that was asked for, else the first of the model's that the data can serve; for a module of the user's
    own that which the data call for.

    Raises UsageError for a task that is not known, or that the model or the data cannot serve.
    """
    wanted = config.options.task
    expect_task(wanted)
    if card is not None:
        _expect_kind(config.name, card, spec)
    able = card.tasks if card is not None else tuple(TASKS)
    if wanted != AUTO:
        kind = TASKS[wanted]
        if wanted not in able:
            raise UsageError(f"{config.name} can be trained for {either(able)}, not for {wanted}")
        if (reason := kind.serves(spec)) is not None:
            raise UsageError(f"'{spec.name}' cannot serve {wanted}: it {reason}")
        return kind
    reasons: dict[str, str] = {}
    for name in able:
        if name in TASKS:
            reason = TASKS[name].serves(spec)
            if reason is None:
                _expect_classes(config.name, card, spec)
                return TASKS[name]
            reasons.setdefault(reason, name)
    missing = [name for name in able if name not in TASKS]
    if missing:
        raise UsageError(f"{config.name} is trained for {either(able)}, and no installed package has '{missing[0]}'")
    raise UsageError(
        f"{config.name} can be trained for {either(able)}, but '{spec.name}' {'; it '.join(reasons)}"
        + (" (--task regression takes class numbers as values)" if _numbers_as_classes(able, spec) else "")
    )


def _numbers_as_classes(able: tuple[str, ...], spec: DataSpec) -> bool:
    """Whether the model predicts values, and the classes of the data are numbers."""
    return "regression" in able and bool(spec.classes) and all(_is_number(name) for name in spec.classes)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def choose_objective(config: TrainConfig, kind: TaskKind, card: Card | None) -> Objective:
    """The objective that was asked for, else the card's, else the task's usual one.

    Raises UsageError for one that task or model do not have.
    """
    given, usual = config.objective, None if card is None else card.objective
    if given is None and usual is not None and usual not in kind.objectives and not _elsewhere(card, usual):
        raise unknown("objective", usual, kind.objectives)
    objective = objective_of(kind, given, usual)
    if given is not None and card is not None and card.differentiable_method != "forward" and objective.name != usual:
        raise UsageError(f"{config.name} is trained by '{usual}' alone: its output is a step, which has no gradient")
    return objective


def objective_of(kind: TaskKind, given: str | Mapping[str, Any] | None, usual: str | None) -> Objective:
    """The objective that a configuration gives; options without a name are those of the model's ``usual`` one.

    Raises UsageError for one that the task does not have.
    """
    usual = usual if usual in kind.objectives else None
    if given is None:
        return kind.objective(usual)
    if usual is not None and not isinstance(given, str) and "name" not in given:
        given = {"name": usual, **given}
    return kind.objective(given)


def _elsewhere(card: Card | None, objective: str) -> bool:
    """Whether another of the card's tasks has the objective."""
    return card is not None and any(name in TASKS and objective in TASKS[name].objectives for name in card.tasks)


def _expect_methods(task: Task, model: nn.Module, name: str) -> None:
    method = task.needs_method
    if method is not None and not hasattr(model, method):
        raise UsageError(f"the objective '{task.name}' is for models with a method '{method}', which {name} has not")


def _origin(config: TrainConfig) -> Preprocess | None:
    """The preprocess that the weights which training begins with were trained under, where they are a run's.

    Raises RunError where that is a run that cannot be read.
    """
    if config.weights is None:
        return None
    path = Path(config.weights)
    run = path if path.is_dir() else path.parent
    return RunDirectory.open(run).preprocess() if (run / "preprocess.json").is_file() else None


def make_model(config: TrainConfig, preprocess: Preprocess) -> nn.Module:
    """The variant that fits the preprocessed data, its weights drawn from the recipe's seed."""
    row = registry.variant(config.name)
    fields = {field.name for field in dataclasses.fields(row.config)}
    decided = {name: value for name, value in preprocess.model_options().items() if name in fields}
    for name in DATA_OPTIONS:
        asked: Any = config.model.get(name)
        if asked is not None and asked != decided.get(name, asked):
            raise UsageError(f"model option {name}={asked} does not fit the data, which call for {decided[name]}")
    options = registry.configure(row, {**decided, **config.model})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.recipe.seed, "weights"))
        return registry.build(row, options)


def task_of(
    kind: TaskKind, preprocess: Preprocess, recipe: Recipe, objective: Objective, targets: Tensor | None = None
) -> Task:
    """A task of the table, for preprocessed data. ``targets`` are the training split's."""
    return kind.make(TaskSetup(preprocess=preprocess, recipe=recipe, objective=objective, targets=targets))


def batch_options(recipe: Recipe, task: Task, model: nn.Module, place: Place | None = None) -> BatchOptions:
    """What decides how batches are made."""
    return BatchOptions(
        recipe=recipe, task=task.name, mixes=task.mixes, context=limits(model)[1], place=place or Place()
    )


def _expect_kind(name: str, card: Card, spec: DataSpec) -> None:
    if spec.kind not in card.inputs:
        raise UsageError(f"{name} takes {either(card.inputs)} data, but '{spec.name}' is {spec.kind} data")


def _expect_classes(name: str, card: Card | None, spec: DataSpec) -> None:
    if card is not None and card.classes is not None and len(spec.classes) != card.classes:
        raise UsageError(f"{name} tells {card.classes} classes apart, but '{spec.name}' has {len(spec.classes)}")


def either(words: tuple[str, ...]) -> str:
    """One, or one of several, in words."""
    return " or ".join(words)
