"""``lamina runs``: list and compare runs."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.output import as_json, clock, note, number, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import RUNS, no_run
from lamina.errors import LaminaError, UsageError
from lamina.runs.folders import find_folder

if TYPE_CHECKING:
    from lamina.runs.run import Run
    from lamina.runs.summary import RunSummary


def parser() -> Parser:
    text = "List runs: of a folder, or those named; of several named ones also the differences of their configurations."
    parser = Parser("runs", "[DIR | RUN...]", text, "\nlenet5-digits lenet5-digits-2\n--csv")
    parser.add_argument(
        "where", metavar="DIR|RUN", nargs="*", default=[RUNS], help=f"a folder of runs, or runs (default: {RUNS})"
    )
    parser.add_argument("--csv", action="store_true", help="print comma-separated values, every metric a column")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    folders = [RUNS if name == RUNS else find_folder(name, RUNS) for name in args.where]
    for name, folder in zip(args.where, folders, strict=True):
        if folder is None:
            raise UsageError(f"no such folder: {name}; {no_run(name, RUNS)}")

    from lamina.runs.summary import differences, run_paths

    paths = [path for folder in folders if folder is not None for path in run_paths(folder)]
    opened = [pair for path in paths if (pair := _open(path)) is not None]
    summaries = [summary for _, summary in opened]
    compare = len(args.where) > 1 and len(opened) > 1
    changed = differences([run for run, _ in opened]) if compare else {}
    if args.csv:
        print(_csv(summaries), end="")
        return 0
    if args.json:
        rows = [dataclasses.asdict(summary) for summary in summaries]
        as_json({"runs": rows, "differences": changed} if compare else rows)
        return 0
    if not summaries:
        print(f"no runs in {', '.join(args.where)}; start one with: lamina train lenet5 --data digits")
        return 0
    one_folder = len({path.parent for path in paths}) == 1
    table(
        ("run", "model", "data", "state", "epochs", "steps", "best validation", "test", "lr", "ended", "time"),
        (
            (
                Path(s.path).name if one_folder else s.path,
                s.model,
                s.data,
                s.state,
                s.epochs,
                s.step,
                _best(s),
                _test(s),
                f"{s.lr:g}",
                s.date[:16].replace("T", " "),
                clock(60 * s.minutes),
            )
            for s in summaries
        ),
        right=(4, 5, 8, 10),
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


def _test(summary: RunSummary) -> str:
    """The watched metric on the split of the report."""
    if summary.test is None:
        return "-"
    where = "" if summary.split == "test" else f" ({summary.split})"
    return f"{number(summary.test)}{where}"


def _csv(summaries: Sequence[RunSummary]) -> str:
    """A row for each run; every metric of a report is a column."""
    names = list(dict.fromkeys(name for one in summaries for name in one.metrics))
    fields = [field.name for field in dataclasses.fields(summaries[0])] if summaries else []
    columns = [name for name in fields if name != "metrics"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *(f"report_{name}" for name in names)])
    for one in summaries:
        writer.writerow([*(getattr(one, name) for name in columns), *(one.metrics.get(name) for name in names)])
    return text.getvalue()


def _best(summary: RunSummary) -> str:
    return "-" if summary.best is None else f"{summary.metric} {number(summary.best)}"
