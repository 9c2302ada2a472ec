"""``lamina predict``: what a run says of files or rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lamina.cli.naming import add_run, run_path
from lamina.cli.output import as_json, number, table
from lamina.cli.parser import Parser, dashed
from lamina.errors import UsageError


def parser() -> Parser:
    text = "What a run says of image files, table files (a prediction for each row), or rows written as JSON."
    examples = 'runs/lenet5-digits photo.png\nruns/mlp-wine new.csv\nruns/mlp-people \'{"age": 31, "city": "Turin"}\''
    parser = Parser("predict", "RUN ITEM...", text, examples)
    add_run(parser)
    parser.add_argument("item", metavar="ITEM", nargs="+", help="an image, a table, or a row as JSON: '{...}'")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_path(args.run, args.runs)
    items = [(text, row_or_path(text)) for text in args.item]

    from lamina.runs.run import open_run

    run = open_run(path)
    said = [(label, one) for text, item in items for label, one in labelled(text, run.predict(item))]
    if args.json:
        as_json([{"item": label, **one} for label, one in said])
        return 0
    first = said[0][1]
    if "class" in first:
        rows = [(label, one["class"], f"{one['probability']:.4f}", _next(one)) for label, one in said]
        table(("item", "class", "probability", "then"), rows, right=(2,))
    elif "labels" in first:
        rows_of_labels = [(label, ", ".join(one["labels"]) or "-", _next(one, 3)) for label, one in said]
        table(("item", "labels", "most probable"), rows_of_labels)
    else:
        names = list(first)
        table(("item", *names), [(label, *(number(one[name]) for name in names)) for label, one in said], right=(1,))
    return 0


def row_or_path(text: str) -> Any:
    """A row where the text is a JSON object, else the text: a path. Raises UsageError for broken JSON."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is no JSON object: {error}") from None


def labelled(text: str, predictions: Sequence[Any]) -> list[tuple[str, Any]]:
    """Each prediction of one item with a name: the item, and the row where there are several."""
    if len(predictions) == 1:
        return [(text, predictions[0])]
    return [(f"{text}, row {i}", one) for i, one in enumerate(predictions, 1)]


def _next(said: Mapping[str, Any], most: int = 2) -> str:
    """The most probable classes after the one said, or of all labels."""
    ranked = sorted(said["probabilities"].items(), key=lambda pair: -pair[1])
    ranked = [pair for pair in ranked if pair[0] != said.get("class")]
    return ", ".join(f"{name} {probability:.4f}" for name, probability in ranked[:most])
