"""``lamina evaluate``: the metrics of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.cli.fields import Field, given
from lamina.cli.output import as_json, facts, note, number
from lamina.cli.parser import Parser
from lamina.cli.run_argument import add_run, run_path
from lamina.cli.task_options import every_field, read


def parser(fields: Iterable[Field] | None = None, title: str = "options of the run's task") -> Parser:
    """With the option ``fields`` of a task, or else those of all tasks."""
    text = (
        "The metrics of a run's best weights on a split of its data, or of other data. "
        "lamina evaluate RUN --help shows the options of the run's task."
    )
    parser = Parser("evaluate", "RUN [--split SPLIT]", text, "runs/lenet5-digits\nlenet5-digits --split validation")
    add_run(parser)
    parser.add_argument(
        "--split", type=str, metavar="SPLIT", help="train, validation or test (default: test, or else validation)"
    )
    parser.add_argument(
        "--data", type=str, metavar="DATA", help="other data of the same kind, or the new place of the run's own"
    )
    parser.add_fields(title, every_field("evaluate") if fields is None else fields)
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader, args = read("evaluate", parser, argv, run_path)
    path = run_path(args.run, args.runs)

    from lamina.runs.opened import final_split
    from lamina.runs.run import open_run

    run = open_run(path)
    source = run.other_source(args.data) if args.data else run.source
    split = args.split or final_split(source)
    metrics = run.evaluate(split, data=source, **given(reader.fields, args.as_dict()))
    counted, size, signed = source.spec.counted, source.spec.sizes[split], run.view.signatures(source)
    notes = run.shortfalls(split, metrics)
    if args.json:
        found = {"run": str(path), "split": split, counted: size, "metrics": metrics}
        as_json({**found, "signatures": signed, "notes": notes})
        return 0
    values = {name: " ".join((number(value), signed.get(name, ""))).strip() for name, value in metrics.items()}
    facts({"run": path, "split": f"{split}, {size:,} {counted}", **values})
    for text in notes:
        note(text)
    return 0
