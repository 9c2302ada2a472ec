"""``lamina export``: a run or a model as a file for other engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from lamina.cli.output import as_json, facts
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_or_model
from lamina.errors import UsageError
from lamina.export.formats import FORMATS, format_named


def parser() -> Parser:
    text = (
        "Write a run, or a model with random or published weights, as ONNX, OpenVINO or torch.export: batches of any "
        "size, with preprocessing and class names, written only after a comparison with the model."
    )
    examples = (
        "runs/lenet5-digits --to onnx\nlenet5-digits --to openvino --out digits.xml\n"
        "resnet50 --to onnx --weights resnet50.safetensors\ndcgan-28-digits --to onnx --player discriminator"
    )
    parser = Parser("export", "RUN|MODEL --to FORMAT [--out FILE]", text, examples)
    add_run(parser, "RUN|MODEL")
    parser.add_argument("--to", type=str, metavar="FORMAT", required=True, help=f"one of {', '.join(FORMATS)}")
    parser.add_argument(
        "--out", type=str, metavar="FILE", help="where to write (default: in the run's folder exports, or here)"
    )
    parser.add_argument("--weights", type=str, metavar="FILE", help="weights of a model (default: random)")
    parser.add_argument(
        "--entry", type=str, metavar="NAME", help="the entry of --weights, a checkpoint, that holds them"
    )
    parser.add_argument(
        "--player", type=str, metavar="NAME", help="which player of a model of several (default: the generator)"
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_or_model(args.run, args.runs)
    format_named(args.to)
    out = None if args.out is None else Path(args.out).expanduser()
    if path is not None and args.weights is not None:
        raise UsageError(f"--weights is for a model, but {path} is a run, which has its own")
    if args.entry is not None and args.weights is None:
        raise UsageError("--entry is of a file of weights: give --weights too")

    from lamina.runs.run import open_run
    from lamina.runs.views.export import export_variant

    done = (
        export_variant(args.run, args.to, out, args.weights, args.entry, player=args.player)
        if path is None
        else open_run(path).export(args.to, out, player=args.player)
    )
    if args.json:
        plain = dataclasses.asdict(done)
        as_json({**plain, "facts": {k: v for k, v in plain["facts"].items() if k != "preprocess"}})
        return 0
    facts(
        {
            "wrote": [str(file) for file in done.files],
            "bytes": f"{done.bytes:,}",
            "player": done.facts.player,
            "input": [str(given) for given in done.facts.inputs],
            "verified": f"outputs differ from the model's by at most {done.difference:.1e} of the largest, "
            "in batches of 1, 2 and 5",
        }
    )
    return 0
