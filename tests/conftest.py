"""One thread for every test and every process a test starts: the same bits in whatever order they run. One hypothesis
profile: the same examples every time, however slow the machine. And a package of another's, installed."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch  # reads the environment when it is imported
from hypothesis import HealthCheck, settings

from fake_hub import FakeHub

torch.set_num_threads(1)

settings.register_profile(
    "lamina", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lamina")


@pytest.fixture
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The models and tasks of ``toy_package`` are found, as those of an installed package."""
    from toy_install import installed

    with installed(tmp_path_factory.mktemp("package")):
        yield


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub on loopback, with an empty cache: ``cache`` in the test's folder."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield server
