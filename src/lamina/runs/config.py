"""The configuration of a training: the same mapping in a recipe file, on the command line and in ``config.yaml``."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from lamina.data.catalogue import MEMORY
from lamina.data.options import DataOptions
from lamina.errors import UsageError, unknown
from lamina.options.conversion import typed
from lamina.options.documents import read_yaml
from lamina.options.recipe import AUGMENTATION_FIELDS, AUTO, FITTED, Recipe, grouped
from lamina.plugins import package_of, points_of
from lamina.registry import card, is_model
from lamina.runs.directory import FORMAT, RunDirectory
from lamina.runs.places import PLACES, relocated
from lamina.weights.folders import options_beside
from lamina.weights.hub import fetch, is_hub
from lamina.weights.published import has_classes, model_options, spelled

OPTION_FIELDS = frozenset(field.name for field in dataclasses.fields(DataOptions))
RECIPE_FIELDS = frozenset(field.name for field in dataclasses.fields(Recipe))


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The complete configuration of a training."""

    name: str
    """the variant, or the class name of a module of the user's own"""
    model: Mapping[str, Any] = field(default_factory=dict)
    """options of the model that were given; those derived from the data are not among them"""
    data: str | tuple[str, ...]
    """an embedded set, a path, or hf:<dataset>@<revision>; several are the sides of one; "memory: ..." for data that
    were in memory, with what they were in words"""
    options: DataOptions
    """how the data are read and divided"""
    recipe: Recipe
    objective: str | Mapping[str, Any] | None = None
    """the objective, by name or as {"name": ..., option: value}; None: the model's default"""
    weights: str | None = None
    """a file of weights, a run's folder, or ``hf:<repository>@<commit>`` to start from; None: random weights"""
    reset_head: bool = False
    """load these weights without the output layer"""
    entry: str | None = None
    """the entry of a checkpoint that holds the weights; None: averaged ones, or else the usual"""
    given: frozenset[str] = field(default=frozenset(), compare=False)
    """names of the options that were given, by the user or a file; not saved"""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """what the user should read of how it was made; not saved"""
    auto: frozenset[str] = frozenset()
    """the options that are "auto", to be found by ``runs.fitting`` before training; a run's have none"""

    def __post_init__(self) -> None:
        if self.reset_head and self.weights is None:
            raise UsageError("reset_head (--reset-head) is for loaded weights: give --weights too")
        if self.entry is not None and self.weights is None:
            raise UsageError("entry (--entry) is of a file of weights: give --weights too")

    @property
    def data_name(self) -> str:
        """The data source in words."""
        return self.data.removeprefix(MEMORY) if isinstance(self.data, str) else " and ".join(self.data)

    @property
    def in_memory(self) -> bool:
        """Whether the data were in memory: nothing can read them again."""
        return isinstance(self.data, str) and self.data.startswith(MEMORY)

    def to_dict(self) -> dict[str, Any]:
        """As ``config.yaml`` holds it, and ``--config`` reads it."""
        options, recipe, model = (
            _plain(part) for part in (dataclasses.asdict(self.options), dataclasses.asdict(self.recipe), self.model)
        )
        start = {name: getattr(self, name) for name in ("objective", "weights", "reset_head", "entry")}
        data = self.data if isinstance(self.data, str) else list(self.data)
        recipe |= dict.fromkeys(self.auto & recipe.keys(), AUTO)
        return {"format": FORMAT, "name": self.name, "data": data, "model": model, **start, **options, **recipe}

    @classmethod
    def of_run(cls, directory: RunDirectory) -> TrainConfig:
        """The saved configuration of a run."""
        # a run from before there were split columns has used all columns as inputs
        return cls.from_dict({"split_column": "none", **directory.read("config.yaml")})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], auto: frozenset[str] = frozenset()) -> TrainConfig:
        """``auto`` names options that are to be found. Raises UsageError for a key or value that does not belong."""
        values = {key: value for key, value in values.items() if key not in ("format", *PLACES)}
        known = {"name", "data", "model", "objective", "weights", "reset_head", "entry"}
        known |= OPTION_FIELDS | RECIPE_FIELDS | AUGMENTATION_FIELDS
        for key in values:
            if key not in known:
                raise unknown("key", key, known)
        data = values.get("data")
        if isinstance(data, list | tuple) and len(data) == 1:
            data = data[0]
        several = isinstance(data, list | tuple) and len(data) > 1 and all(isinstance(one, str) for one in data)
        for key, stated in (("name", isinstance(values.get("name"), str)), ("data", several or isinstance(data, str))):
            if not stated:
                raise UsageError(f"the configuration has no '{key}'")
        model = values.get("model") or {}
        if not isinstance(model, Mapping):
            raise UsageError("key 'model': expected options of the model by name")
        weights, reset_head, entry = values.get("weights"), values.get("reset_head", False), values.get("entry")
        objective = values.get("objective")
        if not isinstance(objective, str | Mapping | None):
            raise UsageError(f"key 'objective': expected a name, or name and options, got {objective!r}")
        if not isinstance(weights, str | None):
            raise UsageError(f"key 'weights': expected a file's name, got {weights!r}")
        if not isinstance(entry, str | None):
            raise UsageError(f"key 'entry': expected the name of a checkpoint's entry, got {entry!r}")
        if not isinstance(reset_head, bool):
            raise UsageError(f"key 'reset_head': expected true or false, got {reset_head!r}")
        options = {key: value for key, value in values.items() if key in OPTION_FIELDS}
        recipe = grouped({key: value for key, value in values.items() if key in RECIPE_FIELDS | AUGMENTATION_FIELDS})
        return cls(
            name=values["name"],
            model={key: tuple(value) if isinstance(value, list) else value for key, value in model.items()},
            data=data if isinstance(data, str) else tuple(data or ()),
            options=DataOptions(**typed(DataOptions, options, "data option")),
            recipe=Recipe(**typed(Recipe, recipe, "recipe option")),
            objective=objective,
            weights=weights,
            reset_head=reset_head,
            entry=entry,
            auto=auto,
        )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists, in groups of options too: YAML knows no others."""
    return {
        key: _plain(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
    }


LENGTHS = ("epochs", "steps", "images")
MODULE = "module"
"""the recipe of modules of the user's own"""
OURS = "lamina.recipes"
"""our own package of recipes, and the group of entry points that name those of others"""


@dataclass(frozen=True)
class _Recipes:
    """The files of published recipes."""

    files: Mapping[str, Traversable]
    faults: tuple[str, ...]
    """packages that cannot be used, and why: the rest works"""
    conflicts: Mapping[str, str]
    """names that two packages have, each with what to say of it"""


@cache
def _recipes() -> _Recipes:
    """Our own recipes, and those in the packages that the entry points of the group ``lamina.recipes`` name."""
    found: dict[str, Traversable] = {}
    home: dict[str, str] = {}
    faults: list[str] = []
    conflicts: dict[str, str] = {}
    homes = {OURS: "lamina"} | {point.value: package_of(point) for point in points_of(OURS)}
    for where, package in homes.items():
        try:
            paths = sorted(resources.files(where).iterdir(), key=lambda path: path.name)
        except Exception as error:  # whatever another package's import raises
            faults.append(f"the recipes of package '{package}' cannot be loaded: {type(error).__name__}: {error}")
            continue
        for path in paths:
            if path.name.endswith(".yaml"):
                name = path.name.removesuffix(".yaml")
                if name not in found:
                    found[name], home[name] = path, where
                elif home[name] != OURS:  # else ours is used
                    both = f"packages '{homes[home[name]]}' and '{package}' both bring the recipe '{name}'"
                    conflicts[name] = f"{both}: uninstall one"
    return _Recipes(found, tuple(faults), conflicts)


def published_recipes() -> list[str]:
    """Names of the published recipes, those of other packages among them."""
    return sorted(_recipes().files.keys() - _recipes().conflicts.keys())


def list_recipes() -> list[str]:
    """The names of the published recipes, for ``lamina.train(config="lenet5-digits")``."""
    return published_recipes()


def published(name: str) -> dict[str, Any]:
    """The options of a published recipe. Raises UsageError for an unknown name."""
    return {key: value for key, value in _published(name).items() if key != "result"}


def published_result(name: str) -> dict[str, Any] | None:
    """The section "result" of a published recipe: the figures to reproduce; None without one. Raises UsageError."""
    result: dict[str, Any] | None = _published(name).get("result")
    return result


def _published(name: str) -> dict[str, Any]:
    recipes = _recipes()
    if name in recipes.conflicts:
        raise UsageError(recipes.conflicts[name])
    if name not in recipes.files:
        broken = "".join(f"; {fault}" for fault in recipes.faults)
        raise UsageError(f"{unknown('recipe', name, recipes.files)}{broken}")
    return _read_yaml(str(recipes.files[name]), recipes.files[name])


def read_config(where: str) -> dict[str, Any]:
    """A recipe file, or a published recipe by name. The data of a run's ``config.yaml`` are named by the place where
    they are now. Raises UsageError."""
    path = Path(where)
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or "/" in where:
            raise UsageError(f"no such file: {where}")
        return published(where)
    return relocated(_read_yaml(where, path), path.parent)


def _read_yaml(where: str, path: Path | Traversable) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise UsageError(f"cannot read {where}: {error.strerror}") from None
    values = read_yaml(text, where)
    if not isinstance(values, dict):
        raise UsageError(f"{where} holds no options: expected 'key: value' lines")
    return values


def make_config(
    name: str | None,
    options: Mapping[str, Any],
    *,
    config: str | None = None,
    default_recipe: bool = True,
    fetches: bool = True,
    fitted: bool = False,
) -> TrainConfig:
    """The whole configuration: defaults, then the variant's own recipe, then ``config``, then ``options``.

    ``options`` is flat, like a recipe file, with the model's options under "model"; a folder of transformers that holds
    the weights states some, too. ``fetches``: weights of the hub are fetched, for a run that has none yet. With
    ``fitted`` what neither states is "auto". Raises UsageError.
    """
    file = read_config(config) if config else {}
    name = name or file.get("name")
    if name is None:
        raise UsageError("which model? give its name, or a --config that names one")
    own = published(card(name).recipe) if default_recipe else published(MODULE) if fitted else {}
    options = {key: value for key, value in options.items() if value is not None}
    layers: list[Mapping[str, Any]] = [own, file, options]
    merged: dict[str, Any] = {}
    auto: set[str] = set()
    for number, stated in enumerate(layers):
        fixed, asked = _automatic(stated)
        auto = (auto - fixed) | asked if number else set(FITTED if fitted else ())
        layer = grouped(_without_auto(stated))
        if any(layer.get(key) is not None for key in LENGTHS):  # one replaces another, whatever its unit
            merged = {key: value for key, value in merged.items() if key not in LENGTHS}
        groups = {group: {**merged.get(group, {}), **(layer.get(group) or {})} for group in ("model", "augmentation")}
        objective = {"objective": _joined(merged.get("objective"), layer.get("objective"))}
        merged = {**merged, **layer, **groups, **objective}
    merged["weights"] = _expanded(merged.get("weights"), "weights")
    if isinstance(merged["weights"], str):
        merged["weights"] = spelled(name, merged["weights"])
    if merged.get("reset_head") is None:
        merged["reset_head"] = is_model(name) and is_hub(merged["weights"] or "") and has_classes(name)
    data = merged.get("data")
    merged["data"] = (
        [_expanded(one, "data") for one in data] if isinstance(data, list | tuple) else _expanded(data, "data")
    )
    made = TrainConfig.from_dict({**merged, "name": name}, frozenset(auto))
    made = dataclasses.replace(made, given=_names_of(file, options))
    if made.weights is None or (is_hub(made.weights) and not fetches):
        return made
    return _with_weights(made, made.weights)


def _names_of(*layers: Mapping[str, Any]) -> frozenset[str]:
    """The names of the options that layers state, those of a group among them."""
    names = {name for layer in layers for name, value in layer.items() if value is not None}
    return frozenset(names | {name for layer in layers for name in layer.get("augmentation") or {}})


def _with_weights(made: TrainConfig, weights: str) -> TrainConfig:
    """The configuration with what its weights decide: of those of the hub the commit, in place of a branch, and the
    options that they need; of a folder those that it states."""
    if is_hub(weights):
        found = fetch(weights)
        made = dataclasses.replace(made, weights=found.spelling, notes=(f"weights: {found}", *found.notes))
        if is_model(made.name):
            made = dataclasses.replace(made, model=model_options(made.name, found.spelling, made.model))
    if not is_model(made.name):
        return made
    return dataclasses.replace(made, model=options_beside(made.name, made.weights or "", made.model))


def _automatic(layer: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The names of ``FITTED`` that a layer states, and those that it asks to be found."""
    values = {**layer, "image_size": (layer.get("model") or {}).get("image_size")}
    asked = {name for name, value in values.items() if value == AUTO and isinstance(value, str)}
    stated = {name for name in FITTED if values.get(name) is not None}
    if any(values.get(name) is not None for name in LENGTHS):
        stated.add("epochs")
    if AUGMENTATION_FIELDS & layer.keys():
        stated.add("augmentation")
    return stated - asked, asked & set(FITTED)


def _without_auto(layer: Mapping[str, Any]) -> dict[str, Any]:
    model = {name: value for name, value in (layer.get("model") or {}).items() if value != AUTO}
    rest = {name: value for name, value in layer.items() if not (name in FITTED and value == AUTO)}
    return rest | ({"model": model} if layer.get("model") else {})


def _joined(before: Any, after: Any) -> Any:
    """``after`` over ``before``; options without a name belong to the objective before."""
    if after is None:
        return before
    if not isinstance(after, Mapping) or "name" in after or before is None:
        return after
    return {**(before if isinstance(before, Mapping) else {"name": before}), **after}


def _expanded(path: Any, what: str) -> Any:
    """Environment variables in a path filled in. Raises UsageError for one that is not set."""
    if not isinstance(path, str):
        return path
    whole = os.path.expandvars(path)
    if missing := re.search(r"\$\{?(\w+)", whole):
        raise UsageError(f"the {what} are at '{path}', but the environment variable {missing[1]} is not set")
    return whole
