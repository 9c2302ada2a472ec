"""The one door: embedded names, and the errors for what is not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.errors import UsageError
from lamina.runs.training import prepare

FACTS = {
    "digits": ("image", "classification", 1797, 10),
    "iris": ("table", "classification", 150, 3),
    "wine": ("table", "classification", 178, 3),
    "breast-cancer": ("table", "classification", 569, 2),
    "diabetes": ("table", "regression", 442, 0),
}


@pytest.mark.parametrize("name", FACTS)
def test_embedded_sets(name: str) -> None:
    spec = open_source(name).spec
    assert (spec.name, spec.kind, spec.task, sum(spec.sizes.values()), len(spec.classes)) == (name, *FACTS[name])
    assert spec.licence
    assert spec.fingerprint
    assert len({open_source(other).spec.fingerprint for other in FACTS}) == len(FACTS)


def test_digits_are_stored_as_bytes_over_their_whole_range() -> None:
    source = open_source("digits", options=DataOptions(validation=0, test=0))
    images = source.splits["train"].images_NCHW  # type: ignore[union-attr]
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert images.unique().tolist() == [round(k * 255 / 16) for k in range(17)]
    assert source.splits["train"].targets.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_names_fold_case_and_dashes_and_come_before_paths(
    image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_source("Breast_Cancer").spec.classes == ("malignant", "benign")
    monkeypatch.chdir(image_folder({"a": 10, "b": 10}, name="digits").parent)
    assert len(open_source("digits").spec.classes) == 10
    assert open_source("./digits").spec.classes == ("a", "b")


def test_names_and_paths_that_are_not_there(tmp_path: Path, refused: Any) -> None:
    with refused(UsageError, "unknown data 'digts'; did you mean 'digits'?"):
        open_source("digts")
    with refused(
        UsageError,
        "unknown data 'zzz'; known: breast-cancer, dates, diabetes, digits, gaussian-grid, gaussian-ring, iris, "
        "python-docs, seattle-temps, seattle-weather, stocks, territories, ...",
    ):
        open_source("zzz")
    for path in ("no/such", "data.csv", str(tmp_path / "x")):
        with refused(UsageError, f"no such file or folder: {path}"):
            open_source(path)
    with refused(UsageError):
        open_source("")
    (tmp_path / "notes.docx").write_bytes(b"x")
    with refused(UsageError, "notes.docx", "no known format", ".csv"):
        open_source(str(tmp_path / "notes.docx"))


def test_options_that_a_source_cannot_follow(image_folder: Callable[..., Path], refused: Any) -> None:
    folder = str(image_folder({"a": 10, "b": 10}))
    for data in ("digits", "iris", folder):
        with refused(UsageError, data, "classification, not multilabel"):
            open_source(data, options=DataOptions(task="multilabel"))
        with refused(UsageError, data, "target 'price'"):
            open_source(data, options=DataOptions(target="price"))
    for data, word in (("iris", "setosa"), (folder, "a")):
        with refused(UsageError, data, f"'{word}'", "regression needs numbers", "--task classification"):
            open_source(data, options=DataOptions(task="regression"))
    with refused(UsageError, "diabetes", "regression"):
        open_source("diabetes", options=DataOptions(task="classification"))


def test_class_numbers_are_values_where_the_task_is_regression() -> None:
    classes, values = open_source("digits"), open_source("digits", options=DataOptions(task="regression"))
    assert (values.spec.task, values.spec.classes, values.spec.targets) == ("regression", (), ("class",))
    targets = values.splits["test"].targets
    assert (targets.dtype, targets.shape) == (torch.float32, (len(values.splits["test"]), 1))
    assert set(targets.flatten().tolist()) == set(range(10)) == set(classes.splits["test"].targets.tolist())


def test_folders_without_data(tmp_path: Path, refused: Any) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with refused(UsageError, "empty", str(empty)):
        open_source(str(empty))
    (empty / ".DS_Store").write_bytes(b"x")
    with refused(UsageError, "is empty"):
        open_source(str(empty))
    (empty / "readme.md").write_text("x")
    with refused(UsageError, "nothing in a known format", "readme.md"):
        open_source(str(empty))
    Image.new("L", (4, 4)).save(empty / "a.png")
    with refused(UsageError, "1 samples: too few"):
        open_source(str(empty))
    spec = open_source(str(empty), options=DataOptions(validation=0, test=0)).spec
    assert (spec.kind, spec.task, dict(spec.sizes)) == ("image", "none", {"train": 1})
    assert "neither class folders" in spec.hint
    with refused(UsageError, "no targets", "neither class folders"):
        prepare("lenet5", {"data": str(empty), "validation": 0, "test": 0}, dry=True)
    nested = tmp_path / "archived"
    nested.mkdir()
    (nested / "cifar.tar.gz").write_bytes(b"x")
    with refused(UsageError, f"did you mean '{nested / 'cifar.tar.gz'}'?"):
        open_source(str(nested))


def test_the_door_imports_no_heavy_library() -> None:
    code = "import sys, lamina.data.opening, lamina.data.modality; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["pandas", "sklearn", "PIL", "datasets", "pyarrow"]
    out = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
