"""CSV files drawn at random: what is read is what was written, or the refusal names the place and a way out."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.data.options import DataOptions
from lamina.data.tabular.cells import as_texts
from lamina.data.tabular.rows import read_rows
from lamina.errors import DataError

WORDS = ("hot", "NA", "None", "null", "Ömer", "a, b", "x;y", "é|ü", 'say "no"', "two\nlines", "it's", "?", "-", "Nr 5")
Cell = float | str | None


@dataclass(frozen=True)
class Written:
    """A file's form and contents."""

    delimiter: str
    decimal: str
    thousands: str
    quoting: int
    encoding: str
    header: bool
    end: str
    padded: bool
    columns: tuple[tuple[Cell, ...], ...]
    digits: tuple[int | None, ...]
    """digits after the decimal mark of each column; None: texts"""
    blank: str

    @property
    def names(self) -> list[str]:
        return [f"c{k}" if self.header else str(k + 1) for k in range(len(self.columns))]

    def cell(self, value: Cell, digits: int | None) -> str:
        if value is None:
            return self.blank if digits is not None else ""
        if isinstance(value, str):
            return value
        text = f"{value:,.{digits}f}".replace(",", "T").replace(".", self.decimal)
        return text.replace("T", self.thousands)

    def bytes(self) -> bytes:
        file = io.StringIO(newline="")
        writer = csv.writer(
            file,
            delimiter=self.delimiter,
            quoting=self.quoting,
            lineterminator=self.end,  # type: ignore[arg-type]
        )
        if self.header:
            writer.writerow([f" {name}" if self.padded else name for name in self.names])
        for row in zip(*self.columns, strict=True):
            cells = [self.cell(value, digits) for value, digits in zip(row, self.digits, strict=True)]
            writer.writerow([f" {cell} " if self.padded and cell else cell for cell in cells])
        return file.getvalue().encode(self.encoding)


@st.composite
def files(draw: st.DrawFn) -> Written:
    rows = draw(st.integers(2, 5))
    header = draw(st.booleans())
    fewest = 1 if header else 2  # 12,5 alone is a number or two
    digits = draw(st.lists(st.sampled_from((None, 0, 2, 3)), min_size=fewest, max_size=4))
    columns: list[tuple[Cell, ...]] = []
    for places in digits:
        if places is None:
            words = st.sampled_from(WORDS)
            column: list[Any] = ["hot", *draw(st.lists(st.none() | words, min_size=rows - 1, max_size=rows - 1))]
        else:
            # a number that leaves no doubt, and any others
            sure = {0: 12.0, 2: 1234.25, 3: 0.125}[places]
            scaled = st.integers(-(10**8), 10**8).map(lambda one, places=places: one / 10**places)
            column = [sure, *draw(st.lists(st.none() | scaled, min_size=rows - 1, max_size=rows - 1))]
        columns.append(tuple(column))
    decimal = draw(st.sampled_from(".,"))
    end = draw(st.sampled_from(("\n", "\r\n", "\r")))
    marks = [mark for mark in ("", ".", ",", "'", " ") if mark != decimal and (mark != "." or 2 in digits)]
    return Written(
        delimiter=draw(st.sampled_from(",;\t|")),
        decimal=decimal,
        thousands=draw(st.sampled_from(marks)),  # 1.234 alone is a plain number
        # the writer leaves a line feed unquoted where lines end otherwise
        quoting=csv.QUOTE_ALL if end == "\r" else draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))),
        encoding=draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"))),
        header=header,
        end=end,
        padded=draw(st.booleans()),
        columns=tuple(columns),
        digits=tuple(digits),
        blank=draw(st.sampled_from(("", "NA", "nan", "N/A"))),
    )


def read(path: Path, **options: Any) -> list[list[Cell]]:
    frame = read_rows({"train": path}, DataOptions(**options)).frame
    found: list[list[Cell]] = []
    for name in frame.columns:
        if frame[name].dtype.kind in "if":
            found.append([None if value != value else float(value) for value in frame[name].tolist()])
        else:
            found.append(as_texts(frame[name]).to_pylist())
    return [[*map(str, frame.columns)], *found]  # type: ignore[list-item]


TRUE = {
    "encoding": lambda file: file.encoding,
    "delimiter": lambda file: file.delimiter,
    "thousands": lambda file: {" ": "space", "": "none"}.get(file.thousands, file.thousands),
    "decimal": lambda file: file.decimal,
}


@given(file=files())
@settings(max_examples=320)
def test_what_is_read_is_what_was_written(file: Written, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "data.csv"
    path.write_bytes(file.bytes())
    expected = [file.names, *(list(column) for column in file.columns)]
    options: dict[str, Any] = {} if file.header else {"header": "no"}
    for _ in range(4):
        try:
            found = read(path, **options)
        except DataError as error:
            message = str(error)
            assert re.search(r", (line|row) \d+", message) or "NUL" in message, message
            named = [name for name in TRUE if f"--{name}" in message and name not in options]
            assert named, message
            options |= {name: TRUE[name](file) for name in named}
            continue
        assert found == expected
        return
    raise AssertionError("refused again and again")
