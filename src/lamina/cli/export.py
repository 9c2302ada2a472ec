"""``lamina export``: a run or a model as a file for other engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamina.cli.fields import fields_of, given
from lamina.cli.output import as_json, facts, note, number
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_or_model
from lamina.errors import UsageError
from lamina.export.formats import FORMATS, format_named
from lamina.export.options import ExportOptions
from lamina.options.conversion import made


def parser() -> Parser:
    text = (
        "Write a run, or a model with random or published weights, as ONNX, OpenVINO or torch.export: batches of any "
        "size, with preprocessing and class names, written only after a comparison with the model; for small "
        "devices in 8-bit integers, if they are accurate and fast enough."
    )
    examples = (
        "runs/lenet5-digits --to onnx\nlenet5-digits --to openvino --out digits.xml\n"
        "lenet5-digits --to openvino --int8 --max-drop 0.005\n"
        "resnet50 --to onnx --weights resnet50.safetensors\ndcgan-28-digits --to onnx --player discriminator"
    )
    parser = Parser("export", "RUN|MODEL --to FORMAT [--out FILE]", text, examples)
    parser.hint = "the format is given with --to, the file with --out"
    add_run(parser, "RUN|MODEL")
    parser.others |= {"--format": f"the format is --to, one of {', '.join(FORMATS)}"}
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
    parser.add_argument(
        "--data", type=str, metavar="PATH", help="for --int8: the new place of the run's data, where they have moved"
    )
    parser.add_fields("numbers", fields_of(ExportOptions))
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader = parser()
    args = reader.read(dashed(argv))
    path = run_or_model(args.run, args.runs)
    format_named(args.to)
    given_options = given(reader.fields, args.as_dict())
    options = made(ExportOptions, given_options, "option of export")
    options.check_format(args.to)
    out = None if args.out is None else Path(args.out).expanduser()
    if path is not None and args.weights is not None:
        raise UsageError(f"--weights is for a model, but {path} is a run, which has its own")
    if args.entry is not None and args.weights is None:
        raise UsageError("--entry is of a file of weights: give --weights too")
    if args.data is not None and not options.int8:
        raise UsageError("--data is for --int8, which is calibrated on the run's data")

    from lamina.runs.run import open_run
    from lamina.runs.views.export import export_variant

    done = (
        export_variant(args.run, args.to, out, args.weights, args.entry, player=args.player, options=options)
        if path is None
        else open_run(path, data=args.data).export(args.to, out, player=args.player, **given_options)
    )
    if args.json:
        plain = dataclasses.asdict(done)
        as_json({**plain, "facts": {k: v for k, v in plain["facts"].items() if k != "preprocess"}})
        return 0
    quality = done.facts.quality
    facts(
        {
            "wrote": [str(file) for file in done.files],
            "bytes": f"{done.bytes:,}",
            "player": done.facts.player,
            "input": [str(one) for one in done.facts.inputs],
            "verified": f"outputs {'in float ' if quality else ''}differ from the model's by at most "
            f"{done.difference:.1e} of the largest, in batches of 1, 2 and 5",
            "precision": done.facts.precision,
            **_judged(quality),
        }
    )
    if done.note:
        note(done.note)
    return 0


def _judged(quality: Mapping[str, Any]) -> dict[str, object]:
    """What int8 costs, on the validation data."""
    if not quality:
        return {}
    kept = ", ".join(quality["kept"])
    return {
        quality[
            "metric"
        ]: f"{number(quality['after'])} in int8, {number(quality['before'])} before, on validation data",
        **({"in float": f"{kept}: in int8 they lose too much"} if kept else {}),
    }
