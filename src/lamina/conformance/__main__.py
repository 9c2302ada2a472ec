"""Run every check on the smallest variant of each architecture and the card's numbers of all
(``python -m lamina.conformance``), or every check on the variants named, and write the outcome as a Markdown table."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from lamina.conformance import Check, NotApplicableError, check_meta, checks, smallest_of_each_architecture
from lamina.errors import LaminaError
from lamina.registry import canonical, list_models

Results = dict[str, dict[str, tuple[str, str]]]
"""Mark and note, by variant and check."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, check, write. The exit status: 1 when a check fails, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m lamina.conformance", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="variants to check (default: the smallest of each architecture, and the cards of all)",
    )
    parser.add_argument("--backend", default="aot_eager", help="of torch.compile (default: aot_eager)")
    parser.add_argument("--onnx", action="store_true", help="export to ONNX and run there too (slow)")
    parser.add_argument("--out", type=Path, help="file for the table (default: printed)")
    given = parser.parse_args(arguments)
    try:
        names = [canonical(name) for name in given.names]
    except LaminaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    named = checks(backend=given.backend, onnx=given.onnx)
    whole = names or smallest_of_each_architecture()
    results: Results = {}
    for name in names or list_models():
        wanted = named if name in whole else {title: check for title, check in named.items() if check is check_meta}
        results[name] = {title: outcome(check, name) for title, check in wanted.items()}
        print(f"{name}: {', '.join(f'{title} {mark}' for title, (mark, _) in results[name].items())}", file=sys.stderr)
    text = render(results)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    failed = notes(results, "FAIL")
    print("".join(failed), end="", file=sys.stderr)
    return 1 if failed else 0


def outcome(check: Check, name: str) -> tuple[str, str]:
    """The mark "pass", "n/a" or "FAIL", and why, in one line."""
    try:
        check(name)
    except NotApplicableError as reason:
        return "n/a", str(reason)
    except Exception as error:  # whatever an architecture raises is the finding
        return "FAIL", " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return "pass", ""


def render(results: Results) -> str:
    """The table, then the reasons for whatever is not a pass."""
    titles = max((list(row) for row in results.values()), key=len)
    lines = [
        "# Conformance",
        "",
        f"Written by `python -m lamina.conformance`: torch {torch.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, CPU.",
        "",
        "| variant | " + " | ".join(titles) + " |",
        "|---" * (len(titles) + 1) + "|",
        *(
            f"| {name} | " + " | ".join(row[title][0] if title in row else "" for title in titles) + " |"
            for name, row in results.items()
        ),
        "",
    ]
    return "\n".join(lines) + "\n" + "".join(notes(results, "FAIL") + notes(results, "n/a"))


def notes(results: Results, wanted: str) -> list[str]:
    """A line for each outcome whose mark is ``wanted``, and why."""
    return [
        f"- {name}, {title}: {mark}: {note}\n"
        for name, row in results.items()
        for title, (mark, note) in row.items()
        if mark == wanted
    ]


if __name__ == "__main__":
    raise SystemExit(main())
