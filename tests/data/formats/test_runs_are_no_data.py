"""What training wrote is no data: runs, folders of runs and hidden folders are never classes, at any depth."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lamina.data.opening import open_source


def pictures(folder: Path, count: int = 6) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("L", (4, 4), 20 * i).save(folder / f"{i}.png")


def run(folder: Path) -> None:
    """A folder as a run leaves it, with pictures in it."""
    pictures(folder / "inspect")
    (folder / "config.yaml").write_text("format: 1\nname: lenet5\n")
    (folder / "card.json").write_text("{}")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    pictures(tmp_path / "photos" / "cat")
    pictures(tmp_path / "photos" / "dog")
    return tmp_path / "photos"


@pytest.mark.parametrize("where", ["runs/lenet5-photos", "old/2026/mine", "lenet5-photos", "cat/runs/one"])
def test_a_run_is_no_class(photos: Path, where: str) -> None:
    before = open_source(str(photos))
    run(photos / where)
    after = open_source(str(photos))
    assert after.spec.classes == ("cat", "dog")
    assert after.spec.fingerprint == before.spec.fingerprint, "a run beside the data does not change them"


@pytest.mark.parametrize("where", [".cache", "cat/.thumbnails", ".git/x"])
def test_hidden_folders_are_no_data(photos: Path, where: str) -> None:
    before = open_source(str(photos)).spec
    pictures(photos / where)
    after = open_source(str(photos)).spec
    assert (after.classes, after.sizes) == (before.classes, before.sizes)


def test_a_class_may_have_a_configuration(photos: Path) -> None:
    """A file of that name alone makes no run."""
    (photos / "cat" / "config.yaml").write_text("author: me")
    assert open_source(str(photos)).spec.classes == ("cat", "dog")
