"""``lamina report``: the report of a run, written anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lamina.cli.output import as_json, clean
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_path


def parser() -> Parser:
    text = "Write the report of a run from its best weights, also of one that was stopped, and print its path."
    parser = Parser("report", "RUN", text, "runs/lenet5-digits")
    add_run(parser)
    parser.others["--out"] = "the report is written to the run's folder"
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_path(args.run, args.runs)

    from lamina.runs.run import open_run

    report = open_run(path).report()
    if args.json:
        as_json({"run": str(path), "report": str(report)})
    else:
        print(clean(Path(report)))
    return 0
