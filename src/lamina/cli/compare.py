"""``lamina compare``: a leaderboard of models on one data set."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence

from lamina.cli.fields import fields_of, given
from lamina.cli.output import as_json, clean, note, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_runs
from lamina.data.catalogue import expect_known
from lamina.data.options import DataOptions
from lamina.errors import UsageError
from lamina.options.recipe import Recipe

TEXT = """Train several models on a data set and compare them: the validation split chooses, the test split is judged
once, and simple models stand beside. Called again it goes on where it was."""
EXAMPLES = """--data photos/ --minutes 30
--data houses.csv --target price --models mlp,autoencoder
--data wine --models "mlp,mlp --model.hidden [64,64]"
--data iris --name iris-models"""


def parser() -> Parser:
    parser = Parser("compare", "--data DATA [--models A,B,C] [--minutes M] [options]", TEXT, EXAMPLES)
    parser.hint = "data are named with --data"
    parser.others["--model"] = "models are named with --models A,B,C"
    what = parser.add_argument_group("data and models")
    what.add_argument("--data", type=str, metavar="DATA", help="an embedded set, a path, or hf:<dataset>@<revision>")
    what.add_argument(
        "--models",
        type=str,
        metavar="A,B,C",
        help="the models, also with options of their own (default: those that lamina advise names)",
    )
    what.add_argument("--name", type=str, metavar="NAME", help="folder of the runs (default: compare-DATA)")
    add_runs(what)
    parser.add_fields("recipe", fields_of(Recipe, skip=("augmentation",)))
    parser.add_fields("reading and dividing the data", fields_of(DataOptions))
    parser.add_common(quiet=True)
    return parser


def command(argv: Sequence[str]) -> int:
    reader = parser()
    args = reader.read(dashed(argv))
    if not args.data:
        known = "an embedded set (lamina data lists them), a path, or hf:<dataset>@<revision>"
        raise UsageError(f"--data is missing: {known}")
    expect_known(args.data)
    options = given(reader.fields, args.as_dict())

    from lamina.runs.comparison import HEADER, compare

    def progress(model: str) -> None:
        if not (args.quiet or args.json):
            print(f"training {model}", file=sys.stderr)

    models = [name.strip() for name in re.split(r",(?![^\[]*\])", args.models or "") if name.strip()]
    minutes = options.pop("minutes", None)
    board = compare(
        args.data, models, minutes=minutes, name=args.name, directory=args.runs, progress=progress, **options
    )
    if args.json:
        rows = {"rows": board.rows, "beside": board.beside}
        listed = {name: [dataclasses.asdict(row) for row in of] for name, of in rows.items()}
        as_json({"path": board.path, "metric": board.metric, **listed})
        return 0
    table(HEADER, board.table(), right=range(1, len(HEADER)))
    print(f"validation and test: {board.metric}; the validation split chooses")
    for row in board.rows:
        if row.error:
            note(f"{row.model}: {row.error}")
    print(f"board: {clean(board.path / 'board.html')}, board.csv")
    return 0
