"""Runs to export, small, and the libraries that write and run what is exported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import lamina
from lamina.runs.run import Run

LIBRARIES = ("onnx", "onnxscript", "onnxruntime", "openvino")
MISSING = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``engines`` need all of the extra [export]."""
    if MISSING:
        skip = pytest.mark.skip(reason=f"{', '.join(MISSING)} not installed: pip install lamina[export]")
        for item in items:
            if "engines" in item.fixturenames:  # type: ignore[attr-defined]
                item.add_marker(skip)


@pytest.fixture
def engines() -> None:
    """Asked for by tests that need ONNX Runtime and OpenVINO."""


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return lamina.train("lenet5", data="digits", epochs=2, directory=tmp_path_factory.mktemp("digits"), report=False)


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return lamina.train("mlp", data="iris", epochs=5, directory=tmp_path_factory.mktemp("iris"), report=False)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """An empty folder whose own path holds no link, so that only the test's links count."""
    folder = tmp_path.resolve() / "models"
    folder.mkdir()
    return folder
