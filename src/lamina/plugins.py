"""Tables that other packages extend by entry points; each row is imported on first use.

A package that cannot be imported does not affect the others; an error names it when one of its rows is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from typing import Any, Generic, TypeVar

from lamina.errors import UsageError, unknown

Row = TypeVar("Row")


class Plugins(Generic[Row]):
    """Rows by name: our own as "module:name" strings, and those of the entry points of ``group``.

        TASKS = Plugins("lamina.tasks", "task", {"regression": "lamina.tasks.regression:KIND"})
        TASKS["regression"]

    An entry point's name is the row's name, its value the object: ``ranking = package.ranking:KIND``. ``what`` names a
    row in messages ("task"); ``cls`` is the class that a row is of, or a subclass of.
    """

    def __init__(self, group: str, what: str, own: Mapping[str, str], cls: type[Any]) -> None:
        self.group, self.what, self.own, self.cls = group, what, dict(own), cls
        self._rows: dict[str, Row] = {}
        self.conflicts: dict[str, str] = {}
        """names that two packages register, with the message for each"""
        self.faults: dict[str, str] = {}
        """rows that ``find`` skipped, with the reason for each"""

    @cached_property
    def points(self) -> dict[str, metadata.EntryPoint]:
        """Entry points of other packages by name; names of two packages are in ``conflicts``."""
        found: dict[str, metadata.EntryPoint] = {}
        for point in points_of(self.group):
            if point.name in self.own:
                self.conflicts[point.name] = (
                    f"package '{package_of(point)}' brings the {self.what} '{point.name}', which lamina has itself: "
                    "lamina's own is used"
                )
            elif point.name in found and found[point.name].value != point.value:
                both = f"'{package_of(found[point.name])}' and '{package_of(point)}'"
                self.conflicts[point.name] = f"packages {both} both bring the {self.what} '{point.name}': uninstall one"
            else:
                found[point.name] = point
        return found

    def __iter__(self) -> Iterator[str]:
        return iter((*self.own, *self.points))

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.points

    def __getitem__(self, name: str) -> Row:
        """Raises UsageError for an unknown name (with the nearest one), and for a row whose package fails."""
        if name not in self._rows:
            if name not in self:
                raise unknown(self.what, name, self)
            self._rows[name] = self._load(name)
        return self._rows[name]

    def package(self, name: str) -> str | None:
        """The package that a row is from; None for our own."""
        return None if name in self.own or name not in self.points else package_of(self.points[name])

    def find(self, name: str) -> Row | None:
        """A row where others may take its place: None where there is none of this name, and where its package fails,
        of which ``faults`` then says why."""
        if name not in self:
            return None
        try:
            return self[name]
        except UsageError as error:
            self.faults[name] = str(error)
            return None

    def _load(self, name: str) -> Row:
        if name in self.own:
            loaded: Row = load(self.own[name])
            return loaded
        point = self.points[name]
        if name in self.conflicts:
            raise UsageError(self.conflicts[name])
        try:
            row: Row = point.load()
        except Exception as error:  # whatever another package's import raises
            raise UsageError(
                f"the {self.what} '{name}' of package '{package_of(point)}' cannot be loaded: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(row, self.cls) and not (isinstance(row, type) and issubclass(row, self.cls)):
            raise UsageError(
                f"the {self.what} '{name}' of package '{package_of(point)}' cannot be used: '{point.value}' is of type "
                f"{type(row).__name__}, not {self.cls.__name__}"
            )
        return row

    def forget(self) -> None:
        """Clear the caches, for tests that install packages."""
        self._rows.clear()
        self.conflicts.clear()
        self.faults.clear()
        self.__dict__.pop("points", None)


def load(where: str) -> Any:
    """The object that "module:name" names."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def points_of(group: str) -> list[metadata.EntryPoint]:
    """The entry points of a group, in order of their packages' names: which comes first must not be chance."""
    return sorted(metadata.entry_points(group=group), key=lambda point: (package_of(point), point.name))


def package_of(point: metadata.EntryPoint) -> str:
    """The distribution that an entry point belongs to, else the module it names."""
    return point.dist.name if point.dist is not None else point.value.partition(":")[0]
