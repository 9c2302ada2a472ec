"""The files of a run that are pushed: what its verbs need, without the places of files on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import yaml

from lamina.data.catalogue import is_path
from lamina.data.modality import preprocess_files
from lamina.runs.places import PLACES
from lamina.runs.run import Run
from lamina.weights.hub import RUN_FILES


def contents(run: Run) -> dict[str, bytes | Path]:
    """The files of a run by their name in the repository, besides README.md.

    Samples and the report stay: they show data. Raises RunError for a run without weights.
    """
    run.directory.expect_weights()
    names = dict.fromkeys((*RUN_FILES, *preprocess_files(run.directory.read("preprocess.json"))))
    found: dict[str, bytes | Path] = {name: run.path / name for name in names if (run.path / name).is_file()}
    for name in ("config.yaml", "card.json", "data.json"):
        found[name] = _dumped(name, without_places(run.directory.read(name))).encode()
    for name, content in found.items():
        if name.endswith((".json", ".yaml")):
            text = content.read_text(encoding="utf-8") if isinstance(content, Path) else content.decode()
            found[name] = scrubbed(text, run).encode()
    return found


def scrubbed(text: str, run: Run) -> str:
    """A text in which the paths of the run's data are their last parts."""
    config = run.directory.read("config.yaml")
    given = [one for key in ("data", *PLACES) for one in _listed(config.get(key))]
    places = {place for place in given if isinstance(place, str) and is_path(place) and len(PurePath(place).parts) > 1}
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(place, PurePath(place).name)
    return text


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def without_places(value: Any) -> Any:
    """Plain values in which no path is left: of the places of the data nothing, of other paths the last part."""
    if isinstance(value, Mapping):
        return {
            key: _name(one) if key == "data" else without_places(one) for key, one in value.items() if key not in PLACES
        }
    if isinstance(value, list):
        return [without_places(one) for one in value]
    return _shortened(value)


def _name(data: Any) -> Any:
    """The name of data: of a path its last part."""
    if isinstance(data, list):
        return [_name(one) for one in data]
    return PurePath(data).name if isinstance(data, str) and is_path(data) else without_places(data)


def _shortened(value: Any) -> Any:
    """A text that is the path of something on this machine as its last part."""
    if not isinstance(value, str) or "\n" in value or " / " in value:
        return value
    if value.startswith(("/", "~/", "./", "../")) and len(PurePath(value).parts) > 1:
        return PurePath(value).name
    return value


def _dumped(name: str, value: Mapping[str, Any]) -> str:
    if name.endswith(".yaml"):
        return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
