"""``lamina embed``: the inputs of a run's output layer."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from lamina.cli.output import as_json
from lamina.cli.parser import Parser, dashed
from lamina.cli.predict import items_of, labelled
from lamina.cli.run_argument import add_run, run_path, takes_texts
from lamina.errors import UsageError

SUFFIXES = (".npy", ".csv")


def parser() -> Parser:
    text = "The inputs of a run's output layer (features), for items or, without any, for its test split."
    examples = "runs/lenet5-digits --out features.npy\nruns/lenet5-digits a.png b.png --out features.csv"
    parser = Parser("embed", "RUN [ITEM...] [--out FILE]", text, examples)
    add_run(parser)
    parser.add_argument("item", metavar="ITEM", nargs="*", help="an image, a table, a row as JSON: '{...}', or a text")
    parser.add_argument("--out", type=str, metavar="FILE", help="where to write: .npy or .csv (default: CSV, printed)")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_path(args.run, args.runs)
    out = None if args.out is None else Path(args.out)
    if out is not None and out.suffix not in SUFFIXES:
        raise UsageError(f"--out {args.out}: the name must end in {' or '.join(SUFFIXES)}")
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out {args.out}: there is no folder {out.parent}")
    items = items_of(args.item, takes_texts(path))

    from lamina.runs.run import open_run

    run = open_run(path)
    if items:
        named = [pair for text, item in items for pair in labelled(text, run.embed(item).tolist())]
    else:
        split = run.final_split
        named = [(f"{split} {i}", features) for i, features in enumerate(run.embed().tolist())]
    if out is None and args.json:
        as_json([{"item": label, "features": features} for label, features in named])
    elif out is None:
        print(_csv(named), end="")
    else:
        _write(out, named)
        shape = (len(named), len(named[0][1]))
        if args.json:
            as_json({"run": str(path), "out": str(out), "shape": shape})
        else:
            print(f"wrote {shape[0]:,} x {shape[1]:,} features to {out}")
    return 0


def _csv(named: Sequence[tuple[str, list[float]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["item", *range(len(named[0][1]))])
    writer.writerows([label, *features] for label, features in named)
    return text.getvalue()


def _write(out: Path, named: Sequence[tuple[str, list[float]]]) -> None:
    import numpy as np

    from lamina.files import write_whole

    if out.suffix == ".csv":
        data = _csv(named).encode("utf-8", "backslashreplace")
        write_whole(out, lambda file: file.write(data))
    else:
        array = np.array([features for _, features in named], dtype=np.float32)
        write_whole(out, lambda file: np.save(file, array, allow_pickle=False))
