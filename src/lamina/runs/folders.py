"""Run folders. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path


def task_of(run: Path) -> str:
    """The name of the task that a run was trained for; empty where it cannot be read."""
    try:
        card = json.loads((run / "card.json").read_text(encoding="utf-8"))
        saved = json.loads((run / "preprocess.json").read_text(encoding="utf-8"))
        return str(card.get("task") or saved["target"]["task"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def run_folders(folder: Path) -> list[Path]:
    """The folders of the runs in a folder, in order of name."""
    return [path.parent for path in sorted(folder.glob("*/config.yaml"))]
