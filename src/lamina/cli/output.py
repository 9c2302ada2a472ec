"""Output of the verbs: escaped plain text, aligned tables, JSON."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lamina.report.wording import decimal
from lamina.tasks.facts import BEATS, CONSTANT


def clean(text: object) -> str:
    """``text`` with non-printable characters as escapes: ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def legible(text: str) -> str:
    """As ``clean``, but keeps line breaks and tabs."""
    return "".join(c if c in "\n\t" else clean(c) for c in text)


def number(value: float | None) -> str:
    """A metric or a predicted value: four decimals, fewer from a thousand on (``2016.5``, ``747,123``), an exponent
    only for very small values; a dash for none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.4f}" if value == 0 or 0.001 <= abs(value) < 1000 else decimal(value, 5)


def metric(name: str, value: float | None) -> str:
    """A metric: ``number``, or yes or no."""
    return number(value) if name not in (CONSTANT, BEATS) or value is None else "yes" if value else "no"


def count(value: object) -> str:
    """61706 as 61,706; one number for each player as ``generator 3,576,704, discriminator ...``; a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{player} {count(amount)}" for player, amount in value.items())
    return f"{value:,}"


def clock(seconds: float) -> str:
    """A time as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(shape: Sequence[int] | None) -> str:
    """6 x 28 x 28; a dash for none."""
    return "-" if shape is None else " x ".join(str(n) for n in shape)


def shapes(of: Sequence[int] | Mapping[str, Sequence[int]]) -> str:
    """A shape, or that of each player."""
    if isinstance(of, Mapping):
        return ", ".join(f"{player} {size(shape)}" for player, shape in of.items())
    return size(of)


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[int] = (),
    last: Sequence[object] = (),
) -> None:
    """Print aligned columns, those of index ``right`` to the right, and ``last`` under a rule.

    On a terminal long cells are folded to its width; in a file or pipe they are not.
    """
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, title in enumerate(header):
        grid.add_column(clean(title), justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(clean(cell) for cell in row))
    if last:
        grid.add_section()
        grid.add_row(*(clean(cell) for cell in last), style="bold")
    terminal = sys.stdout.isatty()
    console = Console(
        markup=False, highlight=False, emoji=False, force_terminal=terminal, width=None if terminal else 10_000
    )
    with console.capture() as captured:
        console.print(grid)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def facts(pairs: Mapping[str, object]) -> None:
    """Print ``name  value`` lines, aligned; a list has a line for each item; empty values are left out.

    On a terminal long values are folded.
    """
    width = max(shutil.get_terminal_size().columns, 40) if sys.stdout.isatty() else 10**6
    indent = max((len(name) for name, value in pairs.items() if value), default=0) + 2
    for name, value in pairs.items():
        items = [clean(item) for item in (value if isinstance(value, list | tuple) else [value] if value else [])]
        for i, item in enumerate(items):
            first = " " * indent if i else f"{clean(name):<{indent}}"
            print(textwrap.fill(first + item, width, subsequent_indent=" " * indent, break_long_words=False))


def note(text: str) -> None:
    """Print a note on stderr."""
    print(f"note: {clean(text)}", file=sys.stderr)


def as_json(value: Any) -> None:
    """Print ``value`` as one JSON document: not-a-number and infinity as null, everything in ASCII."""
    print(json.dumps(json_values(value), indent=1, allow_nan=False))


def json_values(value: Any) -> Any:
    """What JSON can hold: not-a-number and infinity as null, other objects as text."""
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
