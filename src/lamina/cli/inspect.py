"""``lamina inspect``: inspect a run with an image or a text, or a model with an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.output import as_json, note
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_or_model
from lamina.errors import UsageError

if TYPE_CHECKING:
    from lamina.runs.views.base import InspectionPage

TEXT = """Inspect a run, or a model by name, with an image: prediction, Grad-CAM, feature maps, attention windows, \
filters, effective receptive fields, gradients. Or a run with a text: surprisal, word attribution, attention and \
alignments, gates over time. Or a forecaster with a history: what of the past counts. Or a run of architecture search: \
what it has found, and the weights of operations over training. Writes PNG files and inspect.html."""
EXAMPLES = """runs/lenet5-digits --image digit.png
runs/lenet5-digits --image digit.png --class 8 --stage 0
swin-tiny --image photo.jpg --weights swin_t-704ceda3.pth
runs/lstm-classifier-sst2 --text "a charming film"
runs/dcgan-digits
runs/dlinear-sales --history sales.csv
runs/transformer-small-dates --text "tisdag 3 mars 2015"
runs/darts-supernet-digits"""


def parser() -> Parser:
    parser = Parser("inspect", "RUN|MODEL [--image|--history|--text INPUT] [options]", TEXT, EXAMPLES)
    parser.hint = "the input is given with --image FILE, --text TEXT or --history FILE"
    add_run(parser, "MODEL|RUN")
    parser.add_argument(
        "--image",
        "--history",
        type=str,
        metavar="FILE",
        help="the image, or the table that ends where a forecast begins",
    )
    parser.add_argument("--text", type=str, metavar="TEXT", help="the text, with a run")
    parser.add_argument(
        "--class", dest="target", type=str, metavar="CLASS", help="the class to explain (default: the predicted one)"
    )
    parser.add_argument(
        "--stage",
        type=int,
        metavar="N",
        help="stage of the activation map, from 0 (default: the layer that suits the model)",
    )
    parser.add_argument("--weights", type=str, metavar="FILE", help="weights of a model named without a run")
    parser.add_argument(
        "--entry", type=str, metavar="NAME", help="the entry of --weights, a checkpoint, that holds them"
    )
    parser.add_argument(
        "--out", type=str, metavar="DIR", help="where to write (default: inspect/ in the run, inspect-MODEL/)"
    )
    parser.add_common()
    return parser


def _as_it_is(path: Path) -> bool:
    """Whether a run is inspected without an input. Raises UsageError where it cannot be inspected at all."""
    from lamina.runs.run import open_run
    from lamina.runs.views.base import View

    view = open_run(path).view
    if type(view).inspect is View.inspect:
        view.inspect(None)  # raises
    return not view.inspects


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_or_model(args.run, args.runs)
    if path is not None and args.weights is not None:
        raise UsageError("--weights is for a model named without a run: a run has its own")
    if args.entry is not None and args.weights is None:
        raise UsageError("--entry is of a file of weights: give --weights too")
    given = (args.image is not None) + (args.text is not None)
    if given == 2 or (not given and (path is None or not _as_it_is(path))):
        raise UsageError("nothing to inspect: give --image FILE or --text TEXT, of a forecaster --history FILE")
    if args.text is not None and path is None:
        raise UsageError("--text is for runs: a model without a run has no tokenizer")
    if args.text is not None and args.stage is not None:
        raise UsageError("--stage is for images: text models have no stages")
    if args.image is not None and not Path(args.image).is_file():
        raise UsageError(f"--image {args.image}: no such file")

    from lamina.runs.run import open_run
    from lamina.runs.views.inspect import inspect_model, write_inspection

    content: InspectionPage
    if path is None:
        content = inspect_model(args.run, args.image, args.target, args.stage, args.weights, args.entry)
    else:
        content = open_run(path).inspection(args.image, args.target, text=args.text, stage=args.stage)
    beside = Path(f"inspect-{content.model}") if path is None else path / "inspect"
    files = write_inspection(content, beside if args.out is None else Path(args.out))
    if content.random:
        note(f"{content.model} has random weights: give a run, or --weights FILE")
    if args.json:
        translation = getattr(content, "translation", "")
        what = {"model": content.model, "class": content.target or None, "random": content.random}
        predictions = dict(content.predictions)
        predicted: dict[str, object] = {"predictions": predictions, "said": predictions}  # "said": the former key
        predicted |= {"translation": translation} if translation else {}
        as_json({**what, **predicted, "files": [str(file) for file in files]})
    else:
        pictures = "1 picture" if len(files) == 2 else f"{len(files) - 1} pictures"
        print(f"wrote {files[0]} and {pictures} beside it")
    return 0
