"""The options of a search, typed: the same on the command line, in Python and in ``search.yaml``. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How a search is carried out.

    Example: ``SearchOptions(trials=30, prune="asha", minimize=("parameters",))``
    """

    trials: int = 20
    """trainings; a point that was trained before is not trained again, nor counted"""
    prune: Literal["none", "median", "asha", "hyperband"] = "none"
    """stop trials early that are worse than others at the same epoch"""
    trial_epochs: int | None = None
    """length of trials, in epochs, where it is not that of the recipe, which is of the training at the end"""
    trial_steps: int | None = None
    """length of trials, in optimiser steps"""
    minimize: tuple[Literal["parameters", "macs", "latency"], ...] = ()
    """further objectives: the result is a Pareto front; latency is measured, in milliseconds for one sample"""
    max_macs: int | None = None
    """multiply-adds of one input that a model may have"""
    max_parameters: int | None = None
    """parameters that a model may have"""
    proxy: Literal["none", "parameters", "macs", "synflow", "jacov"] = "none"
    """score untrained models by a proxy instead of training them"""
    top: int = 1
    """the best points that --seeds trains again"""
    seeds: int = 1
    """trainings, with other seeds, of each of the top points: the mean decides"""
    baseline: bool = True
    """train as many points drawn at random, for comparison; those that were trained before cost nothing"""

    def __post_init__(self) -> None:
        for name in ("trials", "trial_epochs", "trial_steps", "max_macs", "max_parameters", "top", "seeds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
        if self.trial_epochs is not None and self.trial_steps is not None:
            raise UsageError("give one length of trials, not --trial-epochs and --trial-steps")
        if len(set(self.minimize)) < len(self.minimize):
            raise UsageError("minimize names an objective twice")
        if self.proxy in self.minimize:
            raise UsageError(f"{self.proxy} is the proxy that is maximised: it cannot be minimised as well")
        if self.proxy != "none":
            for name, value, none in (("prune", self.prune, "none"), ("seeds", self.seeds, 1)):
                if value != none:
                    raise UsageError(f"{name} is for trainings: the proxy {self.proxy} has none")
        if self.prune != "none" and self.trial_steps is not None:
            raise UsageError("prune compares epochs: give --trial-epochs, not --trial-steps")

    @property
    def shortened(self) -> dict[str, int]:
        """The length of trials, where it is not the recipe's."""
        lengths = {"epochs": self.trial_epochs, "steps": self.trial_steps}
        return {unit: amount for unit, amount in lengths.items() if amount is not None}
