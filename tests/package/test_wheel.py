"""A wheel holds all that is needed, and trains digits from an environment without the source tree."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from pathlib import Path

from wheels import ROOT, environment

from waiting import CHILD_SECONDS


def test_the_wheel_is_complete(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    wanted = {
        str(path.relative_to(source))
        for path in (source / "lamina").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names
    assert {name.split("/")[0] for name in names} == {"lamina", wheel.name.split("-py3")[0] + ".dist-info"}


def test_the_wheel_gives_the_demo(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own that finds our dependencies, but not our source."""
    python = environment(tmp_path / "env", [wheel])
    demo = ["-m", "lamina", "train", "lenet5", "--data", "digits"]  # what `make demo` runs
    assert "lamina train lenet5 --data digits" in (ROOT / "Makefile").read_text()
    alone = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, "OMP_WAIT_POLICY": "passive"}
    where = subprocess.run(
        [str(python), "-c", "import lamina; print(lamina.__file__)"], env=alone, capture_output=True, text=True
    )
    assert where.stdout.startswith(str(tmp_path)), where.stdout + where.stderr
    done = subprocess.run(
        [str(python), *demo], cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=CHILD_SECONDS
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    accuracy = re.search(r"^test: accuracy ([\d.]+)", done.stdout, flags=re.M)
    assert accuracy, done.stdout
    assert float(accuracy[1]) >= 0.98
    assert "run: runs/lenet5-digits\nreport: runs/lenet5-digits/report.html\n" in done.stdout
    assert (tmp_path / "runs/lenet5-digits/report.html").stat().st_size > 10_000
