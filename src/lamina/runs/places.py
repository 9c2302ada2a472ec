"""Where the data of a run are: as they were named, by their absolute path, and as seen from the run's folder.

``config.yaml`` keeps all three, so that data are found from another working folder, and after a move of the run, or
of the run together with the data. Of several data (``--data`` twice) each has its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from lamina.data.catalogue import is_path
from lamina.errors import UsageError

PLACES = ("data_path", "data_from_run")
"""keys of config.yaml beside "data": the absolute path, and the path relative to the run's folder"""

Data = str | tuple[str, ...]


def with_places(config: Mapping[str, Any], found: Data, run: Path) -> dict[str, Any]:
    """A configuration with the places of its data, which are now at ``found``, seen from the folder ``run``.

    ``with_places({"data": "photos", ...}, "photos", Path("runs/lenet5-photos"))["data_from_run"]`` is ``../../photos``.
    Embedded sets and ``hf:...`` have no place.
    """
    paths = [_absolute(one) if is_path(one) else None for one in _listed(found)]
    if not any(paths):
        return dict(config)
    # real paths: ".." leaves the folder that a link points to, not the one that holds the link
    base = os.path.realpath(run)
    seen = [None if path is None else os.path.relpath(os.path.realpath(path), base) for path in paths]
    values = [paths[0], seen[0]] if isinstance(found, str) else [paths, seen]
    places = dict(zip(PLACES, values, strict=True))
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= {key: value, **places} if key == "data" else {key: value}
    return out


def where(config: Mapping[str, Any], run: Path) -> Iterator[Data]:
    """The places where the data of a saved configuration are, in the order to look: as named, by the absolute path,
    from the folder ``run``. Without any, they are nowhere."""
    each = [[place for place in _distinct(places) if _is_there(place)] for places in _places(config, run)]
    yield from product(*each) if not isinstance(config["data"], str) else each[0]


def nowhere(config: Mapping[str, Any], run: Path) -> str:
    """Where the data were looked for, in words: those that are at none of their places."""
    missing = [_distinct(places) for places in _places(config, run) if not any(map(_is_there, places))]
    return "; ".join(" or ".join(f"'{place}'" for place in places) for places in missing)


def former_folder(named: Any, place: Any) -> Path | None:
    """The folder from which data are named as they were: /home/me for data/x.csv that are at /home/me/data/x.csv. Other
    relative paths of a run, such as that of the images of a table, were given in the same one."""
    if not isinstance(named, str) or not isinstance(place, str) or not is_path(named):
        return None
    tail = os.sep + os.path.normpath(os.path.expanduser(named))
    whole = _absolute(place)
    return Path(whole.removesuffix(tail) or os.sep) if whole.endswith(tail) else None


def relocated(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A configuration file's values with its data at the first place where they are; ``folder`` holds the file."""
    plain = {key: value for key, value in config.items() if key not in PLACES}
    if plain.keys() == config.keys() or "data" not in config:
        return plain
    found = next(where(config, folder), None)
    return plain if found is None else {**plain, "data": found if isinstance(found, str) else list(found)}


def _places(config: Mapping[str, Any], run: Path) -> list[list[str]]:
    names = _listed(config["data"])
    paths, seen = (_listed(config.get(key)) or [None] * len(names) for key in PLACES)
    if not len(names) == len(paths) == len(seen):
        raise UsageError(f"{run / 'config.yaml'}: {' and '.join(PLACES)} must have a place for each of the data")
    beside = [None if one is None else os.path.normpath(Path(os.path.realpath(run), one)) for one in seen]
    return [
        [place for place in (str(name), path, other) if place is not None]
        for name, path, other in zip(names, paths, beside, strict=True)
    ]


def _listed(data: Any) -> list[Any]:
    return [] if data is None else [data] if isinstance(data, str) else list(data)


def _absolute(data: str) -> str:
    return os.path.abspath(os.path.expanduser(data))


def _is_there(place: str) -> bool:
    return not is_path(place) or Path(place).expanduser().exists()


def _distinct(places: Sequence[str]) -> list[str]:
    """The places without those that are another by another name."""
    found: dict[str, str] = {}
    for place in places:
        found.setdefault(os.path.realpath(_absolute(place)) if is_path(place) else place, place)
    return list(found.values())
