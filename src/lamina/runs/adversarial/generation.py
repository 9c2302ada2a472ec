"""What a trained generator makes: of codes drawn by seed, on the way between two of them, during training.

Legend: B batch, L latent dimensions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.errors import RunError, UsageError, unknown
from lamina.randomness import derive
from lamina.runs.code_paths import between
from lamina.runs.evaluation import predicting
from lamina.runs.opened import Opened
from lamina.tasks.adversarial.options import AdversarialSampleOptions
from lamina.training.checkpoints import load_checkpoint
from lamina.training.statistics import RunningStatistics

GENERATOR = "generator"


def samples(
    task: Any, model: nn.Module, preprocess: Preprocess, count: int, seed: int, label: int | None = None
) -> list[Any]:
    """Pictures (H, W, C) uint8, or rows, the i-th a function of seed and i."""
    with predicting(model):
        values = task.sample(model, count, seed, label).float().cpu()
    return [preprocess.undo(value) for value in values]


def generated(run: Opened, options: AdversarialSampleOptions) -> list[Any]:
    """Pictures (H, W, C) uint8, or rows, as the options ask for. Raises UsageError, RunError."""
    if options.over_training:
        return kept_pictures(run)
    model: Any = raw_model(run) if options.raw else run.model
    label = None if options.label is None else class_number(run, options.label)
    z_BL = codes(run, model.generator, options)
    measured = nullcontext() if options.recalibrate is None else recalibrated(run, model, options.recalibrate)
    with predicting(model), measured:
        task: Any = run.task
        values = task.decode(model, z_BL, label).float().cpu()
    return [run.preprocess.undo(value) for value in values]


def codes(run: Opened, generator: Any, options: AdversarialSampleOptions) -> Tensor:
    """The codes (B, L): drawn, or on the way from one to another. Raises UsageError."""
    if options.interpolate is None:
        drawn: Tensor = generator.draw(options.count, options.seed)
        return drawn
    if generator.classes and options.label is None:
        raise UsageError(f"interpolate stays in one class, and {run.path} is conditional: give label (--label)")
    i, j = options.interpolate
    drawn = generator.draw(max(i, j) + 1, options.seed).double()
    path = options.path or {"normal": "spherical"}.get(generator.prior, "linear")
    share_B = torch.linspace(0, 1, options.count, dtype=torch.float64, device=drawn.device)
    return between(drawn[i], drawn[j], share_B, path).to(next(generator.parameters()))


def class_number(run: Opened, name: str) -> int:
    """The number of a class. Raises UsageError for a label that the run does not have."""
    model: Any = run.model
    names = run.preprocess.target.classes
    if not model.generator.classes:
        hint = f"train with --model.classes {len(names)}" if names else "its data have no classes"
        raise UsageError(f"label '{name}': {run.path} is not conditional ({hint})")
    if name not in names:
        raise unknown("label", name, names)
    return names.index(name)


def raw_model(run: Opened) -> nn.Module:
    """The model with the generator's weights as the last checkpoint has them, not averaged. Raises RunError where the
    run has no checkpoint."""
    latest = run.directory.checkpoints.latest()
    if latest is None:
        raise RunError(f"{run.path} has no checkpoint, which would hold the weights that are not averaged")
    model: Any = copy.deepcopy(run.model)
    model.generator.load_state_dict(load_checkpoint(latest)["engine"]["models"][GENERATOR])
    return model  # type: ignore[no-any-return]  # of the kind of the run's model


@contextmanager
def recalibrated(run: Opened, model: Any, count: int) -> Iterator[None]:
    """Inside the block the generator's batch norms have the statistics of ``count`` samples of its own (standing
    statistics), of codes that depend on the run's seed alone, whatever is generated.

    Raises UsageError for a generator without batch norm.
    """
    generator, size = model.generator, run.config.recipe.batch_size
    statistics = RunningStatistics({GENERATOR: generator})
    if not statistics.norms:
        raise UsageError(
            f"recalibrate: the generator of {run.path} has no batch norm whose statistics could be measured"
        )
    z_BL = generator.draw(count, derive(run.config.recipe.seed, "recalibrate"))
    labels = generator.labels(count, None)

    def forward() -> None:
        for i in range(0, count, size):
            if count - i > 1:  # of one sample there is no variance
                generator(z_BL[i : i + size], None if labels is None else labels[i : i + size])

    with predicting(generator):
        statistics.measure(statistics.norms, forward)
    with statistics.applied():
        yield


def kept_pictures(run: Opened) -> list[Any]:
    """The grids of the epochs, (H, W, C) uint8, in order. Raises UsageError where none were kept."""
    from PIL import Image

    epochs = run.directory.epoch_pictures()
    if not epochs:
        raise UsageError(f"{run.path} has kept no pictures of its epochs")
    return [np.atleast_3d(np.array(Image.open(epochs[epoch]))) for epoch in sorted(epochs)]
