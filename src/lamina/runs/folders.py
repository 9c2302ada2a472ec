"""Run folders. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from lamina.cards.model_types import variant_of
from lamina.files import is_run, states_format
from lamina.registry import card as card_of


def task_of(run: Path) -> str:
    """The name of the task that a run was trained for, or that the model in a folder of transformers is for; empty
    where it cannot be read."""
    try:
        card = json.loads((run / "card.json").read_text(encoding="utf-8"))
        saved = json.loads((run / "preprocess.json").read_text(encoding="utf-8"))
        return str(card.get("task") or saved["target"]["task"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        model = published_model(run)
        return "" if model is None else card_of(model).tasks[0]


def published_model(folder: Path) -> str | None:
    """The model that a folder of transformers holds; None for a run, and for another folder. Raises UsageError for a
    model that is none here."""
    return None if may_be_run(folder) else variant_of(folder)


def run_folders(folder: Path) -> list[Path]:
    """The folders of the runs in a folder, in order of name, damaged ones among them."""
    return [path.parent for path in sorted(folder.glob("*/config.yaml")) if may_be_run(path.parent)]


def may_be_run(folder: Path) -> bool:
    """Whether a folder holds a run, or what is left of one: opening it says what is missing."""
    config = folder / "config.yaml"
    return config.is_file() and (states_format(config) or (folder / "preprocess.json").is_file())


def find_folder(name: str, runs: str | Path) -> Path | None:
    """The folder that ``name`` means: a path or a name in the folder ``runs``, whichever is a run. A folder of data of
    the same name hides no run. None, where there is no folder at all."""
    places = (Path(name).expanduser(), Path(runs) / name)
    for fits in (is_run, may_be_run, Path.is_dir):
        for place in places:
            if fits(place):
                return place
    return None
