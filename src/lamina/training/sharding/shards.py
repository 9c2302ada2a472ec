"""Checkpoints of divided nets: a file of plain values, and the tensors in shards, one for each process.

torch's distributed checkpointing writes the shards as safetensors; the file names them, with their sizes and checksums,
and is written last. So a checkpoint is whole or not there, is read without executing anything, and by any number of
processes: each reads its rows of every tensor; one process without torch.distributed reads them all.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamina.errors import RunError
from lamina.files import reason
from lamina.training.sharding.whole import is_divided, joined, local, rows_of

MARK = "divided tensor"
"""key of the entry that stands in the file for a tensor in the shards"""
OFFSETS = "DCP_SHARDING_INFO"  # in the header of each shard, by torch's writer: where its rows begin


def write_shards(folder: Path, state: Mapping[str, Any]) -> dict[str, Any]:
    """Write the divided tensors of a state into a new folder, each process its own, and return the state with marks in
    their place and the names, sizes and checksums of all shards. A collective call.

    Raises RunError, in all processes, where one cannot write.
    """
    from torch import distributed
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    tensors: dict[str, Tensor] = {}
    plain = _split(state, "", tensors, {})
    rank, world = distributed.get_rank(), distributed.get_world_size()

    def prepare() -> None:
        if rank == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)

    def write() -> dict[str, list[int]]:
        writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
        try:
            save(tensors, storage_writer=writer)
        except CheckpointException as error:
            first = next(iter(error.failures.values()))[0]
            raise RunError(f"cannot write {folder}: {reason(first)}; earlier checkpoints are unchanged") from error
        return {path.name: [path.stat().st_size, _checksum(path)] for path in folder.glob(f"shard-{rank + 1:05}-*")}

    _together(prepare, f"cannot write {folder}")
    found = _together(write, f"cannot write {folder}")
    files = {name: facts for mine in found for name, facts in mine.items()}
    _together(lambda: _sync(folder) if rank == 0 else None, f"cannot write {folder}")
    return {**plain, "shards": {"folder": folder.name, "files": files, "processes": world}}


def read_shards(path: Path, state: dict[str, Any], mesh: Any = None, advice: str = "") -> dict[str, Any]:
    """The state of a checkpoint's file with the tensors of its shards, whole, or for a mesh of processes divided among
    them. Raises RunError for a shard that is missing, cut off or damaged."""
    facts = state["shards"]
    folder = path.parent / Path(facts["folder"]).name
    rank, world = (0, 1) if mesh is None else (mesh.get_rank(), mesh.size())
    names = sorted(Path(name).name for name in facts["files"])
    for name in names:
        _expect_size(folder / name, facts["files"][name][0], advice)

    def check() -> None:
        for name in names[rank::world]:
            if _checksum(folder / name) != facts["files"][name][1]:
                raise RunError(f"{folder / name} is damaged (wrong checksum); {advice}")

    if mesh is None:
        check()
    else:
        _together(check, f"cannot read {folder}")
    index = _index([folder / name for name in names])

    def read(name: str) -> Tensor:
        pieces = index[name]
        length = max(begin + rows for _, begin, rows in pieces)
        wanted = rows_of(length, rank, world)
        found = []
        for shard, begin, rows in pieces:
            low, high = max(wanted.start, begin), min(wanted.stop, begin + rows)
            if low < high:
                found.append(shard.get_slice(name)[low - begin : high - begin])
        if not found:
            (shard, _, _) = next(piece for piece in pieces if piece[2])
            found = [shard.get_slice(name)[:1][:0]]
        part = torch.cat(found)
        return part if mesh is None else joined(part, length, mesh)

    filled = _fill({key: value for key, value in state.items() if key != "shards"}, read)
    assert isinstance(filled, dict)
    return filled


def _split(value: Any, place: str, tensors: dict[str, Tensor], written: dict[int, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _split(item, f"{place}/{key}", tensors, written) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_split(item, f"{place}/{number}", tensors, written) for number, item in enumerate(value))
    if is_divided(value):
        part, own = local(value), place[1:]
        name = written.setdefault(part.data_ptr(), own) if part.numel() else own  # tied weights are written once
        tensors[name] = value
        return {MARK: name}
    return value


def _fill(value: Any, read: Callable[[str], Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {MARK}:
            return read(value[MARK])
        return {key: _fill(item, read) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_fill(item, read) for item in value)
    return value


def _index(paths: list[Path]) -> dict[str, list[tuple[Any, int, int]]]:
    """By name of a tensor its pieces, in order: the open shard, its first row, its number of rows."""
    from safetensors import safe_open

    found: dict[str, list[tuple[Any, int, int]]] = {}
    for path in paths:
        shard: Any = safe_open(path, framework="pt")
        offsets = json.loads(shard.metadata()[OFFSETS])
        for name in shard.keys():  # noqa: SIM118  # not a mapping
            rows = shard.get_slice(name).get_shape()[0]
            found.setdefault(name, []).append((shard, offsets[name]["saved_offsets"][0], rows))
    return {name: sorted(pieces, key=lambda piece: piece[1]) for name, pieces in found.items()}


def _expect_size(path: Path, size: int, advice: str) -> None:
    try:
        actual = path.stat().st_size
    except OSError:
        raise RunError(f"a shard is missing: {path}; {advice}") from None
    if actual != size:
        raise RunError(f"{path} is cut off: it has {actual:,} of {size:,} bytes; {advice}")


def _together(work: Callable[[], Any], what: str) -> list[Any]:
    """What each process's ``work`` returned, by rank. Raises RunError in all processes where one of them fails."""
    outcome: tuple[str | None, Any]
    try:
        outcome = (None, work())
    except RunError as error:
        outcome = (str(error), None)
    except OSError as error:
        outcome = (f"{what}: {reason(error)}; earlier checkpoints are unchanged", None)
    everyone: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, outcome)
    for failure, _ in everyone:
        if failure is not None:
            raise RunError(failure)
    return [value for _, value in everyone]


def _checksum(path: Path) -> int:
    found = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 22):
            found = zlib.crc32(piece, found)
    return found


def _sync(folder: Path) -> None:
    for place in (folder, folder.parent):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
