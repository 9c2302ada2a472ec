"""The index of a folder of images, or of tar shards: names, places, sizes, labels and headers, written once by
``lamina data FOLDER --index``, so that opening reads neither the files' headers nor those of the shards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.data.image.decoding import Header, ImageFile, ShardMember, header, size_of
from lamina.errors import DataError
from lamina.files import reason, write_whole

NAME = ".lamina-index.parquet"
"""hidden, so that it is no data"""
HOW = "lamina data FOLDER --index reads all of them once"
FORMAT = 1


def write_index(root: Path, images: Mapping[str, ImageFile], shards: Sequence[Path]) -> Path:
    """Write the index of the images below ``root``, by name. Raises DataError for one that cannot be read, RunError
    where the index cannot be written."""
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {}
    for name, image in images.items():
        facts = header(image)
        row: dict[str, Any] = {"name": name, "size": size_of(image), **vars(facts)}
        if isinstance(image, ShardMember):
            shard = image.shard.relative_to(root).as_posix()
            row |= {"shard": shard, "member": image.name, "offset": image.offset, "label": image.label}
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    marks = {shard.relative_to(root).as_posix(): _mark(shard) for shard in shards}
    about = {b"lamina": json.dumps({"format": FORMAT, "shards": marks}).encode()}
    table = pa.table(columns).replace_schema_metadata(about)
    path = root / NAME
    write_whole(path, lambda file: parquet.write_table(table, file))
    return path


def read_index(root: Path, images: Iterable[tuple[str, ImageFile]]) -> dict[str, Header] | None:
    """The headers of the images by name; None without an index. Raises DataError where it is stale."""
    if not (root / NAME).is_file():
        return None
    columns, _ = _read(root)
    found = dict(zip(columns["name"], zip(*(columns[key] for key in _KEYS), strict=True), strict=True))
    headers: dict[str, Header] = {}
    for name, image in images:
        size, *facts = found.get(name, (None,))
        if size is None:
            raise _stale(root, f"'{name}' is not in it")
        if size != size_of(image):
            raise _stale(root, f"'{name}' had {size:,} bytes")
        headers[name] = Header(*facts)
    return headers


def indexed_members(root: Path, shards: Sequence[Path]) -> list[ShardMember] | None:
    """The images in the shards, as the index has them; None without an index. Raises DataError for a shard that is
    missing, or has changed since."""
    if not (root / NAME).is_file():
        return None
    columns, marks = _read(root)
    there = {shard.relative_to(root).as_posix(): shard for shard in shards}
    for name, (size, when) in marks.items():
        if name not in there:
            raise DataError(f"the shard '{root / name}' is missing: the index names it ({_anew(root)} without it)")
        now = _mark(there[name])
        if now[0] < size:
            raise DataError(f"the shard '{there[name]}' is cut off: it has {now[0]:,} of {size:,} bytes")
        if now != [size, when]:
            raise _stale(root, f"'{name}' has changed since")
    if added := sorted(set(there) - set(marks)):
        raise _stale(root, f"'{added[0]}' is not in it")
    if "member" not in columns:
        raise _stale(root, "it is of files outside shards")
    rows = zip(*(columns[key] for key in ("shard", "member", "offset", "size", "label")), strict=True)
    members = [ShardMember(there[shard], *facts) for shard, *facts in rows]
    place = {shard: number for number, shard in enumerate(shards)}
    return sorted(members, key=lambda member: (place[member.shard], member.offset))


_KEYS = ("size", "channels", "height", "width", "deep")


def _read(root: Path) -> tuple[dict[str, list[Any]], dict[str, list[int]]]:
    import pyarrow as pa
    from pyarrow import parquet

    path = root / NAME
    try:
        table = parquet.read_table(path)
        about = json.loads((table.schema.metadata or {})[b"lamina"])
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']}")
        return table.to_pydict(), about["shards"]
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"the index '{path}' cannot be read ({reason(error)}): {_anew(root)}") from None


def _mark(shard: Path) -> list[int]:
    stats = shard.stat()
    return [stats.st_size, stats.st_mtime_ns]


def _stale(root: Path, why: str) -> DataError:
    return DataError(f"the index '{root / NAME}' is stale: {why}; {_anew(root)}")


def _anew(root: Path) -> str:
    return f"lamina data {root} --index writes it anew"
