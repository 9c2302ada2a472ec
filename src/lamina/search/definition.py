"""The definition of a search: what ``search.yaml`` holds, and what workers on one storage have in common."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.errors import RunError, UsageError
from lamina.options.conversion import made
from lamina.options.documents import read_yaml
from lamina.search.options import SearchOptions
from lamina.search.storage import is_url

FILE, JOURNAL = "search.yaml", "journal.log"
FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Definition:
    """What makes two searches the same: as ``search.yaml`` holds it."""

    model: str
    options: Mapping[str, Any]
    """of every training, flat: data, recipe, model"""
    space: Mapping[str, Any]
    strategy: Mapping[str, Any]
    """its name, and options"""
    search: SearchOptions
    storage: str
    name: str
    """of the study in the storage"""
    data: str = ""
    """fingerprint of the data"""
    objectives: tuple[tuple[str, bool], ...] = ()
    """name, and whether it is maximised"""
    length: int = 0
    """epochs of a trial"""

    def to_dict(self) -> dict[str, Any]:
        plain = dataclasses.asdict(self)
        plain["search"] = {key: list(v) if isinstance(v, tuple) else v for key, v in plain["search"].items()}
        plain["objectives"] = [list(one) for one in self.objectives]
        return {"format": FORMAT, **json.loads(json.dumps(plain))}

    @classmethod
    def read(cls, folder: Path) -> Definition:
        """Raises UsageError for a folder that holds no search, RunError for one that cannot be read."""
        path = folder / FILE
        if not path.is_file():
            what = "no such search" if not folder.exists() else "no search is in"
            raise UsageError(f"{what}: {folder}")
        try:
            values = read_yaml(path.read_text(encoding="utf-8"), FILE)
            if values.pop("format") != FORMAT:
                raise RunError(f"{path} is of another version of lamina")
            search = made(SearchOptions, values.pop("search"), "search option")
            objectives = tuple((str(name), bool(up)) for name, up in values.pop("objectives"))
            return cls(**values, search=search, objectives=objectives)
        except (UsageError, OSError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {str(error).partition(chr(10))[0]}") from None

    @property
    def identity(self) -> dict[str, Any]:
        """What workers on one storage must have in common."""
        plain = self.to_dict()
        recipe = {key: value for key, value in plain["options"].items() if key != "data"}
        how = {
            key: value for key, value in plain["search"].items() if key not in ("trials", "top", "seeds", "baseline")
        }
        common = {key: plain[key] for key in ("model", "space", "data", "strategy", "objectives")}
        return {**common, "recipe": recipe, "options": how}


def place_of(storage: str | None) -> str:
    """A storage as ``search.yaml`` holds it: the journal in the folder, a file, or an SQL URL. Raises UsageError."""
    if storage is None:
        return JOURNAL
    if re.match(r"[a-z]{2,}(\+\w+)?:", storage) and not is_url(storage):
        raise UsageError(f"'{storage}' is no SQL URL: such as sqlite:///trials.db")
    return storage if is_url(storage) else str(Path(storage).expanduser().absolute())


def json_plain(value: Any) -> Any:
    """A value as JSON has it: tuples are lists."""
    return json.loads(json.dumps(value))


def shortly(value: Any) -> str:
    """A value in a message."""
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
