"""Wheels built from folders, and environments that have nothing but them and our dependencies."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from waiting import CHILD_SECONDS

ROOT = Path(__file__).parents[2]


def build_wheel(project: Path, out: Path) -> Path:
    """The wheel of a project's folder, built from a copy: in the folder itself a build leaves files."""
    copy = out / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", ".*", "tests", "results", "benchmarks")
    shutil.copytree(project, copy, ignore=ignored)
    words = ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(copy)]
    if int(metadata.version("setuptools").split(".")[0]) >= 77:  # else pip fetches one that reads pyproject.toml
        words.insert(1, "--no-build-isolation")
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True, timeout=CHILD_SECONDS)
    (path,) = out.glob("*.whl")
    return path


def environment(folder: Path, wheels: Sequence[Path]) -> Path:
    """The interpreter of an environment of its own that finds the wheels and our dependencies, but not our source."""
    venv.create(folder, with_pip=False)
    (site,) = (folder / "lib").glob("python3*/site-packages")
    for wheel in wheels:
        zipfile.ZipFile(wheel).extractall(site)
    # Our own dependencies by path, without running their .pth files: one of those would bring the source tree back.
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    (site / "dependencies.pth").write_text(f"{ours}\n")
    return folder / "bin" / "python"
