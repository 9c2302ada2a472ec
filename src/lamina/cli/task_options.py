"""Options of a verb that depend on the run's task: the parser is built once the run is known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from jsonargparse import Namespace

from lamina.cli.fields import Field, fields_of
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import RUNS
from lamina.errors import UsageError
from lamina.export.formats import ENGINES
from lamina.runs.folders import may_be_run, task_of
from lamina.tasks.verbs import VERBS

EXPORTED = {suffix for suffixes in ENGINES.values() for suffix in suffixes}
"""the suffixes of exported files"""


class Find(Protocol):
    def __call__(self, name: str, runs: str) -> Path | None:
        """The folder of the run called ``name``; None for something else, which has no task options."""


class Build(Protocol):
    def __call__(self, fields: Iterable[Field] | None = None, title: str = "") -> Parser:
        """The verb's parser with the options of a task; without fields, with those of every task."""


def every_field(verb: str) -> list[Field]:
    """The options of a verb over all tasks."""
    found: dict[str, Field] = {}
    for verbs in VERBS.values():
        for field in _fields(verbs[verb]) if verb in verbs else ():
            found.setdefault(field.dest, field)
    return list(found.values())


def read(verb: str, build: Build, argv: Sequence[str], find: Find, of_file: str = "") -> tuple[Parser, Namespace]:
    """Parse the words of a verb whose first argument is a run, or an exported file with the options of the task
    ``of_file``.

    Raises UsageError; for an option of another task the message names that task and the options of the run.
    """
    words = dashed(argv)
    every = build()
    positionals, values = every.scan(words)
    if not positionals:
        return every, every.read(words)  # reports the missing run, or shows the help
    run, path = _first_run(positionals, values.get("--runs", RUNS), find)
    task = of_file if path is None else task_of(path)
    reader = build(_of_task(task, verb), f"options of {task}")
    _refuse_others(verb, words, reader, run, task)
    return reader, reader.read(words)


def _first_run(words: Sequence[str], runs: str, find: Find) -> tuple[str, Path | None]:
    """The first word that names a run: before it may stand what an option of another package takes, ``--top 3 RUN``.

    Raises UsageError of the first word where none does: what stands after a misspelt run, a folder of pictures or a
    picture, is not taken for one.
    """
    for place, word in enumerate(words):
        with contextlib.suppress(UsageError):
            path = find(word, runs)
            if not place or (Path(word).suffix in EXPORTED if path is None else may_be_run(path)):
                return word, path
    return words[0], find(words[0], runs)


def _fields(cls: type[Any]) -> list[Field]:
    return list(fields_of(cls))


def _of_task(task: str, verb: str) -> list[Field]:
    if task in VERBS:
        return _fields(VERBS[task][verb]) if verb in VERBS[task] else []
    if not task:
        return []

    from lamina.tasks.table import TASKS

    if task not in TASKS or verb not in TASKS[task].verbs:
        return []  # opening the run reports what is missing
    return _fields(TASKS[task].verbs[verb])


def _refuse_others(verb: str, words: Sequence[str], reader: Parser, run: str, task: str) -> None:
    own = set(reader.options())
    for word in _options(words):
        owners = [name for name in VERBS if any(field.option == word for field in _of_task(name, verb))]
        if word not in own and owners:
            what = f"its task is {task}" if task else "it has no task options"
            have = ", ".join(field.option for field in reader.fields.values())
            more = f"; it has {have}" if have else ""
            raise UsageError(f"{word} is for {' and '.join(owners)}, but {run} has none: {what}{more}")


def _options(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if word == "--":
            return
        if word.startswith("--"):
            yield word.partition("=")[0]
