"""What a task fits after training, without validation data: by models trained on folds of the training data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lamina import registry
from lamina.data.source import Source
from lamina.data.streams import Batch, Place
from lamina.randomness import derive
from lamina.runs.build import Parts, batch_options, choose_objective, make_model, task_of
from lamina.runs.config import TrainConfig
from lamina.runs.evaluation import like, predicting
from lamina.training.engine import Engine
from lamina.training.loop import fit

FOLDS = 3


def wants_cross_fitting(config: TrainConfig, source: Source, parts: Parts) -> bool:
    """Whether a threshold is asked for, by a normal class or ``calibrate``, and there are no validation data."""
    asked = config.options.normal is not None or config.recipe.calibrate
    able = parts.kind is not None and parts.kind.cross_fits and parts.variant
    able = able and config.weights is None and config.recipe.processes == 1
    return asked and able and "validation" not in source.splits and len(source.splits["train"]) >= 2 * FOLDS


def cross_fitted(config: TrainConfig, source: Source, parts: Parts, fabric: Fabric) -> list[dict[str, Tensor]]:
    """``Task.held_out`` of each fold of the training data, by a model that was trained as the run is, without it."""
    assert parts.kind is not None
    train: Any = source.splits["train"]
    generator = torch.Generator().manual_seed(derive(config.recipe.seed, "cross-fitting"))
    order = torch.randperm(len(train), generator=generator)
    return [_fold(config, parts, fabric, train, order, fold) for fold in range(FOLDS)]


def _fold(config: TrainConfig, parts: Parts, fabric: Fabric, train: Any, order: Tensor, fold: int) -> dict[str, Tensor]:
    kind, preprocess = parts.kind, parts.preprocess
    assert kind is not None
    is_held_out = torch.arange(len(order)) % FOLDS == fold
    rest, held_out = (order[chosen].sort().values.tolist() for chosen in (~is_held_out, is_held_out))
    recipe = replace(config.recipe, batch_size=min(config.recipe.batch_size, len(rest)), checkpoint_every=None)
    objective = choose_objective(config, kind, registry.card(config.name))
    model = make_model(config, preprocess, kind, objective)
    task = task_of(kind, preprocess, recipe, objective)
    engine = Engine(fabric, task, {"model": model}, recipe)
    options = batch_options(recipe, task, model, Place(fabric.device))
    samples = preprocess.encode(train.subset(rest)).to(fabric.device)
    for _ in fit(engine, {"train": preprocess.training_stream(samples, options)}):
        pass

    def batches(index: Sequence[int]) -> Iterable[Batch]:
        part = preprocess.encode(train.subset(index)).to(fabric.device)
        return (like(model, batch) for batch in preprocess.evaluation_batches(part, options))

    with engine.averaged(), predicting(model):
        task.load_finalized(task.finalize(model, batches(rest)))
        return task.held_out(model, batches(held_out))
