"""``lamina reproduce``: run published recipes over their seeds, record the results, render RESULTS.md."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lamina.cli.output import clean, table
from lamina.cli.parser import Parser, dashed
from lamina.errors import UsageError


def parser() -> Parser:
    text = (
        "Train published recipes once for each of their seeds; the results are saved in\n"
        "results/<recipe>@<hardware>.json. Without a name: list them."
    )
    parser = Parser("reproduce", "[RECIPE ...] [--render]", text, "lenet5-digits\n--all\n--render")
    parser.add_argument("recipes", metavar="RECIPE", nargs="*", help="published recipes that state a result")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--render", action="store_true", help="write RESULTS.md from the files (after running, if any)")
    parser.add_argument("--results", type=str, default="results", metavar="DIR", help="the folder of the results")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    folder = Path(args.results)

    from lamina.reproduction import results

    names, out = results.within_reach() if args.all else (list(args.recipes), [])
    if args.all and args.recipes:
        raise UsageError("name recipes, or give --all, not both")
    if out:
        print(f"left out, they need an accelerator: {', '.join(out)}", file=sys.stderr)
    for name in names:
        results.expected(name)  # a wrong name fails before hours of training
    short = False
    for name in names:
        result = results.reproduce(name, log=lambda line: print(clean(line), file=sys.stderr, flush=True))
        path = results.save_result(result, folder)
        print(f"{name}: {results.describe_outcome(result)}: {path}", flush=True)
        short = short or result.reached is False
    if args.render:
        text = results.render_results(results.load_results(folder))
        Path("RESULTS.md").write_text(text, encoding="utf-8")
        print("wrote RESULTS.md")
    if not names and not args.render:
        table(["recipe", "data", "to reach"], [results.goal_of(name) for name in results.results_expected()])
    return 1 if short else 0
