"""``lamina predict``: the predictions of a run for files, rows or texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cli.fields import Field, given
from lamina.cli.output import as_json, clean, number, table
from lamina.cli.parser import Parser
from lamina.cli.run_argument import add_run, is_file, run_path
from lamina.cli.task_options import every_field, read
from lamina.cli.writing import TABLES, check_out, printable, status, succeeded, write_rows
from lamina.errors import UsageError
from lamina.export.formats import ENGINES, check_engine, engine_of

if TYPE_CHECKING:
    from lamina.runs.prediction import Outcome
    from lamina.runs.run import Run
    from lamina.runs.views.exported import ExportedModel

PICTURE, RESTORED = "picture", "reconstruction"
"""predictions that are pictures, and what is restored, a picture or a row"""
TO = "to"
"""the option of tasks whose predictions are pictures"""


def parser(fields: Iterable[Field] | None = None, title: str = "options of the run's task") -> Parser:
    """With the option ``fields`` of a task, or else those of all tasks."""
    text = (
        "The predictions of a run, or of a file exported from one. Images: files, a folder, a pattern, a .txt file of "
        "paths. Tables: files, one prediction for each row, or rows as JSON. Texts: as they are, or files with a text "
        "on each line (a blank line keeps its row), tables, a folder with a text in each file. An input that fails is "
        "reported, the others go on. lamina predict RUN --help shows the options of the run's task."
    )
    examples = (
        "runs/lenet5-digits photo.png\nruns/mlp-wine new.csv\n"
        'runs/mlp-people \'{"age": 31, "city": "Turin"}\'\n'
        "runs/lenet5-digits photos/ --out predictions.csv\n"
        "lenet5.onnx photo.png\nruns/lenet5-digits photo.png --engine openvino\n"
        'runs/lstm-classifier-reviews "What a film!"\n'
        'runs/transformer-small-dates "3 mars 2015" --beam 4\n'
        "runs/cyclegan-summer2winter photos/ --to B --out winter/"
    )
    parser = Parser("predict", "RUN|FILE ITEM... [options]", text, examples)
    add_run(parser, "RUN|FILE", items=True)
    parser.add_argument(
        "item",
        metavar="ITEM",
        nargs="*",
        help="a file, a folder, a pattern ('photos/*.png'), a row as JSON, a text, or the history of series (default: "
        "the run's own data, to their end)",
    )
    parser.add_argument(
        "--out",
        type=str,
        metavar="FILE",
        help=f"where to write all predictions in full precision: {', '.join(TABLES)} (default: printed); of "
        "autoencoders also a folder, for what is restored; of image translation a folder, for the pictures",
    )
    parser.add_argument(
        "--engine",
        type=str,
        metavar="NAME",
        help=f"one of {', '.join(ENGINES)} (default: torch; for a file, the one it was exported for)",
    )
    parser.add_fields(title, every_field("predict") if fields is None else fields)
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader, args = read(
        "predict", parser, argv, lambda name, runs: None if is_file(name, runs) else run_path(name, runs)
    )
    options = given(reader.fields, args.as_dict())
    reader.check(options)  # before any item, which may fail alone
    alone = any(getattr(field.cls, "needs_no_item", False) for field in reader.fields.values())
    if not args.item and not (alone and not is_file(args.run, args.runs)):
        raise UsageError(f"ITEM missing, a file, a folder, a row as JSON or a text: {reader.usage}")
    open_model = _opener(args.run, args.runs, args.engine)
    folder = _folder(args, reader, options)
    out = check_out(args.out, TABLES) if folder is None else None
    model = open_model()

    from lamina.runs.prediction import outcomes

    failed: list[Outcome] = []
    found = succeeded(
        outcomes(lambda *items: model.predict(*items, **options), model.preprocess.kind, args.item), failed
    )
    first = next(found, None)
    if first is None:
        return status(failed, 0)
    found = chain([first], found)
    if PICTURE in first.value and folder is None:
        raise UsageError("the predictions are pictures, which are written to a folder: --out FOLDER")
    if is_file(args.run, args.runs) and folder is not None and PICTURE not in first.value:
        check_out(args.out, TABLES)
    if folder is not None:
        found = _written(found, folder)
    if out is not None:
        count = write_rows(out, ({"item": printable(one.item), "row": one.row, **one.value} for one in found))
        if args.json:
            as_json({"out": str(out), "predictions": count, "failed": len(failed)})
        else:
            print(f"wrote {count:,} predictions to {clean(out)}")
        return status(failed, count)
    predictions = [(one.label, one.value) for one in found]
    if args.json:
        as_json([{"item": label, **value} for label, value in predictions])
    else:
        show = next((show for keys, show in SHOWN.items() if first.value.keys() >= set(keys)), _show_values)
        show(predictions)
    return status(failed, len(predictions))


def _folder(args: Any, reader: Parser, options: dict[str, Any]) -> Path | None:
    """The folder that pictures go to, where --out names one; reconstructions are then among the options.

    Raises UsageError for reconstructions, and for translated pictures, without a folder.
    """
    exported = is_file(args.run, args.runs)  # the file says what it predicts once it is opened
    restores = "reconstructions" in reader.fields and not exported
    folder = None if args.out is None else Path(args.out).expanduser()
    if not (restores or exported or TO in reader.fields) or folder is None or folder.suffix:
        if options.get("reconstructions"):
            raise UsageError("--reconstructions are written to a folder: --out FOLDER")
        if TO in reader.fields:
            raise UsageError("translated pictures are written to a folder: --out FOLDER")
        return None
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {args.out} is not a folder")
    if not folder.parent.is_dir():
        raise UsageError(f"--out {args.out}: there is no folder {folder.parent}")
    options |= {"reconstructions": True} if restores else {}
    return folder


def _written(found: Iterable[Outcome], folder: Path) -> Iterator[Outcome]:
    """The outcomes without their pictures, which are written: a PNG file each, translated ones under the name of the
    item, or restored rows to reconstructions.csv."""
    from lamina.files import write_whole
    from lamina.report.picture_grid import picture_png

    folder.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    for number_, one in enumerate(found):
        value = {name: part for name, part in one.value.items() if name not in (RESTORED, PICTURE)}
        restored, translated = one.value.get(RESTORED), one.value.get(PICTURE)
        if isinstance(restored, Mapping):
            rows.append({"item": printable(one.item), "row": one.row, **restored})
        elif restored is not None:
            file = folder / f"{number_:04}-{Path(one.item).stem}.png"
            write_whole(file, methodcaller("write", picture_png(restored)))
        if translated is not None:
            stem = Path(one.item).stem
            file = folder / f"{stem if stem not in names else f'{stem}-{number_:04}'}.png"
            names.add(stem)
            write_whole(file, methodcaller("write", picture_png(translated)))
            value["file"] = printable(str(file))
        yield replace(one, value=value)
    if rows:
        write_rows(folder / "reconstructions.csv", rows)


Predictions = list[tuple[str, dict[str, Any]]]


def _show_translations(predictions: Predictions) -> None:
    for _, one in predictions:
        print(clean(one["translation"] or ""))


def _show_classes(predictions: Predictions) -> None:
    rows = [(label, one["class"] or "-", number(one["probability"]), _next(one)) for label, one in predictions]
    table(("item", "class", "probability", "then"), rows, right=(2,))


def _show_labels(predictions: Predictions) -> None:
    rows = [(label, ", ".join(one["labels"] or ()) or "-", _next(one, 3)) for label, one in predictions]
    table(("item", "labels", "most probable"), rows)


def _show_verdicts(predictions: Predictions) -> None:
    rows = [
        (label, number(one["score"]), number(one["threshold"]), one["verdict"] or "-", _blamed(one["blame"]))
        for label, one in predictions
    ]
    table(("item", "score", "threshold", "verdict", "blame"), rows, right=(1, 2))


def _blamed(blame: Sequence[Mapping[str, Any]] | None) -> str:
    return ", ".join(f"{part['name']} {part['share']:.0%}" for part in blame or ())


def _show_values(predictions: Predictions) -> None:
    names = list(predictions[0][1])
    table(("item", *names), [(label, *(_value(one[name]) for name in names)) for label, one in predictions], right=(1,))


def _value(value: Any) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_value(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_value(one)) for one in value)
    return number(value) if isinstance(value, float) or value is None else value


SHOWN: dict[tuple[str, ...], Callable[[Predictions], None]] = {
    ("translation",): _show_translations,
    ("class", "probability", "probabilities"): _show_classes,
    ("labels", "probabilities"): _show_labels,
    ("score", "verdict", "blame"): _show_verdicts,
}
"""printers by the keys of the predictions; otherwise a table of values"""


def _opener(name: str, runs: str, engine: str | None) -> Callable[[], Run | ExportedModel]:
    """A function that opens the run or the exported file, and imports torch."""
    if is_file(name, runs):
        file = Path(name).expanduser()
        engine = engine_of(file, engine)

        def open_file() -> ExportedModel:
            from lamina.runs.views.exported import open_exported

            return open_exported(file, engine)

        return open_file
    path = run_path(name, runs)
    engine = "torch" if engine is None else engine
    check_engine(engine)

    def open_it() -> Run | ExportedModel:
        from lamina.runs.run import open_run

        run = open_run(path)
        return run if engine == "torch" else run.in_engine(engine)

    return open_it


def _next(prediction: Mapping[str, Any], most: int = 2) -> str:
    """The most probable classes after the one predicted, or of all labels."""
    ranked = sorted((prediction["probabilities"] or {}).items(), key=lambda pair: -pair[1])
    ranked = [pair for pair in ranked if pair[0] != prediction.get("class")]
    return ", ".join(f"{name} {probability:.4f}" for name, probability in ranked[:most])
