"""Weights in several files: shards, and the index that says which holds what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from lamina.errors import DataError, UsageError

INDEX = ".index.json"
"""the end of an index's name: ``model.safetensors.index.json``, ``pytorch_model.bin.index.json``"""
SHARD = re.compile(r"(?P<stem>.+)-\d{3,6}-of-(?P<count>\d{3,6})(?P<suffix>\.\w+)")
"""a shard's name: ``model-00001-of-00003.safetensors``"""
SHOWN = 3


def is_index(path: Path) -> bool:
    """Whether a file is an index: ``is_index(Path("model.safetensors.index.json"))``."""
    return path.name.endswith(INDEX)


def expect_whole(path: Path) -> None:
    """Raise UsageError, which names the index, for a file that is one of several shards."""
    match = SHARD.fullmatch(path.name)
    if match and int(match["count"]) > 1:
        index = path.with_name(f"{match['stem']}{match['suffix']}{INDEX}")
        where = str(index) if index.is_file() else f"{index}, which belongs beside it"
        raise UsageError(f"{path} is one of {int(match['count'])} shards: give their index, {where}")


def shards_of(index: Path) -> dict[str, Path]:
    """The file of each tensor, by an index. Raises DataError for an index that is damaged or lacks a shard."""
    try:
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        places = {name: index.parent / file for name, file in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{index} is damaged, or not an index of weights: no 'weight_map' in it ({error!r})") from None
    if not places:
        raise DataError(f"{index} lists no weights")
    for file in files.values():
        if Path(file).name != file or is_index(Path(file)):
            raise DataError(f"{index} names '{file}', which is not a file beside it")
    lost = sorted({path.name for path in places.values() if not path.is_file()})
    if lost:
        more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        raise DataError(f"{index} names shards that are not beside it: {', '.join(lost[:SHOWN])}{more}")
    return places


def joined(index: Path, read: Callable[[Path], Mapping[str, Tensor]]) -> tuple[dict[str, Tensor], tuple[Path, ...]]:
    """The tensors of all shards, read one by one, and the files: the index, then the shards.

    ``joined(Path("model.safetensors.index.json"), load_file)``. Raises DataError where a shard and the index differ.
    """
    places = shards_of(index)
    files = tuple(sorted(set(places.values())))
    tensors: dict[str, Tensor] = {}
    for file in files:
        held = read(file)
        listed = {name for name, place in places.items() if place == file}
        for names, says in ((listed - held.keys(), "lacks"), (held.keys() - listed, "also holds")):
            if names:
                raise DataError(f"{file} is not the shard that {index.name} lists: it {says} {sorted(names)[0]}")
        tensors |= held
    return tensors, (index, *files)
