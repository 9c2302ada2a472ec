"""Runs to look at: small, trained once for the session."""

from __future__ import annotations

from pathlib import Path

import pytest

import lamina
from lamina.runs.run import Run


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """LeNet-5 on digits, 6 epochs, with its report."""
    return lamina.train("lenet5", data="digits", epochs=6, directory=tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="session")
def diabetes_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A linear model on diabetes, with its report."""
    return lamina.train(
        "mlp", data="diabetes", epochs=30, directory=tmp_path_factory.mktemp("diabetes"), model_options={"hidden": ()}
    )


@pytest.fixture
def short(tmp_path: Path) -> dict[str, object]:
    """Arguments of a training of seconds, without a report."""
    return {"data": "iris", "epochs": 2, "batch_size": 16, "directory": tmp_path, "report": False}
