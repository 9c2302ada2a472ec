"""One thread for every test and every process a test starts: the same bits in whatever order they run. One hypothesis
profile: the same examples every time, however slow the machine. And a package of another's, installed."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"

from collections.abc import Iterator

import pytest
import torch  # reads the environment when it is imported
from hypothesis import HealthCheck, settings

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
