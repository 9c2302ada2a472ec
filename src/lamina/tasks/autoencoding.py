"""Autoencoding: restore the input, from itself or from a corrupted one.

The error is a sum over the values of an input, the loss its mean over the batch. Targets, where there are some, stay in
the batch and never reach the loss.

Legend: B batch; x any shape after the batch.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.errors import UsageError
from lamina.tasks.base import Batch, Call, Engine, Task
from lamina.tasks.corruption import Corruption, check_level, corrupted, expect_bounds
from lamina.tasks.kind import TaskKind, TaskSetup, serves_numbers
from lamina.tasks.likelihoods import Bernoulli, SquaredError, expect_unit
from lamina.tasks.reconstruction import Reconstruction, Restored
from lamina.tasks.verbs import VERBS


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """Options of the objective "reconstruction"."""

    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    """gaussian: the squared error; bernoulli: the cross-entropy, for values from 0 to 1"""
    corruption: Corruption = "none"
    """what is done to the input, which the clean one is restored from"""
    level: float = 0.3
    """of the corruption: the share of values set to 0 (masking) or to an extreme (salt-and-pepper); the standard
    deviation (gaussian)"""

    def __post_init__(self) -> None:
        check_level(self.corruption, self.level)


@dataclass(frozen=True, kw_only=True)
class DenoisingOptions(ReconstructionOptions):
    """Options of the objective "denoising"."""

    corruption: Corruption = "gaussian"
    """what is done to the input, which the clean one is restored from"""


CORRUPTIONS = ("corruption", "level")
"""options of evaluate that replace those of training"""


class Autoencoding(Reconstruction):
    """The error of the restored input, ``||x - x^||^2`` or the cross-entropy; models return x^, of the shape of x.

    Example: ``Autoencoding(preprocess.call, ReconstructionOptions(corruption="masking", level=0.25))``
    """

    name = "autoencoding"

    def __init__(
        self,
        call: Call,
        options: ReconstructionOptions | None = None,
        bounds: tuple[float, float] | None = None,
        preprocess: Preprocess | None = None,
    ) -> None:
        self.options, self.bounds = options or ReconstructionOptions(), bounds
        self.values: int | None = None
        """numbers of an input"""
        self.remarks: tuple[str, ...] = ()
        if preprocess is not None:
            sizes = preprocess.signature()[0].shape
            self.values = math.prod(size for size in sizes if isinstance(size, int))
        super().__init__(call, Bernoulli() if self.options.likelihood == "bernoulli" else SquaredError(), preprocess)

    def initialise(self, model: nn.Module) -> None:
        """Nothing is set; a code that is no smaller than the input is noted."""
        latent, clean = getattr(getattr(model, "config", None), "latent", None), self.options.corruption == "none"
        if clean and latent is not None and self.values is not None and latent >= self.values:
            self.remarks = (
                f"the code has {latent} numbers, an input {self.values}: the autoencoder can copy what it sees, "
                "anomalies included; use a smaller --model.latent, or --objective denoising",
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """A code that can copy its input."""
        return self.remarks

    def corrupt(self, x: Tensor) -> Tensor:
        """x as the model sees it in training."""
        return corrupted(x, self.options.corruption, self.options.level, self.bounds)

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.input(batch)
        return self.likelihood.negative_log_likelihood(restored(model, self.corrupt(x)), x).mean(), {}

    def metrics(self) -> Any:
        """ "loss", as in training, corruption included; "mse", of the restored clean input, a mean over its values;
        with a corruption "denoising_mse", of the clean input restored from the corrupted one."""
        from lamina.tasks.means import Means

        return Means("loss", "mse", *([] if self.options.corruption == "none" else ["denoising_mse"]))

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        x = self.input(batch)
        self.likelihood.check(x)
        out = restored(model, x)
        values = {"mse": self.squared_error(out, x)}
        if self.options.corruption != "none":
            out = restored(model, self.corrupt(x))
            values["denoising_mse"] = self.squared_error(out, x)
        metrics.update(loss=self.likelihood.negative_log_likelihood(out, x), **values)

    def squared_error(self, decoded: Tensor, x: Tensor) -> Tensor:
        """(B,), a mean over the values of an input."""
        return (self.likelihood.mean(decoded) - x).square().flatten(1).mean(1)

    def evaluated_with(self, options: Any) -> Task:
        """With another ``corruption`` or ``level``. Raises UsageError for one that the data do not allow."""
        changes = {name: getattr(options, name) for name in CORRUPTIONS if getattr(options, name) is not None}
        task = copy(self)
        task.options = replace(self.options, **changes)
        expect_bounds(task.options.corruption, self.bounds)
        return task

    def restore(self, model: nn.Module, x: Tensor) -> Restored:
        out = restored(model, x)
        return Restored(self.likelihood.mean(out), self.likelihood.losses(out, x), None, None)


def restored(model: nn.Module, x: Tensor) -> Tensor:
    """The model's output. Raises UsageError for a model that does not give its input again."""
    out: Tensor = model(x)
    if getattr(out, "shape", None) != x.shape:
        gives = tuple(out.shape) if hasattr(out, "shape") else type(out).__name__
        raise UsageError(f"the model gives {gives} for inputs of {tuple(x.shape)}: an autoencoder gives the same shape")
    return out


def make(setup: TaskSetup) -> Task:
    preprocess: Preprocess = setup.preprocess
    options: ReconstructionOptions = setup.objective.options
    if options.likelihood == "bernoulli":
        expect_unit(preprocess)
    bounds = preprocess.signature()[0].bounds
    expect_bounds(options.corruption, bounds)
    return Autoencoding(preprocess.call, options, bounds, preprocess)


KIND = TaskKind(
    name="autoencoding",
    make=make,
    serves=serves_numbers,
    objectives={"reconstruction": ReconstructionOptions, "denoising": DenoisingOptions},
    verbs=VERBS["autoencoding"],
    needs_targets=False,
    automatic=False,
    calibrates=True,
    cross_fits=True,
    image_range="unit",
)
