"""A row of the table of tasks: what a task can do, which data serve it, how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from lamina.data.protocols import Preprocess
from lamina.data.spec import NO_TARGETS, DataSpec
from lamina.errors import UsageError, unknown
from lamina.options.conversion import typed
from lamina.options.recipe import Recipe
from lamina.tasks.base import Task
from lamina.tasks.verb_options import NoOptions


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised: a name among the task's objectives, and the options of that one."""

    name: str
    options: Any = field(default_factory=NoOptions)

    def to_plain(self) -> str | dict[str, Any]:
        """As a configuration holds it: the name, with the options where there are some."""
        options = vars(self.options)
        return {"name": self.name, **options} if options else self.name


@dataclass(frozen=True, kw_only=True)
class TaskSetup:
    """What a task is made from."""

    preprocess: Preprocess
    recipe: Recipe
    objective: Objective
    targets: Tensor | None = None
    """the training split's, where there are some"""


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """A task as the table has it."""

    name: str
    make: Callable[[TaskSetup], Task]
    serves: Callable[[DataSpec], str | None]
    """why data cannot serve it, as the end of a sentence; None: they can"""
    objectives: Mapping[str, type[Any]] = field(default_factory=dict)
    """what can be minimised, by name, the usual one first: the frozen dataclass of its options"""
    verbs: Mapping[str, type[Any]] = field(default_factory=lambda: {"evaluate": NoOptions, "predict": NoOptions})
    """what a run of it can do beside inspect, report and export: the frozen dataclass of the verb's options"""
    needs_targets: bool = True
    weighs_classes: bool = False
    """whether the recipe's ``class_weights`` mean something for it"""
    calibrates: bool = False
    """whether the recipe's ``calibrate`` means something for it"""
    sides: tuple[str, ...] = ()
    """names of the unpaired sets of data that it draws from; empty: one set"""
    predicts_at_once: bool = True
    """whether one forward gives a prediction, so that an exported file can predict"""

    def objective(self, given: str | Mapping[str, Any] | None) -> Objective:
        """The objective that a configuration names, the usual one for None.

        Raises UsageError for a name or an option that it does not have, with the nearest one.
        """
        if given is None:
            given = {}
        values: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given)
        name = values.pop("name", None) or next(iter(self.objectives), "default")
        if not self.objectives:
            if given:
                raise UsageError(f"the task {self.name} has no objectives to choose from, got '{name}'")
            return Objective(name=name)
        if name not in self.objectives:
            raise unknown(f"objective of {self.name}", name, self.objectives)
        cls = self.objectives[name]
        if values and not vars(cls()):
            raise UsageError(f"the objective '{name}' has no options, got '{next(iter(values))}'")
        return Objective(name=name, options=cls(**typed(cls, values, f"option of the objective {name}")))


def serves_targets(task: str) -> Callable[[DataSpec], str | None]:
    """``serves`` of a task that predicts targets."""

    def serves(spec: DataSpec) -> str | None:
        if spec.task == task:
            return None
        if spec.task == NO_TARGETS:
            return f"has no targets ({spec.advice})" if spec.advice else "has no targets"
        return f"calls for {spec.task}"

    return serves
