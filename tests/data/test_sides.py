"""Two unpaired sides: the classes of one source, two folders, or two sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.sides import joined, sides_of
from lamina.data.source import targets_of
from lamina.errors import DataError, UsageError

WHOLE = DataOptions(validation=0, test=0)
Folder = Callable[..., Path]


def sizes(sources: dict[str, Any], split: str) -> dict[str, int]:
    return {side: len(source.splits[split]) for side, source in sources.items() if split in source.splits}


def test_the_two_classes_of_a_source() -> None:
    source = open_source("breast-cancer")
    sides = sides_of(source, ("A", "B"))
    for split, part in source.splits.items():
        targets = targets_of(part)
        assert targets is not None
        assert sizes(sides, split) == {"A": int((targets == 0).sum()), "B": int((targets == 1).sum())}
    assert set(sides["B"].splits["train"].targets.tolist()) == {1}


def test_folders_for_each_side(image_folder: Folder) -> None:
    root = image_folder({"trainA": 7, "trainB": 12, "testA": 3, "testB": 4})
    sides = sides_of(open_source(str(root), options=WHOLE), ("A", "B"))
    assert (sizes(sides, "train"), sizes(sides, "test")) == ({"A": 7, "B": 12}, {"A": 3, "B": 4})
    assert all(path.parent.name == "trainB" for path in sides["B"].splits["train"].paths)


def test_a_side_without_test_images(image_folder: Folder) -> None:
    root = image_folder({"trainA": 3, "trainB": 3, "testA": 2})
    sides = sides_of(open_source(str(root), options=WHOLE), ("A", "B"))
    assert sizes(sides, "test") == {"A": 2}


def test_two_sources_lose_their_own_targets(image_folder: Folder) -> None:
    horses, zebras = image_folder({"x": 2, "y": 3}, name="horses"), image_folder({"x": 4, "y": 2}, name="zebras")
    whole = joined({"A": open_source(str(horses), options=WHOLE), "B": open_source(str(zebras), options=WHOLE)})
    assert (whole.spec.classes, whole.spec.task, dict(whole.spec.sizes)) == (
        ("A", "B"),
        "classification",
        {"train": 11},
    )
    assert targets_of(whole.splits["train"]).tolist() == [0] * 5 + [1] * 6
    assert sizes(sides_of(whole, ("A", "B")), "train") == {"A": 5, "B": 6}
    other = joined({"A": open_source(str(zebras), options=WHOLE), "B": open_source(str(horses), options=WHOLE)})
    assert other.spec.fingerprint != whole.spec.fingerprint


def test_arrays_and_tables_are_joined_as_they_are(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 100)):
        (tmp_path / f"{name}.csv").write_text("p,q\n" + "".join(f"{first + i},{i * i}\n" for i in range(10)))
    tables = {side: open_source(str(tmp_path / f"{side.lower()}.csv"), options=WHOLE) for side in ("A", "B")}
    sides = sides_of(joined(tables), ("A", "B"))
    assert sides["B"].splits["train"].frame["p"].tolist() == list(range(100, 110))
    digits = open_source("digits")
    twice = sides_of(joined({"A": digits, "B": digits}), ("A", "B"))
    assert torch.equal(twice["A"].splits["test"].images_NCHW, twice["B"].splits["test"].images_NCHW)


def test_another_number_of_classes_is_refused_with_the_way_out(image_folder: Folder, refused: Any) -> None:
    way = "a source of exactly 2 classes, folders trainA and trainB, or --data for each of them"
    three, loose = image_folder({"x": 2, "y": 2, "z": 2}), image_folder({"": 4}, name="loose")
    for root, have in ((three, "3 classes"), (loose, "no classes")):
        with refused(UsageError, f"'{root}' has {have}", way):
            sides_of(open_source(str(root), options=WHOLE), ("A", "B"))


@pytest.mark.parametrize("folders", [{"trainA": 3, "trainB": 0}, {"trainA": 3, "testA": 1}, {"trainA": 3, "testB": 1}])
def test_an_empty_side_is_refused_with_the_way_out(image_folder: Folder, refused: Any, folders: dict[str, int]) -> None:
    with refused(DataError, "images in 'trainA' and none in 'trainB': put those of the other side there", "--data"):
        open_source(str(image_folder(folders)), options=WHOLE)


def test_a_side_that_a_limit_leaves_empty_is_refused(refused: Any) -> None:
    source = open_source("breast-cancer", options=DataOptions(limit=1))
    with refused(DataError, "no training data of side", "each side needs some", "--data for each of them"):
        sides_of(source, ("A", "B"))


def test_sources_of_different_kinds_are_refused(refused: Any) -> None:
    with refused(UsageError, "'digits' is image data, 'iris' is table data: sides must be of one kind"):
        joined({"A": open_source("digits"), "B": open_source("iris")})
