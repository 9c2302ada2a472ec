"""What is printed: numbers, tables, JSON, and names that try to be more than names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import process

from lamina.cli.output import as_json, clean, clock, count, facts, number, table

Lamina = Callable[..., tuple[int, str, str]]


def test_numbers() -> None:
    assert [number(v) for v in (0.98765, 0.0, 12.5, 1e-5, -0.25, math.nan, None)] == [
        "0.9877", "0.0000", "12.5000", "1e-5", "-0.2500", "-", "-",
    ]  # fmt: skip
    assert [number(v) for v in (747123.4, 2016.0, 2016.49, -1234.56, 61706.2, 3e9, 1234.5, math.inf)] == [
        "747,123", "2016", "2016.5", "-1234.6", "61,706", "3,000,000,000", "1234.5", "inf",
    ]  # fmt: skip
    assert count(61706) == "61,706"
    assert count({"generator": 1000, "discriminator": 2}) == "generator 1,000, discriminator 2"
    assert count(None) == "-"
    assert [clock(s) for s in (0.4, 59.6, 3723)] == ["0:00", "1:00", "1:02:03"]


def test_control_characters_become_escapes() -> None:
    assert clean("a\x1b[31mb\n\x07\x9b\u202e") == "a\\x1b[31mb\\n\\x07\\x9b\\u202e"
    assert clean("Größe 数 [red]") == "Größe 数 [red]"
    assert clean("\udcff") == "\\udcff", "a file name that is not UTF-8"


def test_a_table_is_aligned_and_takes_names_literally(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "n"), [("[red]x[/red]", 5), ("数数\x1b[31m", 1234), (":smile:", "")], right=(1,), last=("total", 9))
    out = capsys.readouterr().out
    assert out == (
        "name             n\n"
        "[red]x[/red]     5\n"
        "数数\\x1b[31m  1234\n"
        ":smile:\n"
        "total            9\n"
    )  # fmt: skip


def test_a_table_in_a_pipe_is_as_wide_as_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name",), [("x" * 300,)])
    assert "x" * 300 in capsys.readouterr().out


def test_facts_are_aligned_and_lists_have_lines(capsys: pytest.CaptureFixture[str]) -> None:
    facts({"a": "one", "long": ["two", "three\x1b"], "empty": "", "none": None})
    assert capsys.readouterr().out == "a     one\nlong  two\n      three\\x1b\n"


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    as_json({"a": math.nan, "b": (1, math.inf), "c": Path("x"), "d": "\udcff ü", 3: True})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"a": None, "b": [1, None], "c": "x", "d": "\udcff ü", "3": True}


def test_names_from_data_cannot_write_to_the_terminal(lamina: Lamina, tmp_path: Path) -> None:
    rows = "".join(f"{i},7,{name}\n" for i in range(30) for name in ("[red]", "b\x1b[31m"))
    (tmp_path / "bad.csv").write_text("x\x1b[2J,[bold],target\n" + rows)
    status, out, err = lamina("data", "bad.csv")
    assert status == 0, err
    assert "\x1b" not in out + err
    assert "[red]" in out
    assert "b\\x1b[31m" in out
    assert "x\\x1b[2J" in out
    status, out, err = lamina("train", "mlp", "--data", "bad.csv", "--steps", "2", "--batch-size", "4", "--name", "r")
    assert status == 0, err
    assert "\x1b" not in out + err
    assert "note: column '[bold]' has one value only" in err, "what was left out is said"
    (tmp_path / "new\x1b[31m.csv").write_text("x\x1b[2J\n3\n")
    status, out, err = lamina("predict", "r", "new\x1b[31m.csv")
    assert status == 0, err
    assert "\x1b" not in out + err
    assert "new\\x1b[31m.csv" in out


def test_a_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    """As with ``lamina models | true``."""
    script = (
        "import os, subprocess, sys\n"
        "read, write = os.pipe()\n"
        "os.close(read)\n"
        "done = subprocess.run([sys.executable, '-m', 'lamina', 'models'], stdout=write, stderr=subprocess.PIPE)\n"
        "print(done.returncode, done.stderr)\n"
    )
    assert process(cwd=tmp_path, python=("-c", script)).stdout == "141 b''\n"


def test_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    script = "import sys; sys.stdout.reconfigure(encoding='ascii'); from lamina.cli.main import main; from lamina.cli\
.output import facts; main(['--version']); facts({'a': 'Größe'})"
    assert process(cwd=tmp_path, python=("-c", script)).stdout.splitlines()[1] == "a  Gr\\xf6\\xdfe"
