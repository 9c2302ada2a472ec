"""A model of parts, each a variant of the registry: trained, opened again, resumed, explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kill_child import differences
from safetensors.torch import load_file

import lamina
from lamina.cli.main import main

pytestmark = pytest.mark.usefixtures("toys")
ASKED: dict[str, Any] = {
    "data": "breast-cancer", "batch_size": 32, "model_options": {"width": 30}, "schedule": "constant", "warmup": 0.0
}  # fmt: skip


def test_it_learns_and_opens_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lamina.train("toy-parts", epochs=6, directory=tmp_path, **ASKED)
    assert run.evaluate()["accuracy"] > 0.9
    again = lamina.open_run(run.path)
    assert again.evaluate() == run.evaluate()
    assert {name.split(".")[0] for name in load_file(run.directory.weights)} == {"encoder", "head"}
    assert again.model.config.width == 30
    assert main(["info", str(run.path)]) == 0
    assert "encoder.hidden.0.0" in capsys.readouterr().out


def test_its_parts_are_drawn_from_the_seed_and_resumed(tmp_path: Path) -> None:
    whole = lamina.train("toy-parts", epochs=2, name="whole", directory=tmp_path, report=False, **ASKED)
    lamina.train("toy-parts", epochs=1, name="parts", directory=tmp_path, report=False, **ASKED)
    parts = lamina.train("toy-parts", epochs=2, name="parts", directory=tmp_path, report=False, resume=True)
    assert differences(whole.path, parts.path) == []
