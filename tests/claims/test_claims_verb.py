"""``lamina claims``: lists, runs, writes; a wrong call is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.claims.registry import NAMES
from lamina.claims.running import read_result
from lamina.cli.main import main

Called = tuple[int, str, str]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """In an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Called:
        status = main(["claims", *words])
        return status, *capsys.readouterr()

    return run


def test_without_a_name_they_are_listed(call: Callable[..., Called]) -> None:
    status, out, _ = call("--json")
    assert status == 0
    assert list(json.loads(out)) == list(NAMES)
    assert "can never get more than 3 of the 4 cases of XOR" in call()[1]


def test_runs_and_writes_what_was_asked(call: Callable[..., Called], tmp_path: Path) -> None:
    status, out, err = call("xor", "adam_first_step", "--out", "page.html", "--results", "kept", "--table", "table.md")
    assert status == 0
    assert "holds, margin exact" in out
    assert "xor_best: 0.75 (bar = 0.75, margin exact)" in out
    assert "appears nowhere" not in out
    assert err == "wrote page.html\nwrote table.md\n"
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert read_result(tmp_path / "kept" / "xor.json").verdict == "holds"
    assert "`adam-first-step`" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_json_is_the_result_and_nothing_else(call: Callable[..., Called], tmp_path: Path) -> None:
    status, out, err = call("cross-correlation", "--json")
    assert (status, err) == (0, "")
    (result,) = json.loads(out)
    assert result["verdict"] == "holds"
    assert result["numbers"]["correlation"] == [0.0] * 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("xor --all", "name claims, or give --all, not both"),
        ("--out page.html", "name the claims to run, or give --all"),
        ("--results kept", "name the claims to run, or give --all"),
        ("xor --table table.md", "--table needs --results"),
        ("xor --out nowhere/page.html", "--out nowhere/page.html: there is no folder nowhere"),
    ],
)
def test_a_wrong_call_is_one_line(line: str, says: str, call: Callable[..., Called]) -> None:
    status, out, err = call(*line.split())
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_misspelt_name_is_told_without_torch() -> None:
    code = "import sys; from lamina.cli.main import main; print(main(['claims', 'momentun']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert done.stderr == "lamina: unknown claim 'momentun'; did you mean 'momentum'?\n"
