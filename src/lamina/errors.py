"""The exceptions of the library; every message is one line.

The command line prints the message and exits with ``exit_code``: 2 is misuse (a wrong name, option or path), 1
is failure (bad data, a full disk, a loss that is not a number).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LaminaError(Exception):
    """Base class of all errors that Lamina raises for the user."""

    exit_code = 1
    shown = True
    """whether this process shows it: of several processes with the same error, the first of each machine does"""
    shared = False
    """whether all processes of a training raise it"""


class UsageError(LaminaError):
    """The call itself is wrong: a name, an option, a path, or options that do not fit together."""

    exit_code = 2


class DataError(LaminaError):
    """The data were found, and something in them is wrong: the message names the file, row or column."""


class RunError(LaminaError):
    """A run cannot be opened, resumed, locked or written."""


class ExportError(LaminaError):
    """A model cannot be exported, or what was exported cannot be used."""


class TrainingError(LaminaError):
    """Training cannot go on (a loss that is not finite, for one)."""


class DataWarning(UserWarning):
    """Data can be used, and something in them is not as in training; the command line prints it as a note."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice most similar to ``name``, or None (case is ignored)."""
    folded = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> UsageError:
    """The error for a name that is not among ``choices``: suggests the nearest, or lists a few."""
    choices = sorted(choices)
    near = nearest(name, choices)
    if near:
        return UsageError(f"unknown {kind} '{name}'; did you mean '{near}'?")
    shown = ", ".join(choices[:12]) + (", ..." if len(choices) > 12 else "")
    return UsageError(f"unknown {kind} '{name}'; known: {shown}")
