"""What an action of the studio gives: its result, and the call of the public API that gave it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, ParamSpec

from lamina.errors import LaminaError, UsageError

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
    html: str = ""
    """a page of its own"""


def one_line(action: Callable[P, Shown]) -> Callable[P, Shown]:
    """An action whose errors are a note."""

    @wraps(action)
    def safe(*args: P.args, **given: P.kwargs) -> Shown:
        try:
            return action(*args, **given)
        except LaminaError as error:
            return Shown(note=str(error))

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
