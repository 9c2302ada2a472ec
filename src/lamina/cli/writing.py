"""What came of many inputs: rows in full precision, written whole, and what failed, on stderr."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lamina.cli.output import clean, json_values
from lamina.errors import UsageError

if TYPE_CHECKING:
    from lamina.runs.prediction import Outcome

TABLES = (".csv", ".jsonl", ".parquet")
"""suffixes of what ``write_rows`` writes"""
SHOWN = 20
"""errors that are printed one by one"""
ROWS_AT_ONCE = 10_000


def check_out(name: str | None, suffixes: Sequence[str], option: str = "--out") -> Path | None:
    """The file of --out, or of another option. Raises UsageError for another suffix, and a folder that is not there."""
    if name is None:
        return None
    out = Path(name).expanduser()
    if out.suffix not in suffixes:
        endings = " or ".join(filter(None, (", ".join(suffixes[:-1]), suffixes[-1])))
        raise UsageError(f"{option} {name}: the name must end in {endings}")
    if not out.parent.is_dir():
        raise UsageError(f"{option} {name}: there is no folder {out.parent}")
    return out


def succeeded(outcomes: Iterable[Outcome], failed: list[Outcome]) -> Iterator[Outcome]:
    """The outcomes that have a value; the others are added to ``failed``, their errors printed as they come."""
    for outcome in outcomes:
        if outcome.error is None:
            yield outcome
            continue
        failed.append(outcome)
        if len(failed) <= SHOWN:
            message = str(outcome.error)
            where = "" if outcome.item in message or Path(outcome.item).name in message else f"{outcome.label}: "
            print(f"lamina: {clean(where + message)}", file=sys.stderr)


def status(failed: Sequence[Outcome], count: int) -> int:
    """The exit status after ``count`` successes; several inputs of which some failed are counted on stderr."""
    if not failed:
        return 0
    errors = [outcome.error for outcome in failed if outcome.error is not None]
    if len(failed) == 1 and not count:
        return errors[0].exit_code
    if len(failed) > SHOWN:
        print(f"lamina: ... and {len(failed) - SHOWN:,} more", file=sys.stderr)
    inputs = "1 input" if len(failed) == 1 else f"{len(failed):,} inputs"
    print(f"lamina: {inputs} failed, {count:,} succeeded", file=sys.stderr)
    return 1 if count else max(error.exit_code for error in errors)


def write_rows(out: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a table by its suffix, in full precision, whole or not at all; return the number of rows.

    Nested values are columns of their own in CSV and Parquet (``probabilities.cat``), lists in a CSV cell are JSON. The
    first row says which columns there are. Raises RunError where the file cannot be written.
    """
    from lamina.files import write_whole

    writer = {".csv": _write_csv, ".jsonl": _write_lines, ".parquet": _write_parquet}[out.suffix]
    counted = 0

    def counting() -> Iterator[Mapping[str, Any]]:
        nonlocal counted
        for row in rows:
            counted += 1
            yield row

    write_whole(out, lambda file: writer(file, counting()))
    return counted


def flat(row: Mapping[str, Any], under: str = "") -> dict[str, Any]:
    """A row with the values of mappings beside the others: ``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= flat(value, f"{under}{name}.") if isinstance(value, Mapping) else {f"{under}{name}": value}
    return found


def printable(name: str) -> str:
    """A name as UTF-8 can hold it: bytes of a file name that are no text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def _aligned(rows: Iterator[Mapping[str, Any]]) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """The columns, and the rows with a value in each. Rows without a prediction, which do not know all columns, may
    come first."""
    before: list[dict[str, Any]] = []
    names: list[str] = []
    for row in map(flat, rows):
        before.append(row)
        names = max(names, list(row), key=len)
        if all(value is not None for name, value in row.items() if name != "row"):
            break
    return names, ({name: row.get(name) for name in names} for row in chain(before, map(flat, rows)))


def _write_csv(file: IO[bytes], rows: Iterator[Mapping[str, Any]]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    names, aligned = _aligned(rows)
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in aligned:
        writer.writerow(
            {name: _as_json(value) if isinstance(value, list | tuple) else value for name, value in row.items()}
        )
    text.detach()


def _write_lines(file: IO[bytes], rows: Iterator[Mapping[str, Any]]) -> None:
    for row in rows:
        file.write((_as_json(row) + "\n").encode())


def _write_parquet(file: IO[bytes], rows: Iterator[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    writer = None
    _, aligned = _aligned(rows)
    while chunk := list(islice(aligned, ROWS_AT_ONCE)):
        table = pa.Table.from_pylist(chunk)
        if writer is None:
            empty = {True: pa.int64(), False: pa.string()}  # types of a column without a value so far
            fields = [
                pa.field(one.name, empty[one.name == "row"]) if one.type == pa.null() else one for one in table.schema
            ]
            writer = parquet.ParquetWriter(file, pa.schema(fields))
        writer.write_table(table.cast(writer.schema))
    if writer is not None:
        writer.close()


def _as_json(value: Any) -> str:
    return json.dumps(json_values(value), ensure_ascii=False, allow_nan=False)
