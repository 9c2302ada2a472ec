"""Run every check on the smallest variant of each architecture, and check the cards of all variants (``python -m
lamina.conformance``), or run every check on the named variants, and write the results as a Markdown table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lamina.conformance import (
    Check,
    NotApplicableError,
    check_meta,
    checks,
    players_of,
    smallest_of_each_architecture,
)
from lamina.conformance.page import NOT_APPLICABLE, PASS, Results, failures, parse, render
from lamina.errors import LaminaError
from lamina.registry import canonical, list_models


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments, run the checks, write the table. Exit status 1 if a check fails, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m lamina.conformance", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="variants to check (default: the smallest of each architecture, and the cards of all)",
    )
    parser.add_argument("--backend", default="aot_eager", help="backend of torch.compile (default: aot_eager)")
    parser.add_argument("--onnx", action="store_true", help="export to ONNX and run there too (slow)")
    parser.add_argument("--out", type=Path, help="file for the table (default: printed)")
    parser.add_argument(
        "--update", action="store_true", help="keep the results in --out of variants that are not named"
    )
    given = parser.parse_args(arguments)
    if given.update and not (given.out and given.names):
        parser.error("--update needs --out and the names of variants")
    try:
        names = [part for name in given.names for part in _named(name)]
        before = parse(given.out) if given.update and given.out.is_file() else {}
    except LaminaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    named = checks(backend=given.backend, onnx=given.onnx)
    fully_checked = names or smallest_of_each_architecture()
    results: Results = {}
    for name in names or [part for model in list_models() for part in players_of(model)]:
        selected = named
        if name not in fully_checked:
            selected = {title: check for title, check in named.items() if check is check_meta}
        results[name] = {title: outcome(check, name) for title, check in selected.items()}
        print(f"{name}: {', '.join(f'{title} {mark}' for title, (mark, _) in results[name].items())}", file=sys.stderr)
        if given.out:  # after every variant, since the run is long and may be interrupted
            given.out.parent.mkdir(parents=True, exist_ok=True)
            given.out.write_text(render(in_order({**before, **results})), encoding="utf-8")
    if not given.out:
        print(render(results), end="")
    failed = failures(results)
    print("".join(f"FAIL {line}\n" for line in failed), end="", file=sys.stderr)
    return 1 if failed else 0


def in_order(results: Results) -> Results:
    """The results, sorted as in the registry."""
    return {part: results[part] for name in list_models() for part in (name, *players_of(name)) if part in results}


def _named(name: str) -> list[str]:
    """The variant, or its players; "dcgan/generator" is one player. Raises UsageError for an unknown name."""
    model, slash, player = name.partition("/")
    own = canonical(model)
    return [f"{own}/{player}"] if slash else players_of(own)


def outcome(check: Check, name: str) -> tuple[str, str]:
    """The mark "pass", "n/a" or "FAIL", and the reason in one line."""
    try:
        check(name)
    except NotApplicableError as reason:
        return NOT_APPLICABLE, str(reason)
    except Exception as error:  # any exception is a finding
        return "FAIL", " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return PASS, ""


if __name__ == "__main__":
    raise SystemExit(main())
