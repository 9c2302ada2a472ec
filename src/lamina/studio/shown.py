"""What an action of the studio gives: its result, and the call of the public API that gave it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from html import escape
from pathlib import Path
from typing import Any, ParamSpec

from lamina.errors import LaminaError, UsageError
from lamina.markup import table
from lamina.runs.run import Run, open_run

P = ParamSpec("P")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A result. Parts that there are not are empty."""

    code: str = ""
    """the call of the public API, as a program that can be run"""
    note: str = ""
    """one line: an error, or what the user should know"""
    label: Mapping[str, float] = field(default_factory=dict)
    """classes and their probabilities"""
    rows: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    pictures: list[Any] = field(default_factory=list)
    """(H, W, C) uint8"""
    columns: int = 0
    """of the pictures, where they are a matrix"""
    curves: str = ""
    """figures, as HTML without a script"""
    html: str = ""
    """a page of its own"""


def one_line(action: Callable[P, Shown]) -> Callable[P, Shown]:
    """An action whose errors are a note; of those that are not Lamina's the terminal has the trace."""

    @wraps(action)
    def safe(*args: P.args, **given: P.kwargs) -> Shown:
        try:
            return action(*args, **given)
        except LaminaError as error:
            return Shown(note=str(error))
        except Exception as error:  # a bug of Lamina's: shown on the page, its traceback in the terminal
            traceback.print_exc()
            return Shown(note=f"internal error: {type(error).__name__}: {error}")

    return safe


def framed(html: str, title: str, height: int = 640) -> str:
    """A page inside the page: it can run no script and reach nothing."""
    if not html:
        return ""
    return (
        f'<iframe title="{escape(title, quote=True)}" sandbox srcdoc="{escape(html, quote=True)}" '
        f'style="width: 100%; height: {height}px; border: 1px solid #8886; border-radius: 8px"></iframe>'
    )


def run_in(runs: Path, name: Any) -> Path:
    """The folder of a run of the studio. Raises UsageError for a name that is none in its folder of runs."""
    if not isinstance(name, str) or not re.fullmatch(r"[^/\\\0]+", name) or name in (".", ".."):
        raise UsageError("choose a run")
    path = runs / name
    if not (path / "config.yaml").is_file() or path.resolve().parent != runs.resolve():
        raise UsageError(f"no such run: {name}")
    return path


def opened(runs: Path, name: Any) -> tuple[Path, Run]:
    """A run of the folder; read again where its weights have changed. Raises UsageError."""
    path = run_in(runs, name)
    weights = path / "model.safetensors"
    if not weights.is_file():
        raise UsageError(f"{name} has no weights yet: its first epoch is not done")
    facts = weights.stat()
    return path, _open(path, (facts.st_mtime_ns, facts.st_size))


@lru_cache(maxsize=8)
def _open(path: Path, stamp: tuple[int, int]) -> Run:
    return open_run(path)


def tabled(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Rows as a table that scrolls in its box, by keyboard, too; everything in it is escaped."""
    if not rows:
        return ""
    header = list(dict.fromkeys(key for row in rows for key in row))
    body = table(header, [[row.get(key) for key in header] for row in rows])
    return f'<div class="rows" tabindex="0" role="region" aria-label="{escape(name, quote=True)}">{body}</div>'


def call(function: str, *given: Any, **options: Any) -> str:
    """A call as a program has it, an argument a line where one line is too long."""
    words = [*map(repr, given), *(f"{name}={value!r}" for name, value in options.items())]
    line = f"{function}({', '.join(words)})"
    return line if len(line) <= 80 else "\n".join([f"{function}(", *(f"    {word}," for word in words), ")"])
