"""The registry of architectures: look-up by name, cards, construction.

The index of the cards is read without torch; a model's file is imported when that model is built. Packages add their
own architectures with an entry point in the group ``lamina.models`` whose value is a module with a ``VARIANTS`` table.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import json
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from lamina.cards import Card, PublishedWeights, Reported, Variant, timm_names
from lamina.cards.published import PUBLISHED
from lamina.errors import LaminaError, UsageError, nearest, unknown
from lamina.options.conversion import typed
from lamina.plugins import package_of, points_of

if TYPE_CHECKING:
    from torch import nn

ENTRY_POINTS = "lamina.models"
COMMON_OPTIONS = ("num_classes", "in_channels", "image_size", "in_features")
"""options of models that a composite may hand to any part: those that the part does not have are left out"""
_REGISTERED: dict[str, Variant] = {}
"""variants registered by ``register_model``"""


def list_models(pattern: str = "*", *, task: str | None = None) -> list[str]:
    """Names of the variants that match a shell-style ``pattern`` (``"res*"``), in order of year and then name.

        lamina.list_models("res*")
        lamina.list_models(task="translation")

    ``task`` keeps those that can be trained for it ("classification", "regression", ...). Raises UsageError for a task
    that no variant knows.
    """
    cards = _cards()
    tasks = {name for card in cards.values() for name in card.tasks}
    if task is not None and task not in tasks:
        raise unknown("task", task, tasks)
    as_it_is, folded = pattern.casefold(), _fold(pattern) if "[" not in pattern else None  # "-" means a range in [a-c]
    names = [name for name in cards if task is None or task in cards[name].tasks]
    names = [
        name
        for name in names
        if fnmatch.fnmatchcase(name.casefold(), as_it_is) or (folded and fnmatch.fnmatchcase(_fold(name), folded))
    ]
    return sorted(names, key=lambda name: (cards[name].year, name))


def canonical(name: str) -> str:
    """The variant's own name: case, ``-`` and ``_`` are folded, aliases followed, tags of timm's dropped.

        canonical("LeNet"), canonical("resnet50.a1_in1k")   # "lenet5", "resnet50"

    Raises UsageError, which names the nearest, or says why a name of timm's is no variant here.
    """
    found = _found(name)
    if found is not None:
        if _fold(name) in _extra().conflicts and name != found:  # a name of its own can be asked for its card
            raise UsageError(_extra().conflicts[_fold(name)])
        return found
    reason = timm_names.why_not(name)
    if reason is not None:
        raise UsageError(reason)
    spellings = {spelling: own for own, card_ in _cards().items() for spelling in (own, *card_.aliases)}
    near = nearest(name, spellings)
    if near is None:
        broken = "".join(f"; {fault}" for fault in faults())
        raise UsageError(f"{unknown('model', name, _cards())}{broken}")
    # an alias is suggested only where the variant's own name is far from what was typed
    raise unknown("model", name, [nearest(name, [spellings[near]]) or near])


def is_model(name: str) -> bool:
    """Whether ``name``, or an alias of it, is a variant: ``is_model("resnet50")``."""
    return _found(name) is not None


def remark(name: str) -> str | None:
    """What to mind of a name that is timm's: ``remark("resnet50.a1_in1k")`` tells of the dropped tag. Mostly None."""
    return timm_names.remark(name) if is_model(name) else None


def _found(name: str) -> str | None:
    """The variant's own name, or None."""
    names = _names()
    plain = name if _fold(name) in names else timm_names.plain_name(name, lambda bare: _fold(bare) in names)
    return None if plain is None else names[_fold(plain)]


def card(name: str) -> Card:
    """The card of a variant: ``lamina.card("lenet5").parameters``. Raises UsageError for an unknown name."""
    return _cards()[canonical(name)]


def variant(name: str) -> Variant:
    """The row itself: class, config, card. Imports torch."""
    name = canonical(name)
    if _fold(name) in _extra().conflicts:
        raise UsageError(_extra().conflicts[_fold(name)])
    extra = _extra().rows.get(name)
    if extra is not None:
        return extra
    module = importlib.import_module(f"lamina.models.{_index()[name]['architecture']}")
    row: Variant = module.VARIANTS[name]
    return row


def create_model(name: str, **overrides: Any) -> nn.Module:
    """Build a variant, its config's fields replaced by ``overrides``: ``create_model("lenet5", num_classes=26)``.

    Raises UsageError for an unknown name or option, and for values the architecture cannot take.
    """
    row = variant(name)
    return build(row, configure(row, overrides))


def configure(row: Variant, overrides: Mapping[str, Any]) -> Any:
    """The variant's config with ``overrides`` in place. Raises UsageError."""
    values = typed(type(row.config), overrides, f"option of {row.card.title}")
    try:
        return dataclasses.replace(row.config, **values)
    except ValueError as error:
        raise UsageError(f"{row.card.title}: {error}") from error


def build(row: Variant, config: Any) -> nn.Module:
    """The module of a variant with this config. Raises UsageError for values it cannot take."""
    try:
        model: nn.Module = row.build(config, **_parts_of(row, config))
    except ValueError as error:
        raise UsageError(f"{row.card.title}: {error}") from error
    return model


def _parts_of(row: Variant, config: Any) -> dict[str, nn.Module]:
    """The modules of a composite by name, built from its config."""
    if row.parts is None:
        return {}
    modules = {}
    for part, named in row.parts(config).items():
        name, overrides = (named, {}) if isinstance(named, str) else named
        own = variant(name)
        has = {field.name for field in dataclasses.fields(own.config)}
        options = {key: value for key, value in overrides.items() if key in has or key not in COMMON_OPTIONS}
        modules[part] = build(own, configure(own, options))
    return modules


def build_index() -> dict[str, Any]:
    """The index, built from the model files (imports all of them)."""
    import lamina.models

    index: dict[str, Any] = {}
    for info in sorted(pkgutil.iter_modules(lamina.models.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"lamina.models.{info.name}")
        for name, row in module.VARIANTS.items():
            if name in index:
                raise LaminaError(f"variant '{name}' is in {info.name}.py and in {index[name]['architecture']}.py")
            card_ = dataclasses.asdict(row.card)
            del card_["published"]  # in a table of their own
            index[name] = {"architecture": info.name, "card": card_}
    return index


def write_index() -> None:
    """Write ``cards/index.json`` from the model files: what ``make index`` runs."""
    path = resources.files("lamina.cards") / "index.json"
    text = json.dumps(build_index(), indent=1, ensure_ascii=False) + "\n"
    with open(str(path), "w", encoding="utf-8") as file:
        file.write(text)


def _fold(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


@cache
def _index() -> dict[str, Any]:
    text = (resources.files("lamina.cards") / "index.json").read_text(encoding="utf-8")
    index: dict[str, Any] = json.loads(text)
    return index


@dataclasses.dataclass(frozen=True)
class _Extra:
    """The variants of other packages."""

    rows: Mapping[str, Variant]
    homes: Mapping[str, str]
    """the package that each is from"""
    faults: tuple[str, ...]
    """models that cannot be used, and why"""
    conflicts: Mapping[str, str]
    """spellings, folded, that two packages register, with the message for each"""


@cache
def _extra() -> _Extra:
    rows: dict[str, Variant] = dict(_REGISTERED)
    homes: dict[str, str] = {}
    faults: list[str] = []
    conflicts: dict[str, str] = {}
    ours = {_fold(one) for name, entry in _index().items() for one in (name, *entry["card"]["aliases"])}
    taken = {_fold(one): ("register_model", row) for name, row in rows.items() for one in (name, *row.card.aliases)}
    for point in points_of(ENTRY_POINTS):
        package = package_of(point)
        try:
            table: Mapping[str, Any] = point.load().VARIANTS
        except Exception as error:  # whatever another package's import raises
            faults.append(f"the models of package '{package}' cannot be loaded: {type(error).__name__}: {error}")
            continue
        for name, row in table.items():
            if not isinstance(row, Variant):
                faults.append(f"the model '{name}' of package '{package}' is of type {type(row).__name__}, not Variant")
                continue
            for spelling in (name, *row.card.aliases):
                other, known = taken.setdefault(_fold(spelling), (package, row))
                if _fold(spelling) in ours:
                    faults.append(
                        f"package '{package}' brings the model '{spelling}', which lamina has itself: lamina's is used"
                    )
                elif known is not row:
                    both = f"packages '{other}' and '{package}' both bring the model '{spelling}'"
                    conflicts[_fold(spelling)] = f"{both}: uninstall one"
            if _fold(name) not in ours and taken[_fold(name)][1] is row:
                rows[name], homes[name] = row, package
    return _Extra(rows, homes, (*faults, *conflicts.values()), conflicts)


def faults() -> tuple[str, ...]:
    """Models of other packages that cannot be used, and why."""
    return _extra().faults


def package(name: str) -> str | None:
    """The package that a variant is from; None for our own and for one that was registered by hand."""
    return _extra().homes.get(canonical(name))


def register_model(name: str, row: Variant) -> None:
    """Add a variant for this process: ``register_model("mine", Variant(build=Mine, config=MineConfig(), card=...))``.

    A package registers its own with an entry point of the group ``lamina.models``. Raises UsageError for a name, or an
    alias, that exists already.
    """
    for spelling in (name, *row.card.aliases):
        if is_model(spelling):
            raise UsageError(f"there is a model called '{spelling}' already: choose another name")
    _REGISTERED[name] = row
    for cached in (_extra, _cards, _names):
        cached.cache_clear()


@cache
def _cards() -> dict[str, Card]:
    cards = {
        name: dataclasses.replace(_card_from(entry["card"]), published=PUBLISHED.get(name, ()))
        for name, entry in _index().items()
    }
    return {**cards, **{name: row.card for name, row in _extra().rows.items()}}


def _card_from(entry: Mapping[str, Any]) -> Card:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    values["reported"] = tuple(Reported(**row) for row in entry["reported"])
    if "published" in entry:  # of a card that was written whole
        values["published"] = tuple(PublishedWeights(**row) for row in entry["published"])
    if isinstance(shapes := entry["input"], Mapping):
        values["input"] = {player: tuple(shape) for player, shape in shapes.items()}
    if "sloped" in values:  # the name of this field in cards saved before it was renamed
        values["differentiable_method"] = values.pop("sloped")
    return Card(**values)


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for name, card_ in _cards().items():
        for spelling in (name, *card_.aliases):
            other = names.setdefault(_fold(spelling), name)
            if other != name and name in _index():
                raise LaminaError(f"'{spelling}' names both {other} and {name}")
    return names
