"""What ``test_two_agents.py`` runs under two agents of torchrun: agents_child.py FOLDER."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from scaled import COMMON, cases, words

import lamina
from lamina.cli.main import main
from lamina.errors import LaminaError
from lamina.runs.processes import agreement
from lamina.runs.training import prepare
from lamina.training.events import StepDone

GROWING: dict[str, Any] = {
    "name": "non-saturating", "r1": 1.0, "start": 4, "stable_images": 8, "fade_images": 8, "batch_sizes": (8, 4),
    "rates": (1.0, 0.5),
}  # fmt: skip
NET: dict[str, Any] = {"image_size": 16, "base": 16, "widest": 4, "latent": 4, "group": 2}


def refused(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """What the first and the second process ask for."""
    iris = {**COMMON, "data": "iris", "batch_size": 16, "epochs": 1, "directory": folder / "none", "timeout": 8.0}
    table, other, gone = (str(folder / f"{name}.csv") for name in ("table", "other", "gone"))
    rows = {**iris, "data": table, "target": "y"}
    return {
        "batch": ({**iris, "batch_size": 15}, {**iris, "batch_size": 15}),
        "devices": ({**iris, "devices": 2}, {**iris, "devices": 2}),
        "nodes": ({**iris, "num_nodes": 3}, {**iris, "num_nodes": 3}),
        "option": (iris, {**iris, "lr": 0.5}),
        "model": (iris, {**iris, "model_options": {"hidden": (8,)}}),
        "gone": (rows, {**rows, "data": gone}),
        "other": (rows, {**rows, "data": other}),
        "folder": ({**iris, "directory": folder / "one"}, {**iris, "directory": folder / "two machines"}),
        "run": ({**iris, "name": "table", "directory": folder / "two", "resume": True}, {**iris, "name": "table"}),
    }


def players(folder: Path) -> dict[str, Any]:
    """Two players and sizes in turn: what this process holds at the end, and in between."""
    options = {
        "data": str(folder / "pictures"), "batch_size": 4, "lr": 0.002, "ema": 0.9, "validation": 0.0, "test": 0.0,
        "model": NET, "objective": GROWING, "images": 40, "accelerator": "cpu",
    }  # fmt: skip
    training = prepare("progan", options, directory=folder / "two", name="players")
    phases: list[list[int]] = []
    for event in training.events():
        phase = training.engine.phase
        if isinstance(event, StepDone) and phase is not None and (not phases or phases[-1][0] != phase.index):
            phases.append([phase.index, event.samples])
    whole = hashlib.sha256()
    for tensor in (*training.parts.model.state_dict().values(), *training.engine.average["generator"].values()):
        whole.update(tensor.contiguous().numpy().tobytes())
    seen = training.engine.images_seen
    training.disband()
    return {"weights": whole.hexdigest(), "phases": phases, "samples": seen}


OTHER_VERSIONS: dict[str, tuple[str, Any]] = {
    "lamina": ("__version__", "0.0.9"),
    "code": ("_code", lambda: "0123456789ab"),
    "torch": ("torch", SimpleNamespace(__version__="1.13.1")),
    "python": ("platform", SimpleNamespace(python_version=lambda: "3.9.1")),
}
"""what the second process has in another version"""


def fault(options: dict[str, Any]) -> list[Any] | None:
    """How a training was refused: exit status, line, whether this process shows it."""
    try:
        lamina.train("mlp", **options)
    except LaminaError as error:
        return [error.exit_code, str(error), getattr(error, "shown", None)]
    return None


def all_of_it(folder: Path) -> dict[str, Any]:
    rank, found = int(os.environ["RANK"]), dict[str, Any]()
    for name, options in cases(folder / "book.txt").items():
        if name != "windows":
            lamina.train(**options, directory=folder / "two", name=name)
    for name, (one, other) in refused(folder).items():
        found[name] = fault((one, other)[rank])
    for name, (place, value) in OTHER_VERSIONS.items():
        with patch.object(agreement, place, value) if rank == 1 else nullcontext():
            found[name] = fault({"data": "iris", "epochs": 1, "directory": folder / "none"})
    return {"refused": found, "players": players(folder)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    result = all_of_it(folder)
    (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(result))
    more = ("--epochs", "1000000", "--checkpoint-every", "5", "--name", "windows", "--runs", str(folder / "killed"))
    sys.exit(main(words(cases(folder / "book.txt")["windows"], *more, "--timeout", "30")))
