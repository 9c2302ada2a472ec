"""What a caller asks of a training, as the flat options of ``prepare``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.data.catalogue import MEMORY
from lamina.data.formats.memory import MemoryData
from lamina.data.opening import given_data
from lamina.options.recipe import Recipe
from lamina.tasks.base import Task


def named_data(options: Mapping[str, Any]) -> tuple[dict[str, Any], MemoryData | None]:
    """The options with the data by name, and the data where they are in memory."""
    if options.get("data") is None:
        return dict(options), None
    given = given_data(options["data"])
    if isinstance(given, str | tuple):
        return {**options, "data": given}, None
    return {**options, "data": f"{MEMORY}{given.name}"}, given


def requested_options(
    data: Any,
    recipe: Recipe | None,
    model_options: Mapping[str, Any] | None,
    weights: str | Path | None,
    reset_head: bool | None,
    entry: str | None,
    task: str | Task | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments of ``train`` as flat options, for ``prepare``."""
    whole = {} if recipe is None else dataclasses.asdict(recipe)
    requested = {**whole, **options, "data": data, "model": dict(model_options or {})}
    requested |= {} if isinstance(task, Task) else {"task": task}
    start = None if weights is None else str(weights)
    return requested | {"weights": start, "reset_head": reset_head, "entry": entry}
