"""The table of results as a Markdown page: rendering it, and parsing it to update some of its rows."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

import torch

from lamina.errors import DataError

Results = dict[str, dict[str, tuple[str, str]]]
"""(mark, reason) by variant and check."""

PASS, NOT_APPLICABLE = "pass", "n/a"
COLUMNS = ("check", "outcome", "why", "variants")


def environment_line() -> str:
    """The line of the page that states versions and platform."""
    return (
        f"Written by `python -m lamina.conformance`: torch {torch.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, CPU."
    )


def render(results: Results) -> str:
    """The table, then the reasons for everything that is not a pass, failures first."""
    titles = max((list(row) for row in results.values()), key=len)
    marks = ([name, *(row[title][0] if title in row else "" for title in titles)] for name, row in results.items())
    lines = ["# Conformance", "", environment_line(), "", *_table(("variant", *titles), marks)]
    reasons = _reasons(results)
    if reasons:
        lines += ["", *_table(COLUMNS, ([*key, ", ".join(names)] for key, names in reasons.items()))]
    return "\n".join(lines) + "\n"


def parse(path: Path) -> Results:
    """The results in a page written by ``render``. Raises DataError for other files, and for pages made by another
    torch or on another platform."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != ["# Conformance"] or len(lines) < 6:
        raise DataError(f"{path} is not a page of conformance results")
    if lines[2] != environment_line():
        raise DataError(f"{path} was made elsewhere ({lines[2]}): write it anew")
    rows = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
    (_, *titles), rows = rows[0], rows[1:]
    end = rows.index(list(COLUMNS)) if list(COLUMNS) in rows else len(rows)
    results: Results = {}
    for name, *marks in rows[:end]:
        results[name] = {title: (mark, "") for title, mark in zip(titles, marks, strict=True) if mark.strip()}
    for title, mark, note, names in rows[end + 1 :]:
        for name in names.split(", "):
            results[name][title] = (mark, note)
    return results


def failures(results: Results) -> list[str]:
    """One line per failure."""
    return [
        f"{name}, {title}: {note}"
        for name, row in results.items()
        for title, (mark, note) in row.items()
        if mark not in (PASS, NOT_APPLICABLE)
    ]


def _reasons(results: Results) -> dict[tuple[str, str, str], list[str]]:
    """The variants by check, mark and reason."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for not_applicable in (False, True):
        for name, row in results.items():
            for title, (mark, note) in row.items():
                if mark != PASS and (mark == NOT_APPLICABLE) == not_applicable:
                    found.setdefault((title, mark, note), []).append(name)
    return found


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(header)
    cells = [[cell.replace("|", "/") for cell in row] for row in rows]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in cells)]
