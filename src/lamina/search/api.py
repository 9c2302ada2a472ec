"""``lamina.search``: search, and return what was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.errors import UsageError
from lamina.options.conversion import made
from lamina.options.recipe import Recipe
from lamina.runs.directory import check_name
from lamina.search.definition import Definition, place_of
from lamina.search.functions import Function
from lamina.search.options import SearchOptions
from lamina.search.searching import Search, as_space, begin, flat_options, settle
from lamina.search.space import Space
from lamina.search.strategies import strategy_named
from lamina.search.workers import expect_memory, run_workers

OPTIONS = frozenset(field.name for field in dataclasses.fields(SearchOptions))


def search(
    model: str | None = None,
    data: Any = None,
    *,
    space: Space | Mapping[str, Any] | str | Path | Sequence[str],
    strategy: str = "tpe",
    strategy_options: Mapping[str, Any] | None = None,
    evaluate: Callable[[Mapping[str, Any]], float | Sequence[float]] | None = None,
    objectives: Mapping[str, str] | None = None,
    name: str | None = None,
    directory: str | Path = "runs",
    storage: str | Path | None = None,
    resume: bool = False,
    workers: int = 1,
    recipe: Recipe | None = None,
    model_options: Mapping[str, Any] | None = None,
    report: bool = True,
    **options: Any,
) -> Search:
    """Search the space of a model's options and its recipe, each trial a training judged on validation data.

        found = lamina.search("lenet5", "digits", space={"lr": {"low": 1e-4, "high": 1e-1, "log": True}}, trials=20)
        found.best.point, found.best.values
        run = found.retrain(epochs=30)
        lamina.search(evaluate=lambda p: (p["x"] - 0.3) ** 2, objectives={"square": "min"}, name="square",
                      space={"x": {"low": 0.0, "high": 1.0}}, trials=50)

    ``space``: a ``Space``, a mapping, a YAML file, or words such as ``"lr=1e-4:1e-1:log"``. ``strategy``: random,
    evolution, reinforce, local, tpe, nsga2 or gp, with ``strategy_options``. ``options``: those of ``SearchOptions``
    (trials, prune, minimize, ...), of ``Recipe`` and of ``DataOptions``. The folder of the search is
    ``directory/name``; ``storage`` is a journal file (default: in that folder) or an SQL URL; ``resume`` goes on with a
    search that was stopped, and the same call with the same ``storage`` joins one that runs. ``evaluate``: a function
    of the point in place of trainings; its ``objectives`` by name, "max" or "min" (default: a value, "max").

    Raises UsageError, DataError, RunError.
    """
    given = made(SearchOptions, {key: value for key, value in options.items() if key in OPTIONS}, "search option")
    rest = {key: value for key, value in options.items() if key not in OPTIONS}
    named = {"name": strategy, **(strategy_options or {})}
    place = None if storage is None else str(storage)
    if workers < 1:
        raise UsageError(f"workers must be at least 1, got {workers}")
    expect_memory(workers)
    if evaluate is not None:
        if model is not None or data is not None or recipe is not None or model_options:
            raise UsageError("evaluate takes the place of trainings: leave model, data and recipe out")
        if workers > 1:
            raise UsageError("evaluate is a function of this process: workers are for trainings")
        asked = Space(as_space(space).decisions)
        found = _of_function(evaluate, objectives, asked, named, given, rest, name, directory, place, resume)
    else:
        if model is None or data is None:
            raise UsageError("which model, on which data? lamina.search(model, data, space=...)")
        if objectives is not None:
            raise UsageError("objectives are those of evaluate; of trainings they are --monitor and --minimize")
        flat = flat_options(recipe, model_options, {**rest, "data": data})
        found = begin(
            model, flat, as_space(space), named, given, name=name, directory=directory, storage=place, resume=resume
        )
    run_workers(found, workers)
    if found.over:
        found.finish()
    if report:
        found.report()
    return found


def _of_function(
    evaluate: Callable[[Mapping[str, Any]], float | Sequence[float]],
    objectives: Mapping[str, str] | None,
    space: Space,
    strategy: Mapping[str, Any],
    search: SearchOptions,
    rest: Mapping[str, Any],
    name: str | None,
    directory: str | Path,
    storage: str | None,
    resume: bool,
) -> Search:
    """The search over a function."""
    if others := [key for key in rest if key != "seed"]:
        raise UsageError(f"evaluate takes the place of trainings: '{others[0]}' is an option of trainings")
    goals = dict(objectives or {"value": "max"})
    for goal, way in goals.items():
        if way not in ("max", "min"):
            raise UsageError(f"the objective '{goal}' is 'max' or 'min', got {way!r}")
    if not goals:
        raise UsageError("objectives names none: {'value': 'max'}")
    chosen = strategy_named(strategy["name"], {key: value for key, value in strategy.items() if key != "name"})
    if len(goals) > 1 and not chosen.several:
        raise UsageError(f"the strategy {strategy['name']} takes one objective, not {len(goals)}")
    for option in ("minimize", "max_macs", "max_parameters", "trial_epochs", "trial_steps"):
        if getattr(search, option):
            raise UsageError(f"evaluate takes the place of trainings: '{option}' is for trainings")
    name = name or "search"
    check_name(name)
    definition = Definition(
        model="",
        options={"seed": rest.get("seed", 0)},
        space=space.to_dict(),
        strategy=strategy,
        search=search,
        storage=place_of(storage),
        name=name,
        objectives=tuple((goal, way == "max") for goal, way in goals.items()),
    )
    return settle(Path(directory) / name, definition, join=resume or storage is not None, evaluate=Function(evaluate))
