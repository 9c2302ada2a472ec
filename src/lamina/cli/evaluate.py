"""``lamina evaluate``: the metrics of a run, or of published weights as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cli.fields import Field, fields_of, given
from lamina.cli.metric_network import expect_trained
from lamina.cli.output import as_json, facts, metric, note, number, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import RUNS, add_run, model_named, no_run, run_path
from lamina.cli.task_options import every_field, read
from lamina.data.options import DataOptions
from lamina.errors import UsageError
from lamina.options.recipe import Augmentation
from lamina.registry import is_model
from lamina.runs.folders import find_folder, published_model

if TYPE_CHECKING:
    from lamina.data.source import Source
    from lamina.runs.run import Run

TEXT = """The metrics of a run's best weights on a split of its data, or of other data. \
lamina evaluate RUN --help shows the options of the run's task.
With --weights: those of a model with published weights, as they are; nothing is trained or written. \
lamina evaluate MODEL --weights FILE --help shows how the data are read."""
EXAMPLES = """runs/lenet5-digits
lenet5-digits --split validation
resnet50 --weights resnet50-0676ba61.pth --data photos/
gpt2 --weights gpt2/ --data book.txt"""
SHOWN = 10
IMAGES = ("normalisation", "resize", "crop")
"""how images are brought to the model; the other options of augmentation are of training"""


def parser(
    fields: Iterable[Field] | None = None, title: str = "options of the run's task", model: str | None = None
) -> Parser:
    """With the option ``fields`` of a task, or else those of all tasks; for a ``model`` also those of reading data."""
    parser = Parser("evaluate", "RUN [--split SPLIT] | MODEL --weights FILE --data DATA", TEXT, EXAMPLES)
    parser.hint = "other data are named with --data"
    add_run(parser, "RUN|MODEL")
    parser.add_argument(
        "--split", type=str, metavar="SPLIT", help="train, validation or test (default: test, or else validation)"
    )
    parser.add_argument(
        "--data", type=str, metavar="DATA", help="other data of the same kind, or the new place of the run's own"
    )
    parser.add_argument("--weights", type=str, metavar="FILE", help="published weights of a model, to judge on --data")
    parser.add_argument(
        "--entry", type=str, metavar="NAME", help="the entry of --weights, a checkpoint, that holds them"
    )
    fields = every_field("evaluate") if fields is None else list(fields)
    parser.add_fields(title, fields)
    if model is not None:
        from lamina.registry import variant

        parser.add_fields("images", (field for field in fields_of(Augmentation) if field.name in IMAGES))
        parser.add_fields("reading the data", fields_of(DataOptions, skip={field.name for field in fields}))
        parser.add_fields(f"options of {model}", fields_of(type(variant(model).config), under="model"))
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    words = dashed(argv)
    positionals, values = parser().scan(words)
    if positionals and "--weights" in values:
        return _of_weights(words, model_named(positionals[0]), None)
    folder = None if not positionals else Path(positionals[0]).expanduser()
    if folder is not None and folder.is_dir() and (name := published_model(folder)) is not None:
        return _of_weights(words, name, str(folder))
    if positionals and is_model(positionals[0]) and find_folder(positionals[0], values.get("--runs", RUNS)) is None:
        raise no_run(positionals[0], values.get("--runs", RUNS), "; or give its weights with --weights FILE")
    if "--entry" in values:
        raise UsageError("--entry is of a file of weights: give --weights too")
    reader, args = read("evaluate", parser, argv, run_path)
    path = run_path(args.run, args.runs)

    from lamina.runs.opened import final_split
    from lamina.runs.run import open_run

    options = given(reader.fields, args.as_dict())
    reader.check(options)
    expect_trained(options.get("metric_network"), str(path.parent))
    run = open_run(path)
    source = run.other_source(args.data) if args.data else run.source
    split = args.split or final_split(source)
    metrics = run.evaluate(split, data=source, **options)
    return _print({"run": path}, run, source, split, metrics, args.json)


def _of_weights(words: Sequence[str], name: str, folder: str | None) -> int:
    """Published weights on data; ``folder`` holds them where there is no --weights."""
    reader = parser(model=name)
    args = reader.read(words)
    weights = args.weights or folder or ""
    if args.data is None:
        raise UsageError("--data is missing: weights without a run are judged on data of yours")
    values = args.as_dict()
    asked = given(reader.fields, values) | {"model": given(reader.fields, values.get("model") or {}, under="model")}
    own = {field.name for field in every_field("evaluate")}

    from lamina.runs.published import open_weights

    options = {key: value for key, value in asked.items() if key not in own}
    found = open_weights(name, weights, args.data, split=args.split, entry=args.entry, options=options)
    for text in found.notes:
        note(text)
    split = args.split or found.final_split
    metrics = found.evaluate(split, **{key: value for key, value in asked.items() if key in own})
    about = {"model": name, "weights": str(weights), **found.assumed}
    return _print(about, found, found.source, split, metrics, args.json)


def _print(
    about: Mapping[str, Any], run: Run, source: Source, split: str, metrics: Mapping[str, float], json: bool
) -> int:
    counted, size, signed = source.spec.counted, source.spec.sizes[split], run.view.signatures(source)
    notes = run.shortfalls(split, metrics)
    if json:
        plain = {key: str(value) if isinstance(value, Path) else value for key, value in about.items()}
        as_json({**plain, "split": split, counted: size, "metrics": metrics, "signatures": signed, "notes": notes})
        return 0
    tables: Any = getattr(metrics, "tables", ())
    shown = getattr(metrics, "shown", tuple(metrics))
    values = {
        name: " ".join((metric(name, value), signed.get(name, ""))).strip()
        for name, value in metrics.items()
        if name in shown
    }
    if classes := about.get("classes"):
        more = [f"... and {len(classes) - SHOWN:,} more"] if len(classes) > SHOWN else []
        numbered = [f"{number} {name}" for number, name in enumerate(classes[:SHOWN])] + more
        about = {**about, "classes": numbered}
    facts({**about, "split": f"{split}, {size:,} {counted}", **values})
    for one in tables:
        print()
        rows = [(name, *(number(value) for value in cells)) for name, cells in one.rows]
        table(one.columns, rows, right=range(1, len(one.columns)))
    for text in notes:
        note(text)
    return 0
