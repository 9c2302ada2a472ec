"""``lamina embed``: the inputs of a run's output layer."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.output import as_json
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_path
from lamina.cli.writing import TABLES, check_out, printable, status, succeeded, write_rows
from lamina.errors import DataError

if TYPE_CHECKING:
    from lamina.runs.prediction import Outcome
    from lamina.runs.run import Run

SUFFIXES = (".npy", *TABLES)


def parser() -> Parser:
    text = "The inputs of a run's output layer (features), for items or, without any, for its test split."
    examples = "runs/lenet5-digits --out features.npy\nruns/lenet5-digits a.png b.png --out features.csv"
    parser = Parser("embed", "RUN [ITEM...] [--out FILE]", text, examples)
    add_run(parser, items=True)
    parser.add_argument(
        "item", metavar="ITEM", nargs="*", help="a file, a folder, a pattern, a row as JSON, or a text, as for predict"
    )
    parser.add_argument(
        "--out", type=str, metavar="FILE", help=f"where to write: {', '.join(SUFFIXES)} (default: CSV, printed)"
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_path(args.run, args.runs)
    out = check_out(args.out, SUFFIXES)

    from lamina.runs.run import open_run

    failed: list[Outcome] = []
    named = [(one.label, one.value) for one in succeeded(_embedded(open_run(path), args.item), failed)]
    if not named:
        return status(failed, 0)
    if out is None and args.json:
        as_json([{"item": label, "features": features} for label, features in named])
    elif out is None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["item", *range(len(named[0][1]))])
        writer.writerows([label, *features] for label, features in named)
    else:
        _write(out, named, len(failed))
        shape = (len(named), len(named[0][1]))
        if args.json:
            as_json({"run": str(path), "out": str(out), "shape": shape})
        else:
            print(f"wrote {shape[0]:,} x {shape[1]:,} features to {out}")
    return status(failed, len(named))


def _embedded(run: Run, words: Sequence[str]) -> Iterator[Outcome]:
    """The features of every input, or without any those of the final split."""
    from lamina.runs.prediction import Outcome, outcomes

    if words:
        yield from outcomes(lambda *items: run.embed(*items).tolist(), run.preprocess.kind, words)
        return
    split = run.final_split
    yield from (Outcome(f"{split} {i}", value=features) for i, features in enumerate(run.embed().tolist()))


def _write(out: Path, named: Sequence[tuple[str, list[float]]], failed: int) -> None:
    """Raises DataError where rows without a name would not be those of the inputs."""
    import numpy as np

    from lamina.files import write_whole

    if out.suffix in TABLES:
        write_rows(out, ({"item": printable(label)} | {str(k): one for k, one in enumerate(of)} for label, of in named))
        return
    if failed:
        raise DataError(f"{out} is not written: its rows have no names, and {failed:,} would be missing; write a .csv")
    array = np.array([features for _, features in named], dtype=np.float32)
    write_whole(out, lambda file: np.save(file, array, allow_pickle=False))
