"""An entry of the table of tasks: its data, objectives and verbs, and how it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from lamina.data.protocols import Preprocess
from lamina.data.spec import NO_TARGETS, DataSpec
from lamina.errors import UsageError, unknown
from lamina.options.conversion import made
from lamina.options.recipe import Recipe
from lamina.tasks.base import Task
from lamina.tasks.verb_options import NoOptions

WORDS = ("text",)
"""modalities whose samples are not numbers, but tokens"""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a task minimises: the name of an objective, and its options.

    Example: ``Objective(name="focal", options=FocalOptions(gamma=2.0))``
    """

    name: str
    options: Any = field(default_factory=NoOptions)

    def to_plain(self) -> str | dict[str, Any]:
        """The form in a configuration: the name, or a mapping with name and options."""
        options = vars(self.options)
        return {"name": self.name, **options} if options else self.name


@dataclass(frozen=True, kw_only=True)
class TaskSetup:
    """The arguments of ``TaskKind.make``."""

    preprocess: Preprocess
    recipe: Recipe
    objective: Objective
    targets: Tensor | None = None
    """targets of the training split, if any"""


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """An entry of the table of tasks.

    Example: ``TASKS["classification"].objective({"name": "focal", "gamma": 1.0})``
    """

    name: str
    make: Callable[[TaskSetup], Task]
    serves: Callable[[DataSpec], str | None]
    """why data cannot be used for this task, as the end of a sentence; None if they can"""
    objectives: Mapping[str, type[Any]] = field(default_factory=dict)
    """the objectives by name, the default first: the frozen dataclass of their options"""
    verbs: Mapping[str, type[Any]] = field(default_factory=lambda: {"evaluate": NoOptions, "predict": NoOptions})
    """the verbs of its runs besides inspect, report and export: the frozen dataclass of their options"""
    needs_targets: bool = True
    weighs_classes: bool = False
    """whether it supports the recipe's ``class_weights``"""
    calibrates: bool = False
    """whether it supports the recipe's ``calibrate``"""
    automatic: bool = True
    """whether it is chosen for a module of the user's own without being asked for"""
    image_range: Literal["unit", "half"] | None = None
    """the normalisation of images, unless another is asked for: from 0 to 1 (unit) or from -1 to 1 (half); None: by the
    training data"""
    model_options: Callable[[Objective, Preprocess], Mapping[str, Any]] = lambda objective, preprocess: {}
    """options of the model that the objective decides, such as the variance of a decoder"""
    cross_fits: bool = False
    """whether ``finalize`` can do without validation data, by models trained on folds of the training data"""
    predicts_at_once: bool = True
    """whether one forward pass gives a prediction, so that an exported file can predict"""

    def objective(self, given: str | Mapping[str, Any] | None, usual: str | None = None) -> Objective:
        """The objective in a configuration; without a name the model's ``usual`` one if the task has it, or the first.

        Raises UsageError, with the nearest name, for an unknown objective or option.
        """
        values: dict[str, Any] = {"name": given} if isinstance(given, str) else dict(given or {})
        first = usual if usual in self.objectives else next(iter(self.objectives), "default")
        name = str(values.pop("name", None) or first)
        if not self.objectives:
            if given:
                got = next(iter(values), name)
                raise UsageError(f"the task {self.name} has no objectives to choose from, got '{got}'")
            return Objective(name=name)
        if name not in self.objectives:
            raise unknown(f"objective of {self.name}", name, self.objectives)
        cls = self.objectives[name]
        if values and not vars(cls()):
            option = next(iter(values))
            having = [other for other, cls in self.objectives.items() if option in vars(cls())]
            hint = f"; it is one of '{having[0]}'" if having else ""
            raise UsageError(f"the objective '{name}' has no options, got '{option}'{hint}")
        return Objective(name=name, options=made(cls, values, f"option of the objective {name}"))


def serves_targets(task: str) -> Callable[[DataSpec], str | None]:
    """``serves`` of a task that predicts targets: ``serves_targets("regression")``."""

    def serves(spec: DataSpec) -> str | None:
        if spec.task == task:
            return None
        if spec.task == NO_TARGETS:
            return f"has no targets ({spec.advice})" if spec.advice else "has no targets"
        return f"is {spec.task} data"

    return serves


def serves_modalities(*kinds: str, advice: str = "") -> Callable[[DataSpec], str | None]:
    """``serves`` of a task for data of these modalities; of others the ``advice`` tells how they become so.

    Example: ``serves_modalities("image")``
    """
    more = f" ({advice})" if advice else ""
    return lambda spec: None if spec.kind in kinds else f"is {spec.kind} data{more}"


def serves_numbers(spec: DataSpec) -> str | None:
    """``serves`` of a task for data of numbers: those of any modality but ``WORDS``."""
    return f"is {spec.kind}" if spec.kind in WORDS else None
