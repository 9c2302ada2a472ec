"""Bytes in a column of Parquet files, such as images as Hugging Face stores them: read where they lie, by row group."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

CONTENT = "bytes"
"""the field of a struct that holds them, beside the name of the file that they are from"""
MAGIC = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
"""first bytes of image files"""
END = b"PAR1"
MOST_HELD = 256 * 2**20
"""bytes of the row groups that a process keeps"""
LARGE_GROUP = 64 * 2**20
"""bytes of a row group that the user should know of"""
NO_CLASS = -1
"""the class index of a row without a class"""


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """A cell of bytes in a Parquet file, read with its row group."""

    part: Path
    column: str
    group: int
    """its row group"""
    place: int
    """in its row group, from 0"""
    row: int
    """in the file, from 1"""
    size: int
    """mean bytes of a cell of its row group: those of one cell are not known before it is read"""

    @property
    def name(self) -> str:
        return f"{self.part.name}, row {self.row}"

    def __str__(self) -> str:
        return f"{self.part}, row {self.row}"

    def read(self) -> bytes:
        """The bytes. Raises OSError for a file that is gone or damaged, and for an empty cell."""
        cell = GROUPS.column(self)[self.place].as_py()
        if cell is None:
            raise OSError(f"column '{self.column}' holds nothing there")
        content: bytes = cell
        return content


class RowGroups:
    """The row groups that were read last, of at most ``MOST_HELD`` bytes, or the last one alone; for all threads."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew, as in a process that was forked: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[object, ...], pa.ChunkedArray] = OrderedDict()
        self._opened: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self.held_bytes = 0
        self.reads = 0
        """row groups read so far"""

    def column(self, cell: StoredBytes) -> pa.ChunkedArray:
        """The bytes of all rows of a cell's row group."""
        stats = os.stat(cell.part)
        file = (cell.part, stats.st_size, stats.st_mtime_ns)
        key = (*file, cell.column, cell.group)
        with self._lock:  # threads that wait mostly wait for the same row group
            if key not in self._held:
                column = self._read(file, cell)
                while self._held and self.held_bytes + column.nbytes > MOST_HELD:
                    self.held_bytes -= self._held.popitem(last=False)[1].nbytes
                self._held[key] = column
                self.held_bytes += column.nbytes
            self._held.move_to_end(key)
            return self._held[key]

    def _read(self, file: tuple[object, ...], cell: StoredBytes) -> pa.ChunkedArray:
        from pyarrow import compute, parquet

        if file not in self._opened:
            self._opened[file] = parquet.read_metadata(cell.part)
            if len(self._opened) > 100:
                self._opened.popitem(last=False)
        with parquet.ParquetFile(cell.part, metadata=self._opened[file]) as opened:
            struct = _is_struct(opened.schema_arrow.field(cell.column).type)
            leaves = [f"{cell.column}.{CONTENT}" if struct else cell.column]
            table = opened.read_row_group(cell.group, columns=leaves, use_threads=False)
        self.reads += 1
        column = table.column(0)
        return compute.struct_field(column, [0]) if _is_struct(column.type) else column


GROUPS = RowGroups()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=GROUPS.forget)


def read_parquet(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A Parquet file, and notes. Columns of image bytes (a struct with ``bytes``, or bytes that begin as an image file
    does) are not read: their cells are ``StoredBytes``, and columns that Hugging Face calls classes hold their names.

    Raises DataError for a file that is cut off, and what pandas and pyarrow raise.
    """
    import pandas as pd
    from pyarrow import parquet

    _expect_whole(path)
    with parquet.ParquetFile(path) as file:
        stored = [name for name in dict.fromkeys(file.schema_arrow.names) if _holds_bytes(file, name)]
        if not stored:
            return pd.read_parquet(path), ()
        names, about = file.schema_arrow.names, file.schema_arrow.metadata or {}
        others = [name for name in names if name not in stored]
        frame = pd.read_parquet(path, columns=others) if others else pd.DataFrame(index=range(file.metadata.num_rows))
        for column, classes in _classes(about).items():
            if column in others:
                frame[column] = _named(frame[column], classes, path)
        largest = 0
        for name in stored:
            cells, group_bytes = _cells(file, path, name)
            frame.insert(min(names.index(name), len(frame.columns)), name, pd.Series(cells, index=frame.index))
            largest = max(largest, group_bytes)
    if largest <= LARGE_GROUP:
        return frame, ()
    return frame, (
        f"a row group of '{path.name}' holds {largest / 2**20:,.0f} MiB of images, and is read as a whole for each of "
        "them: written with fewer rows in a group (pyarrow's write_table(..., row_group_size=100)), or as tar shards, "
        "they are read faster and in less memory",
    )


def class_columns(frame: pd.DataFrame, name: str) -> tuple[str, ...]:
    """The columns of classes, as Hugging Face calls them, in the file that the images in column ``name`` are in."""
    from pyarrow import parquet

    cell: StoredBytes = frame[name].iloc[0]
    return tuple(_classes(parquet.read_schema(cell.part).metadata or {}))


def _expect_whole(path: Path) -> None:
    """Raise DataError for a file without the mark that ends every Parquet file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(END)))
        if file.read() != END:
            raise DataError(f"cannot read '{path}': it is cut off after {size:,} bytes, or no Parquet file")


def table_bytes(path: Path) -> int:
    """The bytes of the columns that ``read_parquet`` reads, at least: as they are stored, or eight for each number.

    Raises DataError for a file that is cut off, and what pyarrow raises.
    """
    from pyarrow import parquet

    _expect_whole(path)
    with parquet.ParquetFile(path) as file:
        stored = [name for name in file.schema_arrow.names if _holds_bytes(file, name)]
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        columns = [group.column(place) for group in groups for place in range(group.num_columns)]
        read: int = sum(
            one.total_uncompressed_size for one in columns if one.path_in_schema.split(".")[0] not in stored
        )
        cells: int = file.metadata.num_rows * (len(file.schema_arrow.names) - len(stored))
    return max(read, 8 * cells)


def stored_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of ``StoredBytes``.

    Example: of the columns image and label of a Hugging Face data set ``["image"]``.
    """
    return [str(name) for name in frame.columns if len(frame) and isinstance(frame[name].iloc[0], StoredBytes)]


def _holds_bytes(file: parquet.ParquetFile, name: str) -> bool:
    kind = file.schema_arrow.field(name).type
    if _is_struct(kind):
        place = kind.get_field_index(CONTENT)
        return place >= 0 and _is_binary(kind.field(place).type)
    if not _is_binary(kind):
        return False
    first = next(file.iter_batches(batch_size=1, columns=[name], use_threads=False), None)
    cell = None if first is None or not len(first) else first.column(0)[0].as_py()
    return cell is not None and cell.startswith(MAGIC)


def _is_binary(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_struct(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_struct(kind))


def _cells(file: parquet.ParquetFile, path: Path, name: str) -> tuple[list[StoredBytes], int]:
    """The cells of a column, and the bytes of its largest row group."""
    cells: list[StoredBytes] = []
    largest = 0
    for group in range(file.metadata.num_row_groups):
        about = file.metadata.row_group(group)
        columns = [about.column(place) for place in range(about.num_columns)]
        total = sum(one.total_uncompressed_size for one in columns if one.path_in_schema in (name, f"{name}.{CONTENT}"))
        size, start = total // max(1, about.num_rows), len(cells) + 1
        cells += [StoredBytes(path, name, group, place, start + place, size) for place in range(about.num_rows)]
        largest = max(largest, total)
    return cells, largest


def _classes(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """The names of classes by column, as Hugging Face writes them."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        found = {str(key): one.get("names") for key, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return {key: [*map(str, names)] for key, names in found.items() if isinstance(names, list)}


def _named(column: pd.Series[Any], classes: list[str], path: Path) -> pd.Series[Any]:
    """Names of classes in place of their numbers. Raises DataError for a number that has none."""
    missing = column.isna() | (column == NO_CLASS)
    wrong = ~missing & ~column.isin(range(len(classes)))
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise DataError(
            f"{path.name}, row {row + 1}: column '{column.name}' holds class {column.iloc[row]}, but the file names "
            f"{len(classes)}"
        )
    return column.map(dict(enumerate(classes)), na_action="ignore").astype(object).where(~missing, None)
