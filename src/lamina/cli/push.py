"""``lamina push``: a run to the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.cli.output import as_json, facts, note
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_path


def parser() -> Parser:
    text = (
        "Push a run to the Hugging Face hub: weights as safetensors, preprocessing, tokenizer and a model card with "
        "metrics, data, licence and limits. Every verb opens it there: lamina predict hf:USER/NAME ITEM. The token "
        "is that of hf auth login, or HF_TOKEN."
    )
    examples = "runs/lenet5-digits hf:me/lenet5-digits --licence apache-2.0\nlenet5-digits hf:me/digits@trial --private"
    parser = Parser("push", "RUN hf:USER/NAME [options]", text, examples)
    add_run(parser)
    parser.add_argument(
        "to", metavar="hf:USER/NAME", help="the repository; @BRANCH after it: not main, but this branch"
    )
    parser.add_argument(
        "--licence", type=str, metavar="NAME", help="licence of the weights, as the hub names it: apache-2.0, mit, ..."
    )
    parser.add_argument("--private", action="store_true", help="a new repository is private")
    parser.add_argument("--message", type=str, metavar="TEXT", help="message of the commit")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_path(args.run, args.runs)

    from lamina.hub.pushing import push

    place = push(path, args.to, licence=args.licence, private=args.private, message=args.message)
    if args.licence is None:
        note("the model card states no licence: --licence names one")
    if args.json:
        as_json({"run": str(path), "pushed": place})
    else:
        facts({"pushed": place, "open it": f'lamina.open_run("{place}")'})
    return 0
