"""From a configuration and a source to what is trained: preprocessing fitted on the training split, model, task."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina import registry
from lamina.data.image.preprocess import ImagePreprocess, Moments
from lamina.data.preprocess import Preprocess, fit_preprocess
from lamina.data.source import Source, labelled
from lamina.data.spec import DataSpec
from lamina.data.text.preprocess import TextPreprocess
from lamina.decoding.decoder import limits
from lamina.errors import UsageError, unknown
from lamina.options.recipe import Recipe
from lamina.randomness import derive
from lamina.runs.config import TrainConfig
from lamina.runs.directory import RunDirectory
from lamina.tasks.base import Task
from lamina.tasks.classification import Classification, Multilabel, class_weights
from lamina.tasks.language_modelling import LanguageModelling
from lamina.tasks.perceptron import PerceptronRule
from lamina.tasks.rbf import RBFMaximumAPosteriori
from lamina.tasks.regression import Regression
from lamina.tasks.text_classification import TextClassification, TextMultilabel, TextRegression
from lamina.tasks.translation import Translation

DATA_OPTIONS = ("num_classes", "in_channels", "image_size", "in_features", "vocab_size", "source_vocab_size")
"""options of a model that the data decide"""
OBJECTIVES: dict[str, type[PerceptronRule | RBFMaximumAPosteriori]] = {
    "perceptron-rule": PerceptronRule,
    "rbf-map": RBFMaximumAPosteriori,
}
"""classifications with a loss of their own, as cards name them"""
IMAGENET: Moments = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""of ImageNet's training images, as published weights expect them"""


@dataclass(frozen=True)
class Parts:
    """What a training puts together."""

    task: Task
    preprocess: Preprocess
    model: nn.Module
    variant: bool
    """whether the model is a variant of the registry, which its name can build again"""


def build(
    config: TrainConfig,
    source: Source,
    module: nn.Module | None = None,
    begun: Preprocess | None = None,
) -> Parts:
    """Fit the preprocessing, then build model and task to it.

    ``module`` takes the place of a variant by name. ``begun`` is the saved preprocessing of a run that is resumed: its
    mean and standard deviation stay, and its tokenizer.

    Raises UsageError where model and data do not fit each other.
    """
    if module is None:
        _check_fit(config.name, source.spec)
        objective = registry.card(config.name).objective
        row = registry.variant(config.name)
        defaults = registry.configure(row, config.model)  # a misspelt option is told before the data are read through
        size = getattr(defaults, "image_size", None)
        context = getattr(defaults, "context", None)
    else:
        size = objective = None
        context = limits(module)[1]
    if isinstance(begun, TextPreprocess):
        preprocess: Preprocess = begun
    else:
        preprocess = fit_preprocess(
            source,
            channels=config.model.get("in_channels"),
            size=None if size is None else (size, size),
            resize=config.recipe.resize,
            crop=config.recipe.crop,
            moments=_moments(config, source.spec) if begun is None else _moments_of(begun),
            covariance=config.recipe.colour_pca > 0,
            memory=config.recipe.memory,
            options=config.options,
            context=context,
        )
    model = make_model(config, preprocess) if module is None else module
    weights = None
    if config.recipe.class_weights:
        if not source.spec.classes:
            raise UsageError(f"class_weights: the task is {source.spec.task}, which has no classes")
        weights = class_weights(labelled(source.splits["train"]).targets, len(source.spec.classes))
    return Parts(make_task(preprocess, config.recipe, objective, weights), preprocess, model, module is None)


def _moments(config: TrainConfig, spec: DataSpec) -> Moments | None:
    """Mean and standard deviation of images that do not come from the data: the recipe's, or those that the weights
    which training begins with were trained under. Raises RunError where that is a run that cannot be read."""
    match config.recipe.normalisation:
        case "imagenet":
            return IMAGENET
        case "half":
            return (0.5,) * 3, (0.5,) * 3
        case "auto" if config.weights is not None and spec.kind == "image":
            path = Path(config.weights)
            run = path if path.is_dir() else path.parent
            if (run / "preprocess.json").is_file():
                return _moments_of(RunDirectory.open(run).preprocess())
            channels = config.model.get("in_channels") or spec.channels or 3
            return IMAGENET if channels == 3 else None
    return None


def _moments_of(saved: Preprocess) -> Moments | None:
    """Those of a saved preprocessing of images; None for any other."""
    return (saved.mean, saved.std) if isinstance(saved, ImagePreprocess) else None


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


def make_task(
    preprocess: Preprocess, recipe: Recipe, objective: str | None = None, weights: torch.Tensor | None = None
) -> Task:
    """The task that the preprocessed targets call for, in the form that the card's ``objective`` names.

    Raises UsageError for an objective that is not known, and for label smoothing where one is: it has none.
    """
    if isinstance(preprocess, TextPreprocess):
        return _text_task(preprocess, recipe, weights)
    outputs, key = preprocess.model_options()["num_classes"], preprocess.input_key
    match preprocess.target.task:
        case "classification" if objective is not None:
            if objective not in OBJECTIVES:
                raise unknown("objective", objective, OBJECTIVES)
            if recipe.label_smoothing:
                raise UsageError(f"label_smoothing smooths cross-entropy, but the objective is '{objective}'")
            return OBJECTIVES[objective](outputs, key, class_weights=weights)
        case "classification":
            return Classification(outputs, key, label_smoothing=recipe.label_smoothing, class_weights=weights)
        case "multilabel":
            return Multilabel(outputs, key, label_smoothing=recipe.label_smoothing, class_weights=weights)
        case "regression":
            return Regression(torch.tensor(preprocess.target.mean), torch.tensor(preprocess.target.std), key)
    raise UsageError(f"{preprocess.target.task} takes text, but the data are {preprocess.kind} data")


def _text_task(preprocess: TextPreprocess, recipe: Recipe, weights: torch.Tensor | None) -> Task:
    target, code, smoothing = preprocess.target, preprocess.code, recipe.label_smoothing
    match target.task:
        case "language-modelling":
            return LanguageModelling(code.characters_V, label_smoothing=smoothing)
        case "translation":
            assert code.begin is not None
            assert code.end is not None
            return Translation(code.begin, code.end, label_smoothing=smoothing)
        case "classification":
            return TextClassification(target.outputs, label_smoothing=smoothing, class_weights=weights)
        case "multilabel":
            return TextMultilabel(target.outputs, label_smoothing=smoothing, class_weights=weights)
        case "regression":
            return TextRegression(torch.tensor(target.mean), torch.tensor(target.std))


def _check_fit(name: str, spec: DataSpec) -> None:
    card = registry.card(name)
    if spec.kind not in card.inputs:
        raise UsageError(f"{name} takes {_either(card.inputs)} data, but '{spec.name}' is {spec.kind} data")
    if spec.task not in card.tasks:
        raise UsageError(f"{name} can be trained for {_either(card.tasks)}, but '{spec.name}' calls for {spec.task}")
    if card.classes is not None and len(spec.classes) != card.classes:
        raise UsageError(f"{name} tells {card.classes} classes apart, but '{spec.name}' has {len(spec.classes)}")


def _either(words: tuple[str, ...]) -> str:
    return " or ".join(words)
