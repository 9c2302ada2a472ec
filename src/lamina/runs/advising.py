"""Which model to train on given data: a table of rules, ``advice.yaml``, whose choices a benchmark measures.

advice = advise("photos/")
advice.model, advice.why, advice.instead
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import yaml

from lamina.data.formats.memory import MemoryData
from lamina.data.opening import Data, given_data
from lamina.data.options import DataOptions
from lamina.data.spec import DataSpec
from lamina.errors import UsageError
from lamina.options.conversion import typed
from lamina.runs.config import LENGTHS, OPTION_FIELDS
from lamina.runs.data import OpenData, open_data

MINUTES = 3.0
"""how long a model that the user has not named is trained at most, unless a length is given"""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A model for given data, and why.

    Example: ``Advice(model="lenet5", why="Tiny images need few layers.")``
    """

    model: str
    """the variant"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """options of recipe and model that belong to the choice, flat, as in a recipe file"""
    why: str
    """the data in one sentence, and the reason in another"""
    instead: Mapping[str, str] = field(default_factory=dict)
    """two other models, and what speaks for each"""

    def over(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the choice, under those that are given; without a length among them, three minutes at most."""
        model = {**self.options.get("model", {}), **(options.get("model") or {})}
        stated = {name: value for name, value in options.items() if value is not None}
        limit = {} if stated.keys() & {*LENGTHS, "minutes"} else {"minutes": MINUTES}
        return {**options, **self.options, **limit, **stated, "model": model}


def advise(data: Data, options: Mapping[str, Any] | None = None) -> Advice:
    """The advice for a data set: an embedded set, a path, ``hf:<dataset>@<revision>``, or data in memory.

    ``options``: those of ``DataOptions``, such as ``target``; others are ignored. Raises UsageError and DataError.

    Example: ``lamina.advise("houses.csv", {"target": "price"})``
    """
    return advise_on(given_data(data), options or {})[0]


def advise_on(place: str | tuple[str, ...] | MemoryData, options: Mapping[str, Any]) -> tuple[Advice, OpenData]:
    """The advice for data by their place, or in memory, and the data, which stand open now; see ``advise``."""
    given = {name: value for name, value in options.items() if name in OPTION_FIELDS and value is not None}
    options_of = DataOptions(**typed(DataOptions, given, "option"))
    source = open_data(place, options_of)
    return advise_for(source.spec), OpenData(place, options_of, source)


def advise_for(spec: DataSpec) -> Advice:
    """The advice for data of this description. Raises UsageError where no rule fits."""
    for rule in _rules():
        if _holds(rule, spec):
            return Advice(
                model=rule["model"],
                options=rule.get("options", {}),
                why=f"{_described(spec)} {rule['why']}",
                instead=rule.get("instead", {}),
            )
    raise UsageError(
        f"there is no rule for {spec.kind} data of the task {spec.task}: name a model (lamina models lists them)"
    )


def _holds(rule: Mapping[str, Any], spec: DataSpec) -> bool:
    count = spec.sizes.get("train", 0)
    if rule["kind"] != spec.kind or rule.get("task", spec.task) != spec.task:
        return False
    if "samples" in rule and not count < rule["samples"]:
        return False
    sides = [spec.height, spec.width]
    return "side" not in rule or all(side is not None and side <= rule["side"] for side in sides)


def _described(spec: DataSpec) -> str:
    """The data in a sentence."""
    classes = f" of {len(spec.classes)} classes" if spec.classes else ""
    size = "" if spec.height is None or spec.width is None else f" with {spec.height} x {spec.width} pixels"
    counted = "rows" if spec.columns else spec.counted
    task = "without targets" if spec.task == "none" else f"for {spec.task}"
    return f"{spec.sizes.get('train', 0):,} {counted}{size}{classes}, {task}."


@cache
def _rules() -> list[dict[str, Any]]:
    text = resources.files("lamina.runs").joinpath("advice.yaml").read_text(encoding="utf-8")
    rules: list[dict[str, Any]] = yaml.safe_load(text)
    return rules
