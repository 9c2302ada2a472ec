"""The options are frozen: whoever adds, renames or drops one changes ``flags.txt`` too, and sees it in the diff."""

from __future__ import annotations

import importlib
import os
from functools import cache
from pathlib import Path

import pytest

from lamina.cli.main import VERBS
from lamina.cli.parser import Parser
from lamina.registry import list_models

FLAGS = Path(__file__).with_name("flags.txt")


@cache
def parsers() -> dict[str, Parser]:
    verbs = {verb: importlib.import_module(f"lamina.cli.{verb}") for verb in VERBS}
    found = {verb: module.parser() for verb, module in verbs.items()}
    return found | {f"train {name}": verbs["train"].parser(name) for name in sorted(list_models())}


def flags() -> str:
    """A line for each argument; under a model's name those that come with the model."""
    lines: list[str] = []
    known: set[str] = set()
    for title, parser in parsers().items():
        for action in parser._actions:
            words = ", ".join(action.option_strings) or action.metavar
            takes = f" {action.metavar or action.dest}" if action.option_strings and action.nargs != 0 else ""
            line = f"{words}{takes}"
            if not (title.startswith("train ") and f"train {line}" in known):
                lines.append(f"{title}: {line}")
            known.add(f"{title} {line}")
    return "\n".join(lines) + "\n"


def test_flags_are_those_written_down() -> None:
    assert flags() == FLAGS.read_text(), "if this is meant, run: python tests/cli/test_cli_flags.py"


@pytest.mark.parametrize("title", [*VERBS, "train lenet5"])
def test_help_fits_eighty_columns_and_explains_every_option(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    parser = parsers()[title]
    text = parser.format_help()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(action.help for action in parser._actions), "an option without a word of help"
    assert "``" not in text
    assert "==SUPPRESS==" not in text


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    FLAGS.write_text(flags())
