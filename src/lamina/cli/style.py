"""``lamina style``: the content of one picture in the style of another, or of the style that a run has learned."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cli.fields import Field, fields_of, given
from lamina.cli.output import as_json, clean, note
from lamina.cli.parser import Parser
from lamina.cli.run_argument import add_runs, run_path
from lamina.cli.task_options import every_field, read
from lamina.errors import UsageError
from lamina.stylisation.options import GatysOptions

if TYPE_CHECKING:
    from lamina.stylisation.gatys import Losses

TEXT = """Style transfer. CONTENT STYLE: the picture is optimised (Gatys et al. 2016), nothing is trained. RUN PHOTO: \
by a run of johnson, in the style it has learned. RUN PHOTO STYLE: by a run of adain, in any style. Pictures of any \
size and mode."""
EXAMPLES = """house.jpg starry-night.jpg --weights vgg19.pth --size 256
house.jpg starry-night.jpg --steps 500 --out house-at-night.png
runs/johnson-photos house.jpg
runs/adain-photos house.jpg starry-night.jpg --alpha 0.7"""
TITLE = "optimisation (CONTENT STYLE)"


def parser(fields: Iterable[Field] | None = None, title: str = "options of a run") -> Parser:
    """With the option ``fields`` of a run's task; without, with those of optimisation and of every task."""
    parser = Parser("style", "CONTENT STYLE | RUN PHOTO [STYLE] [options]", TEXT, EXAMPLES)
    parser.add_argument("run", metavar="CONTENT|RUN", help="the content, a picture; or a run, by its path or its name")
    parser.add_argument("pictures", metavar="PICTURE", nargs="+", help="the style; of a run the photo, and the style")
    parser.add_argument("--out", type=str, metavar="FILE", help="where to write (default: CONTENT-styled.png here)")
    add_runs(parser)
    own = list(fields or ())
    parser.add_fields(TITLE, fields_of(GatysOptions))
    parser.add_fields(title, own if fields is not None else every_field("style"))
    parser.add_common(quiet=True)
    return parser


def command(argv: Sequence[str]) -> int:
    reader, args = read("style", parser, argv, _run)
    values = args.as_dict()
    path = _run(args.run, args.runs)
    options = {name: value for name, value in given(reader.fields, values).items() if value is not None}
    of_optimisation = {field.name for field in fields_of(GatysOptions)}
    if path is None:
        if len(args.pictures) != 1:
            raise UsageError("give two pictures: CONTENT STYLE (or a run: RUN PHOTO)")
        content, styles = args.run, args.pictures
    else:
        mine = sorted(of_optimisation & options.keys())
        if mine:
            raise UsageError(f"--{mine[0].replace('_', '-')} is for optimisation, CONTENT STYLE: {args.run} is a run")
        content, styles = args.pictures[0], args.pictures[1:]
    for picture in (content, *styles):
        if not Path(picture).expanduser().is_file():
            raise UsageError(f"no such file: {picture}")
    out = _free(Path(f"{Path(content).stem}-styled.png")) if args.out is None else Path(args.out)
    found: dict[str, Any] = {"out": str(out)}

    from lamina.stylisation.pictures import expect_writable, save

    expect_writable(out)
    if path is None:
        from lamina.stylisation.gatys import style

        made = style(content, styles[0], options=GatysOptions(**options), progress=_Progress(args.quiet or args.json))
        first, last = made.losses[0], made.losses[-1]
        picture, found["features"] = made.picture, made.features
        found["losses"] = [dataclasses.asdict(entry) for entry in made.losses]
        advice = "" if "weights" in options else "; published ones, --weights FILE, know more than textures and colours"
        note(f"features of {made.features}{advice}")
        lines = [f"style {first.style:.4g} -> {last.style:.4g}, content {first.content:.4g} -> {last.content:.4g}"]
    else:
        from lamina.runs.run import open_run

        picture, lines = open_run(path).style(content, *styles, **options), []
        found["run"] = str(path)
    save(picture, out)
    if args.json:
        as_json(found | {"size": list(picture.shape[:2])})
        return 0
    for line in (*lines, f"wrote {clean(out)} ({picture.shape[1]} x {picture.shape[0]})"):
        print(line)
    return 0


def _run(name: str, runs: str) -> Path | None:
    """The run of this name; None for a file, which is a picture."""
    return None if Path(name).expanduser().is_file() else run_path(name, runs)


def _free(path: Path) -> Path:
    """The path, or the first with a number that does not exist."""
    names = (path if n == 1 else path.with_stem(f"{path.stem}-{n}") for n in range(1, 10**6))
    return next(name for name in names if not name.exists())


class _Progress:
    """The losses on one line of the terminal, now and then."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet or not sys.stderr.isatty()

    def __call__(self, losses: Losses) -> None:
        if not self.quiet and losses.step % 10 == 0:
            text = f"step {losses.step}: style {losses.style:.4g}, content {losses.content:.4g}"
            print(f"\r{text:<70}", end="", file=sys.stderr, flush=True)
