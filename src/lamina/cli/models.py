"""``lamina models``: the architectures, from their cards alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lamina.cli.output import as_json, count, note, table
from lamina.cli.parser import Parser, dashed
from lamina.errors import UsageError, nearest
from lamina.registry import card, faults, list_models


def parser() -> Parser:
    parser = Parser("models", "[PATTERN] [--task TASK]", "List the architectures.", "\n'res*'\n--task regression")
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="*", help="pattern of names: 'res*'")
    parser.add_argument(
        "--task", type=str, metavar="TASK", help="models that can be trained for the task: classification, ..."
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    names = list_models(args.pattern, task=args.task)
    if not names:
        near = nearest(args.pattern, list_models())
        raise UsageError(f"no model is named like '{args.pattern}'" + (f"; did you mean '{near}'?" if near else ""))
    cards = {name: card(name) for name in names}
    for fault in faults():
        note(fault)
    if args.json:
        as_json({name: dataclasses.asdict(facts) for name, facts in cards.items()})
        return 0
    table(
        ("model", "year", "parameters", "takes", "title"),
        (
            (name, facts.year, count(facts.parameters), ", ".join(facts.inputs), facts.title)
            for name, facts in cards.items()
        ),
        right=(2,),
    )
    return 0
