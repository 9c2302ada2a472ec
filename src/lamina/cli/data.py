"""``lamina data``: the contents of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from lamina.cli.fields import fields_of, given
from lamina.cli.output import as_json, facts, note, size, table
from lamina.cli.parser import Parser, dashed
from lamina.data.catalogue import EMBEDDED, expect_known
from lamina.data.options import DataOptions
from lamina.report.wording import decimal

MOST = 20
"""classes or columns listed; all of them are in the JSON"""
PICTURES = ("channels", "height", "width", "value_range")
"""lines about images"""
KNOWN = {
    "name", "kind", "task", "sizes", "counted", "targets", "languages", "licence", "fingerprint", "skipped", "classes",
    "target_range", "columns", "notes", "texts", "example", "hint", *PICTURES,
}  # fmt: skip
"""what has a place of its own; anything else that a modality says of its data is a line"""


def parser() -> Parser:
    text = "The contents of a data set, as training reads it. Without a name: the embedded sets."
    examples = "\ndigits\nphotos/\nhouses.csv --target price\nhf:mnist@main"
    parser = Parser("data", "[NAME | PATH | hf:DATASET@REVISION] [options]", text, examples)
    parser.add_argument("data", metavar="DATA", nargs="?", help="an embedded set, a path, or hf:<dataset>@<revision>")
    parser.add_argument(
        "--index",
        action="store_true",
        help="write an index of a folder of images or of tar shards, which is then read in place of their headers",
    )
    parser.add_fields("reading and dividing the data", fields_of(DataOptions))
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader = parser()
    args = reader.read(dashed(argv))
    options = given(reader.fields, args.as_dict())
    if args.data is None:
        if args.json:
            as_json(EMBEDDED)
        else:
            table(("data", "what it is"), EMBEDDED.items())
        return 0

    expect_known(args.data)

    from lamina.data.description import describe
    from lamina.data.opening import index_images, open_source
    from lamina.options.conversion import typed
    from lamina.tasks.table import expect_task

    requested = DataOptions(**typed(DataOptions, options, "option"))
    expect_task(requested.task)
    if args.index:
        note(f"index: {index_images(args.data, requested)}")
    described = describe(open_source(args.data, options=requested))
    if args.json:
        as_json(described)
        return 0
    show(described)
    return 0


def show(described: Mapping[str, Any]) -> None:
    """Print the result of ``describe``."""
    facts(
        {
            "data": described["name"],
            "kind": described["kind"],
            "task": described["task"] if "hint" not in described else "",
            described["counted"]: ", ".join(f"{split} {n:,}" for split, n in described["sizes"].items()),
            "images": _images(described) if described.keys() >= set(PICTURES) else "",
            "languages": " to ".join(described.get("languages", ())),
            "targets": _targets(described),
            **{name.replace("_", " "): _listed(value) for name, value in described.items() if name not in KNOWN},
            "licence": described["licence"],
            "fingerprint": described["fingerprint"],
        }
    )
    if classes := described.get("classes"):
        print()
        splits = list(described["sizes"])
        rows = [(name, *(counts[split] for split in splits)) for name, counts in classes.items()]
        table(("class", *splits), rows[:MOST], right=range(1, len(splits) + 1))
        _more(rows, "classes")
    if ranges := described.get("target_range"):
        print()
        rows = [
            (name, split, decimal(low), decimal(high))
            for split, of in ranges.items()
            for name, (low, high) in of.items()
        ]
        table(("target", "split", "min", "max"), rows[:MOST], right=(2, 3))
        _more(rows, "targets")
    if columns := described.get("columns"):
        print()
        rows = [(one["name"], one["kind"], one["missing"], _extent(one)) for one in columns]
        table(("column", "kind", "missing", "values"), rows[:MOST], right=(2,))
        _more(rows, "columns")
    if texts := described.get("texts"):
        print()
        heads = next(iter(texts.values()))
        rows = [(split, *(f"{count:,}" for count in of.values())) for split, of in texts.items()]
        table(("split", *(head.replace("_", " ") for head in heads)), rows, right=range(1, len(heads) + 1))
        print()
        facts({"for example": shorten(" -> ".join(described["example"]), 100, placeholder=" ...")})
    for text in described["notes"]:
        note(text)
    for name in described["skipped"]:
        note(f"left out: {name}")


def _listed(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _targets(described: Mapping[str, Any]) -> str:
    if "hint" not in described:
        return ", ".join(described["targets"])
    return f"none ({described['hint']})" if described["hint"] else "none"


def _images(described: Mapping[str, Any]) -> str:
    height, width = described["height"], described["width"]
    pixels = "of different sizes" if height is None or width is None else f"{size((height, width))} pixels"
    channels = described["channels"]
    return f"{pixels}, {'grey and colour mixed' if channels is None else f'{channels} channel' + 's' * (channels > 1)}"


def _extent(column: Mapping[str, Any]) -> str:
    if "categories" in column:
        return f"{column['categories']:,} different"
    return f"{decimal(column['min'])} to {decimal(column['max'])}" if "min" in column else "-"


def _more(rows: Sequence[object], what: str) -> None:
    if len(rows) > MOST:
        print(f"... and {len(rows) - MOST:,} more {what}: --json lists all")
