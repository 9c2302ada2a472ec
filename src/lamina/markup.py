"""Small tables as HTML, for notebooks: everything that is filled in is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

CELL = ' style="text-align: left; vertical-align: top"'


def pairs(title: str, values: Mapping[str, object]) -> str:
    """Names and values, empty ones left out: ``pairs("LeNet-5", {"parameters": 61706})``."""
    rows = "".join(
        f"<tr><th{CELL}>{escape(str(name))}</th><td{CELL}>{_text(value)}</td></tr>"
        for name, value in values.items()
        if value not in (None, "", (), [])
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{rows}</tbody></table>"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows under a header: ``table(["layer", "type"], [["c1", "Conv2d"]])``."""
    head = "".join(f"<th{CELL}>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td{CELL}>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int):
        return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
    return f"{value:,}"
