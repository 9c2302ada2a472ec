"""A table of image paths: labels of every kind, and paths that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lamina.data.image.samples import ImageFiles
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare

WHOLE: dict[str, Any] = {"validation": 0, "test": 0}
FILES = [f"pool/{i}.png" for i in range(12)]


@pytest.fixture
def table(image_folder: Callable[..., Path]) -> Callable[..., str]:
    root = image_folder({"pool": 12})

    def write(name: str = "labels.csv", **columns: Any) -> str:
        pd.DataFrame(columns).to_csv(root / name, index=False)
        return str(root / name)

    return write


def test_labels_of_every_kind(table: Callable[..., str]) -> None:
    path = table(file=FILES, kind=["cat", "dog"] * 6)  # the only other column is the label, whatever it is called
    source = open_source(path, options=DataOptions(**WHOLE))
    spec = source.spec
    assert (spec.kind, spec.task, spec.classes, spec.targets) == ("image", "classification", ("cat", "dog"), ("kind",))
    split = source.splits["train"]
    assert isinstance(split, ImageFiles)
    assert [path.name for path in split.paths] == [Path(file).name for file in FILES]
    assert split.targets.tolist() == [0, 1] * 6

    several = table(file=FILES, tags=["a|b", "b", "c|a"] * 4)
    assert open_source(several).spec.classes == ("a", "b", "c")
    assert open_source(several).spec.task == "multilabel"
    hot = table(file=FILES, red=[0, 1] * 6, big=[1, 1, 0] * 4)
    source = open_source(hot, options=DataOptions(**WHOLE))
    assert (source.spec.task, source.spec.classes) == ("multilabel", ("red", "big"))
    assert source.splits["train"].targets[1].tolist() == [1, 1]
    value = table(age=[1.5 * i for i in range(12)], file=FILES)
    assert open_source(value).spec.task == "regression"


def test_beside_other_columns_the_target_is_named(table: Callable[..., str], refused: Any) -> None:
    path = table(file=FILES, kind=["cat", "dog"] * 6, camera=["x", "y", "z"] * 4)
    spec = open_source(path).spec
    assert (spec.task, spec.classes, spec.targets) == ("none", (), ())
    assert "one of: kind, camera" in spec.hint
    with refused(UsageError, "no targets", "one of: kind, camera"):
        prepare("lenet5", {"data": path}, dry=True)
    assert open_source(path, options=DataOptions(target="camera")).spec.classes == ("x", "y", "z")
    named = table(file=FILES, label=["cat", "dog"] * 6, camera=["x", "y", "z"] * 4)
    assert open_source(named).spec.targets == ("label",)


def test_a_folder_of_images_and_their_table(table: Callable[..., str]) -> None:
    path = Path(table(file=FILES, label=["cat", "dog"] * 6))
    assert open_source(str(path.parent)).spec.classes == ("cat", "dog")


def test_images_that_are_not_there(table: Callable[..., str], refused: Any) -> None:
    path = table(file=[*FILES[:-1], "pool/gone.png"], label=["cat", "dog"] * 6)
    with refused(DataError, "pool/gone.png", "no such file"):
        open_source(path)
    source = open_source(path, options=DataOptions(skip_bad=True))
    assert source.spec.skipped == ("pool/gone.png",)
    assert sum(source.spec.sizes.values()) == 11
    with refused(DataError, "labels.csv, row 1", "'elsewhere/0.png'", "column 'file'"):
        open_source(table(file=[f"elsewhere/{i}.png" for i in range(12)], label=["cat", "dog"] * 6))
    with refused(DataError, "row 3", "'file'"):
        open_source(table(file=[*FILES[:2], None, *FILES[3:]], label=["cat", "dog"] * 6))
    with refused(DataError, "row 4", "'label'"):
        open_source(table(file=FILES, label=["cat", "dog", "cat", None] * 3))


IDS = [f"{i:04d}" for i in range(12)]


@pytest.fixture
def dogs(image_folder: Callable[..., Path], tmp_path: Path) -> Callable[..., str]:
    """The layout of a competition: a table of identifiers beside folders of pictures."""
    root = image_folder({"train": 12, "test": 2}, name="dogs")
    for i, name in enumerate(IDS):
        (root / "train" / f"{i}.png").rename(root / "train" / f"{name}.png")

    def write(**columns: Any) -> str:
        pd.DataFrame(columns).to_csv(root / "labels.csv", index=False)
        return str(root / "labels.csv")

    return write


def names_of(source: Any) -> list[str]:
    return [path.name for path in source.splits["train"].paths]


@pytest.mark.parametrize("ids", [IDS, [f"{name}.png" for name in IDS], [f"{name}.png" if i % 2 else name for i, name in
                         enumerate(IDS)]])  # fmt: skip
@pytest.mark.parametrize("suffix", [".png", "png"])
@pytest.mark.parametrize("relative", [True, False])
def test_identifiers_with_a_root_and_a_suffix(dogs: Any, ids: list[str], suffix: str, relative: bool) -> None:
    path = dogs(id=ids, breed=["pug", "lab", "pug"] * 4)
    root = "train" if relative else str(Path(path).parent / "train")
    source = open_source(path, options=DataOptions(**WHOLE, root=root, suffix=suffix))
    assert (source.spec.kind, source.spec.classes) == ("image", ("lab", "pug"))
    assert names_of(source) == [f"{name}.png" for name in IDS]
    assert source.splits["train"].targets.tolist() == [1, 0, 1] * 4


def test_identifiers_are_not_taken_for_categories(dogs: Any, refused: Any) -> None:
    path = dogs(id=IDS, breed=["pug", "lab", "pug"] * 4)
    train = Path(path).parent / "train"
    with refused(UsageError, "column 'id' names images in", f"--root {train} --suffix .png", "--drop id"):
        open_source(path)
    with refused(UsageError, "no column names a file", "--suffix"):
        open_source(path, options=DataOptions(root="train"))
    with refused(UsageError, "no such folder: trian"):
        open_source(path, options=DataOptions(root="trian"))
    named = dogs(file=[f"{name}.png" for name in IDS], breed=["pug", "lab", "pug"] * 4)
    with refused(DataError, "row 1", "'0000.png'", f"--root {train}"):
        open_source(named)
    assert names_of(open_source(named, options=DataOptions(**WHOLE, root="train")))[3] == "0003.png"


def test_a_missing_picture_of_an_identifier(dogs: Any, refused: Any) -> None:
    path = dogs(id=[*IDS[:-1], "0099"], breed=["pug", "lab", "pug"] * 4)
    options = {"root": "train", "suffix": ".png"}
    with refused(DataError, "0099.png", "no such file"):
        open_source(path, options=DataOptions(**options))
    source = open_source(path, options=DataOptions(**WHOLE, **options, skip_bad=True))
    assert source.spec.skipped == ("0099.png",)


def test_a_folder_with_a_table_beside_pictures_says_how(dogs: Any) -> None:
    path = dogs(id=IDS, breed=["pug", "lab", "pug"] * 4)
    spec = open_source(str(Path(path).parent)).spec
    assert (spec.task, f"--data {path} --root" in spec.hint) == ("none", True)
