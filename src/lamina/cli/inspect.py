"""``lamina inspect``: an image seen from inside a run or a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lamina.cli.naming import add_run, run_or_model
from lamina.cli.output import as_json, note
from lamina.cli.parser import Parser, dashed
from lamina.errors import UsageError

TEXT = """Look inside a run, or a model by its name, with an image: what it says, where it sees it (Grad-CAM), feature \
maps, attention windows, filters, effective receptive fields, gradients. Writes PNG files and inspect.html."""
EXAMPLES = """runs/lenet5-digits --image digit.png
runs/lenet5-digits --image digit.png --class 8 --stage 0
swin-tiny --image photo.jpg --weights swin_t-704ceda3.pth"""


def parser() -> Parser:
    parser = Parser("inspect", "RUN|MODEL --image FILE [options]", TEXT, EXAMPLES)
    add_run(parser, "MODEL|RUN")
    parser.add_argument("--image", type=str, metavar="FILE", required=True, help="the image to look at")
    parser.add_argument(
        "--class", dest="target", type=str, metavar="CLASS", help="the class to look for (default: the one it says)"
    )
    parser.add_argument(
        "--stage", type=int, metavar="N", help="stage of the activation map, from 0 (default: what suits the model)"
    )
    parser.add_argument("--weights", type=str, metavar="FILE", help="weights of a model named without a run")
    parser.add_argument(
        "--out", type=str, metavar="DIR", help="where to write (default: inspect/ in the run, inspect-MODEL/)"
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_or_model(args.run, args.runs)
    if path is not None and args.weights is not None:
        raise UsageError("--weights is for a model named without a run: a run has its own")
    if not Path(args.image).is_file():
        raise UsageError(f"--image {args.image}: there is no such file")

    from lamina.runs.looking import look_at_model, look_at_run, write_look
    from lamina.runs.run import open_run

    if path is None:
        content = look_at_model(args.run, args.image, args.target, args.stage, args.weights)
        folder = Path(f"inspect-{content.model}" if args.out is None else args.out)
    else:
        content = look_at_run(open_run(path), args.image, args.target, args.stage)
        folder = path / "inspect" if args.out is None else Path(args.out)
    files = write_look(content, folder)
    if content.random:
        note(f"{content.model} has random weights: give a run, or --weights FILE")
    if args.json:
        said = {"model": content.model, "class": content.target, "random": content.random, "said": dict(content.said)}
        as_json({**said, "files": [str(file) for file in files]})
    else:
        print(f"wrote {files[0]} and {len(files) - 1} pictures beside it")
    return 0
