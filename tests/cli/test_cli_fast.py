"""What needs no torch does not import it: help, lists, and the faults seen first."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_process import process

CALL = """
import sys
from lamina.cli.main import main
status = main(sys.argv[1:])
heavy = sorted({"torch", "numpy", "pandas", "lightning_fabric", "matplotlib"} & set(sys.modules))
print("STATUS", status, "HEAVY", heavy)
"""


@pytest.mark.parametrize(
    ("line", "status", "says"),
    [
        ("--help", 0, "lamina VERB --help"),
        ("--version", 0, "lamina 0"),
        ("models", 0, "lenet5"),
        ("models --json", 0, '"parameters": 61706'),
        ("data", 0, "breast-cancer"),
        ("train --help", 0, "--batch-size N"),
        ("modles", 2, "did you mean 'models'?"),
        ("train lennet5 --data digits", 2, "unknown model 'lennet5'; did you mean 'lenet5'?"),
        ("info lennet5", 2, "unknown model or run 'lennet5'; did you mean 'lenet5'?"),
        ("train lenet5 --data digits --epocs 3", 2, "unknown option '--epocs'; did you mean '--epochs'?"),
        ("train lenet5", 2, "--data is missing"),
        ("train lenet5 --data digts", 2, "unknown data 'digts'; did you mean 'digits'?"),
    ],
)
def test_answers_without_torch(line: str, status: int, says: str, tmp_path: Path) -> None:
    done = process(*line.split(), cwd=tmp_path, python=("-c", CALL))
    assert f"STATUS {status} HEAVY []" in done.stdout, done.stdout + done.stderr
    assert says in done.stdout + done.stderr
