"""Our wheel, built once."""

from __future__ import annotations

from pathlib import Path

import pytest
from wheels import ROOT, build_wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is in the repository."""
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))
