"""``lamina evaluate``: the metrics of a run."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.cli.output import as_json, facts, number
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_path


def parser() -> Parser:
    text = "The metrics of a run's best weights on a split of its data, or of other data."
    parser = Parser("evaluate", "RUN [--split SPLIT]", text, "runs/lenet5-digits\nlenet5-digits --split validation")
    add_run(parser)
    parser.add_argument(
        "--split", type=str, metavar="SPLIT", help="train, validation or test (default: test, or else validation)"
    )
    parser.add_argument("--data", type=str, metavar="DATA", help="other data than the run's own, of the same kind")
    parser.add_argument(
        "--crops", type=int, metavar="N", default=1, help="10: the mean over ten windows of each image (default: 1)"
    )
    parser.add_argument(
        "--beam", type=int, metavar="N", default=1, help="translations that the search keeps at a time (default: 1)"
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_path(args.run, args.runs)

    from lamina.runs.run import final_split, open_run

    run = open_run(path)
    source = run.other_source(args.data) if args.data else run.source
    split = args.split or final_split(source)
    metrics = run.evaluate(split, data=source, crops=args.crops, beam=args.beam)
    counted = "characters" if source.spec.task == "language-modelling" else "samples"
    size, signed = source.spec.sizes[split], {}
    if source.spec.task == "translation":
        from lamina.tasks.translation_scores import signatures

        signed = signatures(run.config.options.lowercase)
    if args.json:
        as_json({"run": str(path), "split": split, counted: size, "metrics": metrics, "signatures": signed})
        return 0
    values = {name: " ".join((number(value), signed.get(name, ""))).strip() for name, value in metrics.items()}
    facts({"run": path, "split": f"{split}, {size:,} {counted}", **values})
    return 0
