"""From the cells of a column to values: numbers in the notation that they are written in, true and false, or texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina.data.options import DataOptions, known
from lamina.data.tabular.cells import Texts, as_texts, has_leading_zeros, plain_number
from lamina.data.tabular.notation import PLAIN, Notation, Numbers
from lamina.data.tabular.stored import StoredBytes
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Place = Callable[[int], str]
"""describes the location of a row: ``place(0)`` is "data.csv, row 1" (counted from 1, without the header)"""

MOSTLY_NUMBERS = 0.9
"""share of numbers above which a text in a column is an error rather than a category"""
FEW_CATEGORIES = 20
"""a column with at most this many distinct texts is never treated as names or free text"""
TRUTH = ("false", "true")
EXACT = 2**53
"""whole numbers below are exact in float64"""
PER_CENT = ("%", "‰")
OPEN_POINT = r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$"
NAMED = 5
"""columns named in a note"""


@dataclass(frozen=True)
class Read:
    """A column as it was read."""

    values: pd.Series[Any]
    """int64, float64 (missing values NaN), bool, or texts; whole numbers too large for float64 as Python integers"""
    notation: Notation | None = None
    """the marks of its numbers, where they have other marks than a decimal point"""
    example: str = ""
    """how a number in another notation than Python's was read"""
    note: str = ""


def read_column(series: pd.Series[Any], place: Place, options: DataOptions, *, target: bool = False) -> Read:
    """One column read on its own; see ``read_columns``."""
    opened = _opened(series, options, target)
    return opened if isinstance(opened, Read) else _decided(series, opened, place, options, _nothing)


def read_columns(
    frame: pd.DataFrame, place: Place, options: DataOptions, verbatim: Sequence[str] = ()
) -> tuple[pd.DataFrame, tuple[str, ...], dict[str, Notation]]:
    """The columns of a table read, notes on how, and the notations of those with numbers that have other marks.

    What the cells of a column leave open is decided by ``options``, or by the other columns. Columns in ``verbatim``
    are texts as they stand. Raises DataError, with row and column, for a cell that is no number in a column of numbers,
    and for numbers that can be read in two ways.
    """
    import pandas as pd

    opened = {
        str(name): _opened(frame[name], options, not options.targets or str(name) in options.targets)
        for name in frame.columns
        if name not in verbatim
    }

    def others() -> set[str]:
        return _marks(frame, opened)

    read = {
        name: one if isinstance(one, Read) else _decided(frame[name], one, place, options, others)
        for name, one in opened.items()
    }
    columns = {name: read[name].values if name in read else frame[name] for name in frame.columns}
    notes = [one.note for one in read.values() if one.note] + _examples(read)
    notations = {name: one.notation for name, one in read.items() if one.notation is not None}
    return pd.DataFrame(columns, index=frame.index), tuple(notes), notations


def as_numbers(
    series: pd.Series[Any], place: Place, options: DataOptions, others: Callable[[], set[str]] | None = None
) -> np.ndarray[Any, Any]:
    """The numbers of a column that must hold numbers, true or false; missing values NaN. ``others`` gives the decimal
    marks of the other columns. Raises DataError, with row and column, for any other cell."""
    import pandas as pd
    from pandas.api import types

    if types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype):
        values: np.ndarray[Any, Any] = pd.to_numeric(series).to_numpy(dtype=np.float64, na_value=np.nan)
        values = _without(values, options.missing)
        return _expect_numbers(values, np.isinf(values), series, place)
    texts = as_texts(series, options.missing)
    quick = _plain_numbers(texts, not options.missing)
    if quick is None or (_is_written(series) and _is_open(texts, quick)):
        numbers = Numbers(texts, usual=not options.missing)
        notation = _notation(str(series.name), numbers, place, options, others or _nothing, hints=False)
        of_distinct = numbers.values(notation)
        words = [str(text).casefold() for text in numbers.distinct.to_pylist()]
        truth = np.array([TRUTH.index(word) if word in TRUTH else np.nan for word in words])
        of_distinct = np.where(np.isnan(of_distinct), truth, of_distinct)
        wrong = numbers.spread(np.where(np.isnan(of_distinct) & ~numbers.absent, 1.0, 0.0)) == 1.0
        quick = _expect_numbers(numbers.spread(of_distinct), wrong, series, place)
    quick = _without(quick, options.missing)
    return _expect_numbers(quick, np.isinf(quick), series, place)


def decimal_marks(frame: pd.DataFrame, options: DataOptions) -> set[str]:
    """The decimal marks of the columns in which numbers leave no doubt."""
    return _marks(frame, {str(name): _opened(frame[name], options, False) for name in frame.columns})


def _marks(frame: pd.DataFrame, opened: Mapping[str, Read | Numbers]) -> set[str]:
    from pandas.api import types

    marks: set[str | None] = set()
    for name, one in opened.items():
        if isinstance(one, Numbers):
            marks |= {one.evidence.decided} if one.likeness == 1 else set()
        elif types.is_float_dtype(one.values.dtype) and _is_written(frame[name]):
            marks |= {"."} if _any_contains(as_texts(frame[name]), ".") else set()
    return {mark for mark in marks if mark is not None}


def _opened(series: pd.Series[Any], options: DataOptions, target: bool) -> Read | Numbers:
    """A column whose values are clear, or one that may hold numbers in some notation."""
    import pandas as pd
    from pandas.api import types

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    if not types.is_object_dtype(series.dtype) and not types.is_string_dtype(series.dtype):
        if options.missing and types.is_numeric_dtype(series.dtype) and not types.is_bool_dtype(series.dtype):
            wanted = [float(word) for word in options.missing if plain_number(word) is not None]
            return Read(series.mask(series.isin(wanted)))
        return Read(series)  # numbers, dates
    if types.is_object_dtype(series.dtype) and any(map(is_nested, series.tolist())):
        return Read(series)
    texts = as_texts(series, options.missing)
    if series.name in (*options.categorical, *known(options).texts):
        return _as_text(series, texts)
    if (found := _clear(series, texts, options.missing)) is not None:
        return found
    if target and _any_contains(texts, options.separator):
        return _as_text(series, texts)
    numbers = Numbers(texts, usual=not options.missing)
    return numbers if numbers.likeness > 0.5 else _as_text(series, texts)


def _clear(series: pd.Series[Any], texts: Texts, missing: Sequence[str]) -> Read | None:
    """A column of nothing but truth values, or of plainly written numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = texts.drop_null()
    if len(present) and present[0].as_py().casefold() in TRUTH:
        lower = pc.utf8_lower(texts)
        if pc.all(pc.is_in(lower.drop_null(), pa.array(TRUTH, type=pa.large_string()))).as_py():
            return Read(_series(pc.equal(lower, TRUTH[1]).to_pandas(), series))
    numbers = _plain_numbers(texts, not missing)
    if numbers is None or (_is_written(series) and _is_open(texts, numbers)):
        return None
    return Read(_whole(series, _without(numbers, missing), texts))


def _plain_numbers(texts: Texts, usual: bool) -> np.ndarray[Any, Any] | None:
    """The values of a column that is nothing but plain numbers; None for others, and with leading zeros."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        values = pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    except pa.ArrowInvalid:
        return None
    if has_leading_zeros(texts) or (not usual and int(np.isnan(values).sum()) > texts.null_count):
        return None
    found: np.ndarray[Any, Any] = values
    return found


def _whole(series: pd.Series[Any], values: np.ndarray[Any, Any], texts: Texts) -> pd.Series[Any]:
    """Numbers as a column: int64 where all are whole and none is missing; those too large for float64 stay exact."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = values[~np.isnan(values)]
    if len(present) and np.isfinite(present).all() and (present % 1 == 0).all():
        largest = np.abs(present).max()
        if len(present) == len(values) and largest < EXACT:
            return _series(values.astype(np.int64), series)
        if largest >= EXACT:
            try:
                whole = pc.cast(texts, pa.int64())
            except pa.ArrowInvalid:
                return _series(values, series)  # 1e20
            return _series(whole.to_numpy(zero_copy_only=False) if whole.null_count == 0 else whole.to_pylist(), series)
    return _series(values, series)


def _decided(
    series: pd.Series[Any], numbers: Numbers, place: Place, options: DataOptions, others: Callable[[], set[str]]
) -> Read:
    """A column most of whose cells are numbers in some notation, as numbers; as texts if they are codes. Raises
    DataError for a column that is neither."""
    import pyarrow as pa
    import pyarrow.compute as pc

    name, evidence = str(series.name), numbers.evidence
    marked = bool(evidence.decimal or evidence.thousands or evidence.open)
    zero = None if marked else numbers.leading_zero
    if zero is not None:
        note = f"column '{name}' holds whole numbers with leading zeros, such as {zero}: they are codes, not quantities"
        return Read(_as_text(series, numbers.texts).values, note=note)
    notation = _notation(name, numbers, place, options, others) if numbers.likeness >= MOSTLY_NUMBERS else None
    notation = numbers.best() if notation is None else notation
    values = numbers.values(notation)
    share = numbers.share(values)
    if share < 1:
        bad = np.isnan(values) & ~numbers.absent
        other = numbers.values(evidence.notation("," if notation.decimal == "." else "."))
        if numbers.share(np.fmax(values, other)) == 1 and evidence.decimal:
            one, two = numbers.first(~np.isnan(values) & np.isnan(other)), numbers.first(bad)
            raise DataError(
                f"{place(two)}: column '{name}' holds {shown(series.iloc[one])} and {shown(series.iloc[two])}, "
                f"numbers in two notations ({_otherwise(name)})"
            )
        if share < MOSTLY_NUMBERS and not numbers.repeats(values, FEW_CATEGORIES):
            return _as_text(series, numbers.texts)
        row = numbers.first(bad)
        words = [str(word) for word in numbers.distinct.to_pylist()]
        lost = [word for word, at in zip(words, numbers.absent, strict=True) if at]
        marks = ",".join([*lost[:3], str(words[int(bad.argmax())])])
        raise DataError(
            f"{place(row)}: column '{name}' holds {shown(series.iloc[row])} where {share:.0%} of the values are numbers"
            f" (for a missing value: --missing '{marks}'; {_otherwise(name)})"
        )
    if len(numbers.units) > 1:
        units = " and ".join(f"'{unit}'" if unit else "no sign" for unit in numbers.units)
        if numbers.units[0] != "" or len(numbers.units) > 2 or numbers.units[1] in PER_CENT:
            raise DataError(
                f"{place(numbers.first(~np.isnan(values)))}: the numbers of column '{name}' are in different units: "
                f"{units} ({_otherwise(name)})"
            )
    spread = _without(numbers.spread(values), options.missing)
    if np.isinf(spread).any():
        raise DataError(f"{place(int(np.isinf(spread).argmax()))}: column '{name}' holds an infinite number")
    example = numbers.example(values, notation)
    if notation == PLAIN and evidence.open == {"."} and evidence.decided is None and _given(options) is None:
        text = numbers.first_open()[1]
        example = f"'{text}' is read with a decimal point (--thousands . reads {text.replace('.', '')})"
    present = pc.if_else(pa.array(np.isnan(spread)), pa.scalar(None, type=pa.large_string()), numbers.texts)
    return Read(_whole(series, spread, present), notation if notation != PLAIN else None, example)


def _otherwise(name: str) -> str:
    return f"--categorical {name} reads categories, --drop {name} leaves the column out"


def _notation(
    name: str,
    numbers: Numbers,
    place: Place,
    options: DataOptions,
    others: Callable[[], set[str]],
    hints: bool = True,
) -> Notation:
    """The notation of a column: as its cells have it; what they leave open is decided by the options, or else by the
    column as a run knows it and by the other columns of the file, where they agree. Raises DataError."""
    evidence = numbers.evidence
    given = _given(options)
    if evidence.decided is not None:
        return evidence.notation(evidence.decided)
    if evidence.decimal or len(evidence.thousands & {".", ","}) > 1:  # marks that contradict each other
        return numbers.best() if given is None else evidence.notation(given)
    if not evidence.open:
        return evidence.notation(".")
    if given is None and options.thousands == "none" and len(evidence.open) == 1:
        given = next(iter(evidence.open))
    if given is not None:
        return evidence.notation(given, options.thousands)
    before = known(options).notations.get(name)
    marks = others() | (set() if before is None else {before[0]})
    if not marks and evidence.open == {"."} and not numbers.look_grouped:
        return evidence.notation(".")
    if len(marks) == 1:
        return evidence.notation(marks.pop())
    at, text = numbers.first_open()
    mark = "," if "," in evidence.open else "."
    plain = text.replace(mark, "")
    way = f"give --thousands '{mark}' or --decimal '{mark}'" if hints else "write it without marks between thousands"
    raise DataError(
        f"{place(at)}: column '{name}' holds '{text}', which can be {plain} or {text.replace(mark, '.')}: {way}"
    )


def _given(options: DataOptions) -> str | None:
    """The decimal mark that the options state."""
    if options.decimal != "auto":
        return options.decimal
    return {",": ".", ".": ","}.get(options.thousands)


def _nothing() -> set[str]:
    return set()


def _is_written(series: pd.Series[Any]) -> bool:
    """Whether the cells of a column are texts, as in a CSV file: the notation of their numbers is that of the file."""
    from pandas.api import types

    return str(types.infer_dtype(series, skipna=True)) in ("string", "empty")


def _is_open(texts: Texts, values: np.ndarray[Any, Any]) -> bool:
    """Whether each point in a column of plainly written numbers may stand between thousands, as in 1.234."""
    import pyarrow.compute as pc

    present = values[~np.isnan(values)]
    if not (np.abs(present) < 1000).all() or not np.allclose(present * 1000, np.round(present * 1000)):
        return False
    point, either = pc.match_substring(texts, "."), pc.match_substring_regex(texts, OPEN_POINT)
    return bool(pc.any(either).as_py()) and not pc.any(pc.and_not(point, either)).as_py()


def _examples(read: Mapping[str, Read]) -> list[str]:
    """A note for each notation, with its columns."""
    groups: dict[Notation | None, list[str]] = {}
    for name, one in read.items():
        if one.example:
            groups.setdefault(one.notation, []).append(name)
    notes = []
    for names in groups.values():
        listed = ", ".join(f"'{name}'" for name in names[:NAMED])
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        notes.append(f"column{'s' * (len(names) > 1)} {listed}{more}: {read[names[0]].example}")
    return notes


def _as_text(series: pd.Series[Any], texts: Texts) -> Read:
    """The texts as they stand, with missing values where cells are blank."""
    if texts.null_count == int(series.isna().sum()):
        return Read(series)
    return Read(series.mask(texts.is_null().to_numpy(zero_copy_only=False)))


def _any_contains(texts: Texts, text: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring(texts, text)).as_py())


def _without(values: np.ndarray[Any, Any], missing: Iterable[str]) -> np.ndarray[Any, Any]:
    """The numbers with NaN for those that mean a missing value: --missing -999 is -999.0, too."""
    wanted = [float(word) for word in missing if plain_number(word) is not None]
    return np.where(np.isin(values, wanted), np.nan, values) if wanted else values


def _series(values: Any, like: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    dtype = object if isinstance(values, list) else None
    return pd.Series(values.to_numpy() if isinstance(values, pd.Series) else values, like.index, dtype, like.name)


def _expect_numbers(
    values: np.ndarray[Any, Any], wrong: np.ndarray[Any, Any], series: pd.Series[Any], place: Place
) -> np.ndarray[Any, Any]:
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{place(row)}: column '{series.name}' holds {shown(series.iloc[row])}, expected a number")
    return values


def is_nested(value: object) -> bool:
    """Whether a cell holds several values, or bytes."""
    return isinstance(value, list | dict | tuple | np.ndarray | bytes | StoredBytes)


def shown(value: object) -> str:
    """A value for a message: quoted, on one line, shortened."""
    text = repr(str(value))
    return text if len(text) <= 60 else text[:56] + "...'"
