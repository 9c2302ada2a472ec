"""``lamina predict``: what a run says of files or rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cli.output import as_json, clean, number, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_runs, run_path, takes_texts
from lamina.data.text_files import is_text
from lamina.errors import UsageError
from lamina.export.formats import ENGINES, check_engine, engine_of

if TYPE_CHECKING:
    from lamina.runs.run import Run
    from lamina.runs.views.export import ExportedModel


def parser() -> Parser:
    text = (
        "What a run, or a file exported from one, says of image files, table files (a prediction for each row), "
        "rows written as JSON, or texts: a class, a translation. A .txt file is a text a line."
    )
    examples = (
        "runs/lenet5-digits photo.png\nruns/mlp-wine new.csv\n"
        'runs/mlp-people \'{"age": 31, "city": "Turin"}\'\n'
        "lenet5.onnx photo.png\nruns/lenet5-digits photo.png --engine openvino\n"
        'runs/lstm-classifier-reviews "What a film!"\n'
        'runs/transformer-small-dates "3 mars 2015" --beam 4'
    )
    parser = Parser("predict", "RUN|FILE ITEM... [options]", text, examples)
    parser.add_argument("run", metavar="RUN|FILE", help="a run by its path or its name, or an exported .onnx or .xml")
    add_runs(parser)
    parser.add_argument("item", metavar="ITEM", nargs="+", help="an image, a table, a row as JSON: '{...}', or a text")
    parser.add_argument(
        "--beam", type=int, metavar="N", help="translations that the search keeps at a time (default: 1)"
    )
    parser.add_argument(
        "--length-penalty",
        type=float,
        metavar="X",
        help="above 0 a beam favours longer translations (default: 0.6)",
    )
    parser.add_argument(
        "--engine",
        type=str,
        metavar="NAME",
        help=f"one of {', '.join(ENGINES)} (default: torch; of a file, the one it was made for)",
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    search = {"beam": args.beam, "length_penalty": args.length_penalty}
    search = {name: value for name, value in search.items() if value is not None}
    model, texts = _opener(args.run, args.runs, args.engine)
    if search and not texts:
        raise UsageError("--beam and --length-penalty are for translations, by a run in torch")
    items = items_of(args.item, texts)
    run = model()
    said = [(label, one) for text, item in items for label, one in labelled(text, run.predict(item, **search))]
    if args.json:
        as_json([{"item": label, **one} for label, one in said])
        return 0
    first = said[0][1]
    if "translation" in first:
        for _, one in said:
            print(clean(one["translation"]))
    elif "class" in first:
        rows = [(label, one["class"], f"{one['probability']:.4f}", _next(one)) for label, one in said]
        table(("item", "class", "probability", "then"), rows, right=(2,))
    elif "labels" in first:
        rows_of_labels = [(label, ", ".join(one["labels"]) or "-", _next(one, 3)) for label, one in said]
        table(("item", "labels", "most probable"), rows_of_labels)
    else:
        names = list(first)
        table(("item", *names), [(label, *(number(one[name]) for name in names)) for label, one in said], right=(1,))
    return 0


def _opener(name: str, runs: str, engine: str | None) -> tuple[Callable[[], Run | ExportedModel], bool]:
    """What opens the run or the exported file: torch is imported when it is called, after all that can be refused. And
    whether it is a run that takes texts."""
    if Path(name).expanduser().is_file():
        file = Path(name).expanduser()
        engine = engine_of(file, engine)

        def open_file() -> ExportedModel:
            from lamina.runs.views.export import open_exported

            return open_exported(file, engine)

        return open_file, False
    path = run_path(name, runs)
    engine = "torch" if engine is None else engine
    check_engine(engine)

    def open_it() -> Run | ExportedModel:
        from lamina.runs.run import open_run
        from lamina.runs.views.export import run_in_engine

        run = open_run(path)
        return run if engine == "torch" else run_in_engine(run, engine)

    return open_it, takes_texts(path) and engine == "torch"


def items_of(words: Sequence[str], texts: bool) -> list[tuple[str, Any]]:
    """What the words mean, each beside the word itself. Raises UsageError for broken JSON."""
    if not texts:
        return [(word, row_or_path(word)) for word in words]
    return [(word, Path(word) if is_text(Path(word)) and Path(word).is_file() else word) for word in words]


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
