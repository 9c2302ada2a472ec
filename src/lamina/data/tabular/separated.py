"""CSV files and their like: encoding, delimiter, quotation marks and header are found, or as the options state."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.data.options import DataOptions
from lamina.data.tabular.cells import plain_number
from lamina.data.text_files import likely_encoding, read_bytes
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MARKS = (",", ";", "\t", "|")
HEAD = 1 << 16
"""characters that a delimiter is found in"""
BLOCK = 20_000
"""rows turned into columns at a time"""
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NUMBER_LIKE = re.compile(r"[-+(]?[$€£]? ?[0-9][0-9.,' ]*([eE][+-]?[0-9]+)?[%)]?")


@dataclass(frozen=True)
class Form:
    """How a file is divided into cells."""

    delimiter: str
    quoted: bool = True
    """whether quotation marks group"""
    spaced: bool = False
    """whether blanks may follow a delimiter; with a blank as delimiter, any number of them is one"""

    def rows(self, text: str) -> Iterator[list[str]]:
        """The rows of a text, without those that are blank."""
        return (row for row, _ in self.numbered(text))

    def numbered(self, text: str) -> Iterator[tuple[list[str], int]]:
        """Rows, and the number of the line that each ends on."""
        lines: Iterator[str] = io.StringIO(text, newline="")
        if self.delimiter == " ":
            lines = (line.strip(" \r\n") + "\n" for line in lines)
        reader = csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            skipinitialspace=self.spaced,
        )
        for row in reader:
            if row and (len(row) > 1 or row[0].strip() or row[0] == ""):
                yield row, reader.line_num


def read_separated(path: Path, options: DataOptions) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A file of separated cells: every cell as it is written, "" if it is empty; and notes.

    The delimiter is the one of comma, semicolon, tab and bar that divides all lines alike, or else blanks; a first line
    ``sep=;`` states it. Lines beginning with # before the header are comments. Raises DataError, naming file and line.
    """
    data = read_bytes(path, options.max_extracted_bytes)
    text = decoded(data, path, options.encoding)
    stated = re.match(r"sep=(.)(\r\n|\n|\r)", text)
    first = 0
    if stated:
        text, first = text[stated.end() :], 1
    if not text.strip():
        raise DataError(f"'{path}' is empty")
    usual = "\t" if ".tsv" in path.name.casefold() else ","
    delimiter = options.delimiter_mark or (stated[1] if stated else "")
    text, comments = _without_comments(text, delimiter, usual)
    first += comments
    form = _form(text, delimiter, usual, options)
    header, start = _header(text, form, options)
    names = _names(header) if options.header == "yes" else [str(k) for k in range(1, len(header) + 1)]
    body, first = text[start:], first + text.count("\n", 0, start)
    columns = _fast(body, form, len(header))
    skipped = 0
    if columns is None or _unclosed(columns, body, form):
        columns, skipped = _slow(path, body, form, header, first, options)
    frame = _frame(columns, names)
    notes = [f"{comments} lines beginning with # before the header are comments"] if comments else []
    if skipped:
        notes.append(f"{skipped} rows of '{path.name}' with another number of cells than the header are left out")
    return _without_trailing(frame, header), tuple(notes)


def decoded(data: bytes, path: Path, encoding: str) -> str:
    """File contents as text, without a byte order mark. Raises DataError, with the line, for bytes of another encoding
    than the one given or, without one, than UTF-8 or what a byte order mark states."""
    given = encoding != "auto"
    if not given:
        encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "" if given else f": give its encoding, such as --encoding {likely_encoding(data)}"
        name = "UTF-8" if encoding == "utf-8" else encoding
        raise DataError(
            f"'{path}', line {line}: not {name} text ({error.reason} at byte {error.start}){hint}"
        ) from error
    if not given and "\0" in text[:HEAD]:
        raise DataError(
            f"'{path}' holds NUL characters, as UTF-16 read as UTF-8: give --encoding {likely_encoding(data)}"
        )
    return text.removeprefix("\ufeff")


def _without_comments(text: str, delimiter: str, usual: str) -> tuple[str, int]:
    """The text without lines beginning with # before its header, and their number. The last of them is the header if
    it has as many cells as the line of data after it."""
    lines, end = [], 0
    while text.startswith("#", end):
        after = re.compile(r"[^\r\n]*(\r\n|\n|\r|$)").match(text, end)
        assert after is not None
        lines.append((end, after.end()))
        if after.end() == end or after.end() == len(text):
            return text, 0
        end = after.end()
    if not lines:
        return text, 0
    marks = (delimiter,) if delimiter else (usual, *MARKS)
    start, stop = lines[-1]
    rows = [next(Form(mark).rows(text[start : stop + HEAD])) for mark in marks]
    below = [next(Form(mark).rows(text[stop : stop + HEAD]), [""]) for mark in marks]
    for row, data in zip(rows, below, strict=True):
        if len(row) == len(data) > 1 and any(NUMBER_LIKE.fullmatch(cell.strip()) for cell in data):
            return text[start:], len(lines) - 1
    return text[stop:], len(lines)


def _form(text: str, delimiter: str, usual: str, options: DataOptions) -> Form:
    head = text[:HEAD]
    whole = len(head) == len(text)
    delimiter = delimiter or _delimiter(head, whole, usual)
    if delimiter == " ":
        return Form(" ", spaced=True)
    if delimiter == "\t" and _unquoted(text):
        return Form("\t", quoted=False)
    return Form(delimiter, spaced=re.search(re.escape(delimiter) + ' +"', head) is not None)


def _delimiter(head: str, whole: bool, usual: str) -> str:
    """The mark that divides the lines of a file alike: the tab of a .tsv file, of several others the one whose cells
    have least of the rest."""
    best, delimiter = (0.0, 0.0, 0.0), ""
    for mark in dict.fromkeys((usual, *MARKS)):
        rows = list(Form(mark).rows(head))
        rows = rows if whole or len(rows) < 3 else rows[:-1]
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        alike = sum(len(row) == width for row in rows) / len(rows)
        if mark == usual == "\t" and alike == 1:  # in sentences, commas may divide all lines alike, too
            return mark
        cells = [cell for row in rows for cell in row]
        others = "".join(other for other in MARKS if other != mark)
        clean = sum(_is_whole(cell, others) for cell in cells) / len(cells)
        score = (float(alike == 1), clean if alike == 1 else alike, float(mark == usual))
        if score > best:
            best, delimiter = score, mark
    if delimiter:
        return delimiter
    rows = list(Form(" ", spaced=True).rows(head))
    rows = rows if whole or len(rows) < 3 else rows[:-1]
    numbers = [plain_number(cell) is not None for row in rows[1:] for cell in row]
    if rows and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and 2 * sum(numbers) >= len(numbers) > 0:
        return " "
    return usual


def _is_whole(cell: str, others: str) -> bool:
    """Whether a cell has no mark of another delimiter, except in a number, and no half of a quotation."""
    if cell.count('"') % 2:
        return False
    return not any(mark in cell for mark in others) or NUMBER_LIKE.fullmatch(cell.strip()) is not None


def _unquoted(text: str) -> bool:
    """Whether quotation marks in a tab-separated file are ordinary text: they are unpaired, and no cell spans lines."""
    if '"' not in text:
        return False
    lines = re.split(r"\r\n|\n|\r", text)
    odd = any(line.count('"') % 2 for line in lines)
    return odd and len({line.count("\t") for line in lines if line}) == 1


def _header(text: str, form: Form, options: DataOptions) -> tuple[list[str], int]:
    """The first row, and where the rows begin that are data."""
    row, lines = next(form.numbered(text))
    if options.header == "no":
        return row, 0
    ends = islice(re.finditer(r"\r\n|\n|\r|$", text), lines - 1, None)
    return row, next(ends).end()


def _names(header: Sequence[str]) -> list[str]:
    """Names of columns: without blanks around them; unnamed and repeated ones as pandas calls them."""
    names: list[str] = []
    for k, cell in enumerate(header):
        name = base = cell.strip() or f"Unnamed: {k}"
        count = 0
        while name in names:
            count += 1
            name = f"{base}.{count}"
        names.append(name)
    return names


def _fast(body: str, form: Form, width: int) -> Any:
    """The columns by Arrow's reader; None for rows of different width, and what it does not read."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    if form.spaced:
        return None
    names = [str(k) for k in range(width)]
    data = body.encode()
    try:
        return arrow.read_csv(
            pa.BufferReader(data),
            read_options=arrow.ReadOptions(column_names=names, block_size=1 << 24),
            parse_options=arrow.ParseOptions(
                delimiter=form.delimiter, quote_char='"' if form.quoted else False, newlines_in_values=form.quoted
            ),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None


def _slow(
    path: Path, body: str, form: Form, header: Sequence[str], first: int, options: DataOptions
) -> tuple[Any, int]:
    """The columns by Python's reader, and the number of rows left out with ``skip_bad``. Raises DataError, with the
    line, for a row of another width than the header."""
    import pyarrow as pa

    width, skipped, blocks = len(header), 0, []
    names = [str(k) for k in range(width)]
    rows = form.numbered(body)
    while block := list(islice(rows, BLOCK)):
        kept = []
        for row, line in block:
            if len(row) == width + 1 and row[-1].strip() == "":
                row = row[:-1]  # a delimiter ends each line
            if len(row) == width:
                kept.append(row)
                continue
            if options.skip_bad:
                skipped += 1
                continue
            more = "rows have more cells than the header has columns: " if len(row) > width else ""
            what = "header" if options.header == "yes" else "first line"
            raise DataError(
                f"'{path}', line {first + line}: {more}{len(row)} cells where the {what} has {width} (a cell that "
                "holds the delimiter needs quotation marks; --delimiter states another, --skip-bad leaves it out)"
            )
        columns = [list(column) for column in zip(*kept, strict=True)] if kept else [[] for _ in names]
        blocks.append(pa.table([pa.array(column, type=pa.large_string()) for column in columns], names=names))
    table = pa.concat_tables(blocks) if blocks else pa.table({name: pa.array([], pa.large_string()) for name in names})
    if _unclosed(table, body, form):
        line = (
            first + body.rstrip("\r\n").count("\n") - str(table.column(width - 1)[-1].as_py()).strip().count("\n") + 1
        )
        raise DataError(
            f"'{path}', line {line}: a quotation mark is not closed (write it twice if it belongs to a text)"
        )
    return table, skipped


def _unclosed(table: Any, body: str, form: Form) -> bool:
    """Whether a quotation mark that is never closed has swallowed the rest of the file."""
    if not form.quoted or not table.num_rows:
        return False
    last = table.column(table.num_columns - 1)[-1].as_py()
    return "\n" in last and not body.rstrip().endswith('"')


def _frame(table: Any, names: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    columns = [table.column(k).to_pandas() for k in range(table.num_columns)]
    return pd.concat(columns, axis=1, keys=names) if columns else pd.DataFrame()


def _without_trailing(frame: pd.DataFrame, header: Sequence[str]) -> pd.DataFrame:
    """Without a last column that is nothing but the delimiter at the end of each line."""
    last = frame.columns[-1]
    if len(header) > 1 and not header[-1].strip() and bool((frame[last] == "").all()):
        return frame.drop(columns=[last])
    return frame
