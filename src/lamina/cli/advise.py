"""``lamina advise``: which model to train on given data, and why."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lamina.cli.fields import fields_of, given
from lamina.cli.output import as_json
from lamina.cli.parser import Parser, dashed
from lamina.data.catalogue import expect_known
from lamina.data.options import DataOptions
from lamina.errors import UsageError

TEXT = "Which model to train on a data set, and why. lamina train --data DATA trains it."
EXAMPLES = "--data photos/\n--data houses.csv --target price\n--data reviews.tsv --json"


def parser() -> Parser:
    parser = Parser("advise", "--data DATA [options]", TEXT, EXAMPLES)
    parser.hint = "data are named with --data"
    parser.add_argument("--data", type=str, metavar="DATA", help="an embedded set, a path, or hf:<dataset>@<revision>")
    parser.add_fields("reading and dividing the data", fields_of(DataOptions))
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    words = dashed(argv)
    reader = parser()
    args = reader.read(words)
    if not args.data:
        raise UsageError(
            "--data is missing: an embedded set (lamina data lists them), a path, or hf:<dataset>@<revision>"
        )
    expect_known(args.data)

    from lamina.runs.advising import Advice, advise

    advice: Advice = advise(args.data, given(reader.fields, args.as_dict()))
    own = [word for word in words if word != "--json"]
    commands = {model: train_command(model, own) for model in (advice.model, *advice.instead)}
    if args.json:
        as_json({**dataclasses.asdict(advice), "commands": commands})
        return 0
    print(f"{advice.model}: {advice.why}")
    print(f"  {train_command('', own)}")
    show_others(advice.instead, own)
    return 0


def show_others(instead: Mapping[str, str], words: Sequence[str]) -> None:
    """Print the models that could be trained in its place, each with its command."""
    if instead:
        print("or:")
    for model, reason in instead.items():
        print(f"  {train_command(model, words)}   # {reason}")


def train_command(model: str, words: Sequence[Any]) -> str:
    """The command that trains a model, such as "mlp" or "mlp --model.hidden 64", with these options."""
    name, *own = shlex.split(model) or [""]
    return shlex.join(["lamina", "train", *([name] if name else []), *map(str, words), *own])
