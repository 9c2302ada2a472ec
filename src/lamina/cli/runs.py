"""``lamina runs``: list and compare runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.output import as_json, clock, note, number, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import RUNS
from lamina.errors import LaminaError, UsageError
from lamina.runs.folders import find_folder

if TYPE_CHECKING:
    from lamina.runs.run import Run
    from lamina.runs.summary import RunSummary


def parser() -> Parser:
    text = "List runs. For several runs given by path, also list the differences of their configurations."
    parser = Parser("runs", "[DIR | RUN...]", text, "\nruns/lenet5-digits runs/lenet5-digits-2")
    parser.add_argument(
        "where", metavar="DIR|RUN", nargs="*", default=[RUNS], help=f"a folder of runs, or runs (default: {RUNS})"
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    folders = [RUNS if name == RUNS else find_folder(name, RUNS) for name in args.where]
    for name, folder in zip(args.where, folders, strict=True):
        if folder is None:
            raise UsageError(f"no such folder: {name}")

    from lamina.runs.summary import differences, run_paths

    paths = [path for folder in folders if folder is not None for path in run_paths(folder)]
    opened = [pair for path in paths if (pair := _open(path)) is not None]
    summaries = [summary for _, summary in opened]
    compare = len(args.where) > 1 and len(opened) > 1
    changed = differences([run for run, _ in opened]) if compare else {}
    if args.json:
        rows = [dataclasses.asdict(summary) for summary in summaries]
        as_json({"runs": rows, "differences": changed} if compare else rows)
        return 0
    if not summaries:
        print(f"no runs in {', '.join(args.where)}; start one with: lamina train lenet5 --data digits")
        return 0
    one_folder = len({path.parent for path in paths}) == 1
    table(
        ("run", "model", "data", "state", "epochs", "steps", "best validation", "time"),
        (
            (
                Path(s.path).name if one_folder else s.path,
                s.model,
                s.data,
                s.state,
                s.epochs,
                s.step,
                _best(s),
                clock(60 * s.minutes),
            )
            for s in summaries
        ),
        right=(4, 5, 7),
    )
    if compare:
        print()
        names = [Path(summary.path).name for summary in summaries]
        table(("option", *names), ((option, *values) for option, values in changed.items()))
    return 0


def _open(path: Path) -> tuple[Run, RunSummary] | None:
    """A run and its summary; a damaged run is noted and left out."""
    from lamina.runs.run import open_run
    from lamina.runs.summary import summarise

    try:
        run = open_run(path)
        return run, summarise(run)
    except LaminaError as error:
        note(f"{path} is left out: {error}")
        return None


def _best(summary: RunSummary) -> str:
    return "-" if summary.best is None else f"{summary.metric} {number(summary.best)}"
