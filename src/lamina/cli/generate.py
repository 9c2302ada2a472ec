"""``lamina generate``: a text continued by a language model."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.cli.fields import fields_of, given
from lamina.cli.output import as_json, legible
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_path
from lamina.runs.text.generation_options import Manner, manner_of

FIRST = "\n"
"""the prompt where none is given: the beginning of a line"""


def parser() -> Parser:
    text = "A text continued by a run of a language model, shown as it is written."
    examples = (
        'runs/lstm-lm-small-book --prompt "The "\n'
        "lstm-lm-small-book --max-new-tokens 500 --temperature 0.8\n"
        "lstm-lm-small-book --greedy --stop ."
    )
    parser = Parser("generate", "RUN [--prompt TEXT] [options]", text, examples)
    add_run(parser)
    parser.add_argument("--prompt", type=str, metavar="TEXT", help="what the text begins with (default: a new line)")
    parser.add_fields("how", fields_of(Manner))
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader = parser()
    args = reader.read(dashed(argv))
    path = run_path(args.run, args.runs)
    prompt = FIRST if args.prompt is None else args.prompt
    wishes = given(reader.fields, args.as_dict())
    manner_of(wishes)  # what means nothing is told before the run is opened

    from lamina.runs.run import open_run

    pieces = open_run(path).stream(prompt, **wishes)
    if args.json:
        as_json({"run": str(path), "prompt": prompt, "text": "".join(pieces)})
        return 0
    if args.prompt is not None:
        print(legible(prompt), end="", flush=True)
    for piece in pieces:
        print(legible(piece), end="", flush=True)
    print()
    return 0
