"""``lamina generate``: continue a text with a language model, or generate pictures and rows with an autoencoder or an
adversarial network."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cli.fields import Field, given
from lamina.cli.output import as_json, legible
from lamina.cli.parser import Parser
from lamina.cli.run_argument import add_run, is_file, run_path
from lamina.cli.task_options import every_field, read
from lamina.cli.writing import TABLES, write_rows
from lamina.errors import UsageError
from lamina.export.formats import ENGINES, check_engine, engine_of
from lamina.options.conversion import made as made_of
from lamina.runs.folders import published_model

if TYPE_CHECKING:
    from lamina.runs.run import Run
    from lamina.runs.views.exported import ExportedModel

FIRST = "\n"
"""the default prompt: the beginning of a line"""
PICTURES = (".png", ".gif")


def parser(fields: Iterable[Field] | None = None, title: str = "options of the run's task") -> Parser:
    """With the option ``fields`` of a task, or else those of all tasks."""
    text = (
        "Continue a text with a run of a language model, or with a folder of GPT-2 as transformers writes it, printed "
        "as it is generated; or generate pictures or rows with a run of an autoencoder or an adversarial network."
    )
    examples = (
        'runs/lstm-lm-small-book --prompt "The "\n'
        "lstm-lm-small-book --max-new-tokens 500 --temperature 0.8\n"
        "lstm-lm-small-book --greedy --stop .\n"
        "lstm-lm-small-book --engine openvino\n"
        'gpt2/ --prompt "Once upon"\n'
        "vae-digits --count 64 --seed 1 --grid\n"
        "dcgan-28-digits --count 9 --seed 1\n"
        "dcgan-28-digits --interpolate 0 5 --count 12 --out path.gif\n"
        "dcgan-28-digits --over-training\n"
        "vae-digits --interpolate a.png b.png --out a-to-b.gif\n"
        "vae-digits --walk 3 --out walk.png\n"
        "stylegan-digits --truncation 0.7 --count 16 --grid\n"
        "stylegan-digits --style-mix 4 6 --out mixed.png\n"
        "vae-wine --count 100 --out rows.csv"
    )
    parser = Parser("generate", "RUN|FOLDER|FILE [--prompt TEXT] [options]", text, examples)
    add_run(parser)
    parser.add_argument("--prompt", type=str, metavar="TEXT", help="the beginning of the text (default: a new line)")
    parser.add_argument(
        "--engine",
        type=str,
        metavar="NAME",
        help=f"of texts, one of {', '.join(ENGINES)} (default: torch; for a file, the one it was exported for)",
    )
    parser.add_argument("--grid", action="store_true", help="all pictures in one file")
    parser.add_argument(
        "--out",
        type=str,
        metavar="PATH",
        help="where pictures or rows go: .png (all in one), .gif (one after the other), a folder; .csv, .jsonl or "
        ".parquet (default: generated/ or generated.png in the run; rows are printed)",
    )
    parser.add_fields(title, every_field("generate") if fields is None else fields)
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader, args = read(
        "generate",
        parser,
        argv,
        lambda name, runs: None if is_file(name, runs) else run_path(name, runs),
        of_file="language-modelling",
    )
    file = is_file(args.run, args.runs)
    path = Path(args.run).expanduser() if file else run_path(args.run, args.runs)
    engine = engine_of(path, args.engine) if file else args.engine or "torch"
    check_engine(engine)
    options = given(reader.fields, args.as_dict())
    if options.get("interpolate") is not None:
        options["interpolate"] = tuple(map(_row_or_path, options["interpolate"]))
    reader.check(options)  # before the run is opened

    opened, generator = _opened(path, engine, file)
    if opened is not None and not opened.view.takes_prompts:
        if args.engine is not None:
            raise UsageError(f"--engine is for runs that generate text, but {path} generates {opened.modality.noun}")
        return _samples(opened, options, args)
    for name in ("grid", "out"):
        if getattr(args, name):
            raise UsageError(f"--{name} is for pictures and rows, but {path} generates text")
    prompt = FIRST if args.prompt is None else args.prompt
    pieces = generator().stream(prompt, **options)
    if args.json:
        as_json({"run": str(path), "prompt": prompt, "text": "".join(pieces)})
        return 0
    if args.prompt is not None:
        print(legible(prompt), end="", flush=True)
    for piece in pieces:
        print(legible(piece), end="", flush=True)
    print()
    return 0


def _opened(path: Path, engine: str, file: bool) -> tuple[Run | None, Callable[[], Run | ExportedModel]]:
    """The run, where it is one, and what generates texts."""
    if file:
        from lamina.runs.views.exported import open_exported

        exported = open_exported(path, engine)
        return None, lambda: exported
    from lamina.runs.published import open_pretrained
    from lamina.runs.run import open_run

    run = open_run(path) if published_model(path) is None else open_pretrained(path)
    run.verb_options("generate")
    return run, lambda: run if engine == "torch" else run.in_engine(engine)


def _samples(run: Run, options: dict[str, Any], args: Any) -> int:
    """Pictures or rows, written or printed."""
    if args.prompt is not None:
        raise UsageError(f"--prompt is for runs that generate text, but {run.path} generates {run.modality.noun}")
    out = None if args.out is None else Path(args.out)
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out {args.out}: there is no folder {out.parent}")
    made = run.generate(**options)
    if isinstance(made[0], dict):
        if args.grid:
            raise UsageError(f"--grid is for pictures, but {run.path} generates rows")
        files = _write_rows(made, out, args)
    else:
        story = bool(options.get("over_training"))
        if story and args.grid:
            raise UsageError("--grid is for new pictures: those of --over-training are grids already")
        where = out or (run.path / "training.gif" if story else None)
        columns = run.view.columns(made_of(run.verb_options("generate"), options, "option of generate"))
        files = _write_pictures(made, where, run.path, args.grid, story, columns)
    if args.json:
        rows = {"rows": made} if isinstance(made[0], dict) else {}
        as_json({"run": str(run.path), "count": len(made), **rows, "files": [str(file) for file in files]})
    elif files:
        what = f"{len(made):,} {'rows' if isinstance(made[0], dict) else 'pictures'}"
        print(f"wrote {what} to {files[0] if len(files) == 1 else files[0].parent}")
    return 0


def _write_pictures(
    pictures: Sequence[Any], out: Path | None, run: Path, grid: bool, story: bool, columns: int | None
) -> list[Path]:
    from lamina.files import write_whole
    from lamina.report.picture_grid import animation_gif, grid_png, picture_png

    where = out if out is not None else run / ("generated.png" if grid else "generated")
    if where.suffix and where.suffix not in PICTURES:
        raise UsageError(f"--out {where}: pictures go to a file ending in {' or '.join(PICTURES)}, or to a folder")
    if where.suffix == ".gif":
        files = {where: animation_gif(pictures, back=not story)}
    elif where.suffix == ".png":
        files = {where: grid_png(pictures, columns)}
    elif grid:
        raise UsageError(f"--grid writes one file: --out {where}.png")
    else:
        if where.is_file():
            raise UsageError(f"--out {where} is a file, not a folder")
        where.mkdir(exist_ok=True)
        files = {where / f"{i:04}.png": picture_png(picture) for i, picture in enumerate(pictures)}
    for file, data in files.items():
        write_whole(file, methodcaller("write", data))
    return list(files)


def _write_rows(rows: Sequence[dict[str, Any]], out: Path | None, args: Any) -> list[Path]:
    if out is not None:
        if out.suffix not in TABLES:
            raise UsageError(f"--out {out}: rows go to a file ending in {', '.join(TABLES[:-1])} or {TABLES[-1]}")
        write_rows(out, rows)
        return [out]
    if not args.json:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return []


def _row_or_path(text: Any) -> Any:
    """A row where the text is a JSON object, else as it is: a path, a number. Raises UsageError for broken JSON."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"'{text}' is not a JSON object: {error}") from None
