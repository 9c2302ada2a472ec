"""``lamina claims``: statements of the field as experiments, each with a measured verdict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lamina.claims.registry import check_name, get_claim, known_verdicts, list_claims
from lamina.cli.output import as_json, clean, facts, table
from lamina.cli.parser import Parser, dashed
from lamina.errors import UsageError

if TYPE_CHECKING:
    from lamina.claims.running import ClaimResult

PAGE = "claims.html"


def parser() -> Parser:
    text = "Run experiments that test statements of the field, and report whether they hold. Without a name: list them."
    examples = "\nxor\nxor momentum --out page.html\n--all\n--results results/claims --out page.html"
    parser = Parser("claims", "[NAME ...] [--all] [--out FILE] [--results DIR]", text, examples)
    parser.add_argument("name", metavar="NAME", nargs="*", help="claims to run")
    parser.add_argument("--all", action="store_true", help=f"all of them, and write the page (default: {PAGE})")
    parser.add_argument("--out", type=str, metavar="FILE", help="write one HTML page with figures and every number")
    parser.add_argument(
        "--results",
        type=str,
        metavar="DIR",
        help="also write result and figure of each claim there; without a name: the results that are there",
    )
    parser.add_argument(
        "--table", type=str, metavar="FILE", help="also write a Markdown table of the results in --results"
    )
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    names = list_claims() if args.all else [check_name(name) for name in args.name]
    out = args.out or (PAGE if args.all else None)
    _check(args.all and args.name, "name claims, or give --all, not both")
    _check(not names and out and not args.results, "name the claims to run, or give --all, or their --results")
    _check(not names and args.results and not (out or args.table), "name the claims to run, or give --all or --out")
    _check(not names and args.results and not Path(args.results).is_dir(), f"--results {args.results}: no such folder")
    _check(args.table and not args.results, "--table needs --results: it is made from the files there")
    for option, path in (("--out", out), ("--table", args.table)):
        _check(
            path and not Path(path).parent.is_dir(), f"{option} {path}: there is no folder {Path(path or '').parent}"
        )
    if not names and args.results:
        from lamina.claims.running import read_results

        kept = read_results(Path(args.results))
        _check(not kept, f"--results {args.results}: there are no results of claims in it")
        _write(kept, out, args.results, args.table)
        return 0
    if not names:
        sentences = {name: get_claim(name).sentence for name in list_claims()}
        verdicts = known_verdicts()
        if args.json:
            as_json(sentences)
        else:
            table(("claim", "verdict", "sentence"), ((n, verdicts.get(n, "-"), text) for n, text in sentences.items()))
        return 0

    from lamina.claims.rendering import write_figure
    from lamina.claims.running import content, run_claim, write_result

    results = []
    for name in names:
        result = run_claim(name)
        results.append(result)
        if args.results:
            write_result(result, Path(args.results))
            write_figure(result, Path(args.results))
        if not args.json:
            _show(result)
    if args.json:
        as_json([content(result) for result in results])
    _write(results, out, args.results, args.table)
    return 0


def _check(wrong: object, message: str) -> None:
    if wrong:
        raise UsageError(message)


def _show(result: ClaimResult) -> None:
    from lamina.claims.rendering import spread, times
    from lamina.claims.running import reading

    bars = {bar.number: f" (bar {bar}, margin {times(result.clearance(bar))})" for bar in result.bars}
    facts(
        {
            "claim": result.name,
            "sentence": result.sentence,
            "verdict": f"{result.verdict}, margin {times(result.margin)}",
            "numbers": [f"{name}: {spread(result, name)}{bars.get(name, '')}" for name in result.numbers],
            "reading": reading(get_claim(result.name), result).replace("\u202f", " "),
            "seeds": ", ".join(map(str, result.settings["seeds"])) + f"; {result.seconds:.1f} s",
        }
    )
    print(flush=True)


def _write(results: list[ClaimResult], out: str | None, folder: str | None, to: str | None) -> None:
    """Write the page and the table; their paths go to stderr."""
    from lamina.claims.rendering import render_page, render_table
    from lamina.claims.running import read_results
    from lamina.files import write_whole

    texts = {}
    if out:
        texts[out] = render_page(results)
    if folder and to:
        texts[to] = render_table(read_results(Path(folder)))
    for path, text in texts.items():
        write_whole(Path(path), partial(_put, data=text.encode("utf-8")))
        print(f"wrote {clean(path)}", file=sys.stderr)


def _put(file: IO[bytes], data: bytes) -> None:
    file.write(data)
