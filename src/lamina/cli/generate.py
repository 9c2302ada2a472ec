"""``lamina generate``: continue a text with a language model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.cli.fields import Field, given
from lamina.cli.output import as_json, legible
from lamina.cli.parser import Parser
from lamina.cli.run_argument import add_run, run_path
from lamina.cli.task_options import every_field, read
from lamina.runs.folders import published_model

FIRST = "\n"
"""the default prompt: the beginning of a line"""


def parser(fields: Iterable[Field] | None = None, title: str = "options of the run's task") -> Parser:
    """With the option ``fields`` of a task, or else those of all tasks."""
    text = (
        "Continue a text with a run of a language model, or with a folder of GPT-2 as transformers writes it; "
        "printed as it is generated."
    )
    examples = (
        'runs/lstm-lm-small-book --prompt "The "\n'
        "lstm-lm-small-book --max-new-tokens 500 --temperature 0.8\n"
        "lstm-lm-small-book --greedy --stop .\n"
        'gpt2/ --prompt "Once upon"'
    )
    parser = Parser("generate", "RUN|FOLDER [--prompt TEXT] [options]", text, examples)
    add_run(parser)
    parser.add_argument("--prompt", type=str, metavar="TEXT", help="the beginning of the text (default: a new line)")
    parser.add_fields(title, every_field("generate") if fields is None else fields)
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader, args = read("generate", parser, argv, run_path)
    path = run_path(args.run, args.runs)
    prompt = FIRST if args.prompt is None else args.prompt
    options = given(reader.fields, args.as_dict())
    reader.check(options)  # before the run is opened

    from lamina.runs.published import open_pretrained
    from lamina.runs.run import open_run

    opened = open_run(path) if published_model(path) is None else open_pretrained(path)
    pieces = opened.stream(prompt, **options)
    if args.json:
        as_json({"run": str(path), "prompt": prompt, "text": "".join(pieces)})
        return 0
    if args.prompt is not None:
        print(legible(prompt), end="", flush=True)
    for piece in pieces:
        print(legible(piece), end="", flush=True)
    print()
    return 0
