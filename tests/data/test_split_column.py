"""A column of splits divides the data, whatever they are; a column of row numbers is no input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lamina.data.image.samples import ImageFiles
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.table.preprocess import TablePreprocess
from lamina.data.table.samples import Table
from lamina.data.text.samples import Pairs, Texts
from lamina.errors import DataError, UsageError

ROWS = 60
WORDS = ["train", "Test", "TRAIN", "train ", "dev"]
SPLITS = [WORDS[i % 5] for i in range(ROWS)]
OF_SPLIT = {
    name: [i for i in range(ROWS) if i % 5 in k]
    for name, k in zip(["train", "validation", "test"], [(0, 2, 3), (4,), (1,)], strict=True)
}


def frame(**more: Any) -> pd.DataFrame:
    columns = {
        "x": [i * 0.37 % 1 for i in range(ROWS)],
        "z": [i * 0.61 % 1 for i in range(ROWS)],
        "label": ["a", "b", "b", "a"] * (ROWS // 4),
    }
    return pd.DataFrame({**columns, **more})


def opened(folder: Path, table: pd.DataFrame, name: str = "data.csv", **options: Any) -> Source:
    path = folder / name
    if name.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return open_source(str(path), options=DataOptions(**options))


def x_of(source: Source) -> dict[str, list[float]]:
    return {name: split.frame["x"].tolist() for name, split in source.splits.items() if isinstance(split, Table)}


def fitted(source: Source) -> TablePreprocess:
    found = fit_preprocess(source)
    assert isinstance(found, TablePreprocess)
    return found


@pytest.mark.parametrize("name", ["split", "Set", " subset", "fold", "purpose"])
@pytest.mark.parametrize("file", ["data.csv", "data.parquet"])
def test_a_column_of_splits_divides_a_table_and_is_no_feature(tmp_path: Path, name: str, file: str) -> None:
    table = frame(**{name: SPLITS})
    source = opened(tmp_path, table, file)
    assert x_of(source) == {split: table["x"][index].tolist() for split, index in OF_SPLIT.items()}
    labels = {split: [source.spec.classes[k] for k in part.targets] for split, part in source.splits.items()}
    assert labels == {split: table["label"][index].tolist() for split, index in OF_SPLIT.items()}
    assert fitted(source).feature_names == ("x", "z")
    assert "train 36, validation 12, test 12" in source.spec.notes[0]


def test_what_is_missing_is_drawn_from_train(tmp_path: Path) -> None:
    table = frame(split=["test" if i % 3 == 0 else "train" for i in range(ROWS)])
    found = x_of(opened(tmp_path, table))
    assert found["test"] == table["x"][::3].tolist()
    train = table["x"][table["split"] == "train"].tolist()
    assert sorted(found["train"] + found["validation"]) == sorted(train)
    assert len(found["validation"]) == 4


def test_texts_pairs_and_running_text_in_a_table(tmp_path: Path) -> None:
    sentences = [f"sentence number {i} of them" for i in range(ROWS)]
    source = opened(tmp_path, pd.DataFrame({"sentence": sentences, "label": [0, 1] * 30, "split": SPLITS}))
    assert source.spec.kind == "text"
    for split, index in OF_SPLIT.items():
        part = source.splits[split]
        assert isinstance(part, Texts)
        assert part.texts == tuple(sentences[i] for i in index)
        assert part.targets is not None
        assert part.targets.tolist() == [i % 2 for i in index]

    table = pd.DataFrame({"de": [f"Satz {i}" for i in range(ROWS)], "en": sentences, "subset": SPLITS})
    source = opened(tmp_path, table, task="translation")
    for split, index in OF_SPLIT.items():
        part = source.splits[split]
        assert isinstance(part, Pairs)
        assert part.sources == tuple(f"Satz {i}" for i in index)
        assert part.texts == tuple(sentences[i] for i in index)

    source = opened(tmp_path, pd.DataFrame({"text": sentences, "split": SPLITS}))
    assert source.splits["test"].text.splitlines() == [sentences[i] for i in OF_SPLIT["test"]]  # type: ignore[attr-defined]


def test_a_table_of_pictures(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"pool": 12})
    table = pd.DataFrame(
        {
            "": range(12),
            "file": [f"pool/{i}.png" for i in range(12)],
            "animal": ["cat", "dog"] * 6,
            "split": ["val", "train", "train", "test"] * 3,
        }
    )
    source = opened(root, table, "animals.csv")
    assert (source.spec.task, source.spec.targets) == ("classification", ("animal",))
    test = source.splits["test"]
    assert isinstance(test, ImageFiles)
    assert [path.stem for path in test.paths] == ["3", "7", "11"]
    assert test.targets is not None
    assert [source.spec.classes[k] for k in test.targets] == ["dog", "dog", "dog"]


def test_the_option_names_another_column_or_none(tmp_path: Path) -> None:
    table = frame(split=["test"] * 20 + ["train"] * 40, official=["train"] * 40 + ["test"] * 20)
    with pytest.raises(UsageError, match=r"'split' and 'official' both divide the data: .*--split-column"):
        opened(tmp_path, table)
    source = opened(tmp_path, table, split_column="official", drop=("split",))
    assert x_of(source)["test"] == table["x"][40:].tolist()
    source = opened(tmp_path, table, split_column="none")
    assert {column.name for column in source.spec.columns} == {"x", "z", "split", "official"}
    source = opened(tmp_path, table, keep=("split",))
    assert x_of(source)["test"] == table["x"][40:].tolist()
    assert "split" in {column.name for column in source.spec.columns}
    assert opened(tmp_path, table, target="split", drop=("official",)).spec.classes == ("test", "train")
    with pytest.raises(UsageError, match=r"unknown split column 'oficial'; did you mean 'official'"):
        opened(tmp_path, table, split_column="oficial")


@pytest.mark.parametrize(("values", "row"), [(["train", "train", "tets", "test"], 3), ([0, 1, 1, 0], 1)])
def test_a_column_called_split_is_never_silently_an_input(tmp_path: Path, values: list[Any], row: int) -> None:
    table = frame(split=values * 15)
    with pytest.raises(
        DataError, match=rf"row {row}: column 'split' holds .* expected train, validation or test .*--drop"
    ):
        opened(tmp_path, table)
    assert len(opened(tmp_path, table, drop=("split",)).spec.columns) == 2
    assert len(opened(tmp_path, table, keep=("split",)).spec.columns) == 3


def test_other_names_of_divisions_are_noted(tmp_path: Path) -> None:
    source = opened(tmp_path, frame(fold=[i % 5 for i in range(ROWS)]))
    assert "fold" in {column.name for column in source.spec.columns}
    assert any("column 'fold'" in note and "--drop 'fold'" in note for note in source.spec.notes)
    assert opened(tmp_path, frame()).spec.notes == ()


def test_empty_cells_and_contradictions(tmp_path: Path) -> None:
    table = frame(split=[*SPLITS[:-1], None])
    with pytest.raises(DataError, match=r"row 60: column 'split'.* is empty"):
        opened(tmp_path, table)
    source = opened(tmp_path, table, skip_bad=True)
    assert sum(source.spec.sizes.values()) == ROWS - 1
    assert any("1 rows without a value in column 'split'" in note for note in source.spec.notes)
    with pytest.raises(UsageError, match=r"holds no 'train'"):
        opened(tmp_path, frame(split=["val", "test"] * 30))
    source = opened(tmp_path, frame(split="test"))
    assert source.spec.sizes == opened(tmp_path, frame()).spec.sizes
    assert any("'test' alone" in note for note in source.spec.notes)

    folder = tmp_path / "files"
    folder.mkdir()
    frame(split=["train", "val", "train"] * 20).to_csv(folder / "train.csv", index=False)
    frame(split="test").to_csv(folder / "test.csv", index=False)
    source = open_source(str(folder))
    assert source.spec.sizes == {"train": 40, "validation": 20, "test": 60}
    frame(split="train").to_csv(folder / "test.csv", index=False)
    with pytest.raises(UsageError, match=r"test.csv, row 1: column 'split' says train"):
        open_source(str(folder))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", range(ROWS)),
        ("", [7 * i + 3 for i in range(ROWS)]),
        ("index", [(7 * i) % ROWS for i in range(ROWS)]),
        ("id", range(1, ROWS + 1)),
        ("ID", [842302 - 13 * i for i in range(ROWS)]),
    ],
)
def test_row_numbers_are_left_out_with_a_note(tmp_path: Path, name: str, values: Any) -> None:
    source = opened(tmp_path, frame(**{name: values}))
    called = name or "Unnamed: 3"
    assert fitted(source).feature_names == ("x", "z")
    assert f"column '{called}' numbers the rows: left out" in source.spec.notes[0]
    assert fitted(opened(tmp_path, frame(**{name: values}), keep=(called,))).feature_names == ("x", "z", called)


def test_other_columns_that_count_the_rows_are_noted(tmp_path: Path) -> None:
    for name, values in {
        "passenger": range(1, ROWS + 1),
        "place": [(7 * i) % ROWS for i in range(ROWS)],
        "customer_id": [10 * i for i in range(ROWS)],
    }.items():
        source = opened(tmp_path, frame(**{name: values}))
        assert fitted(source).feature_names == ("x", "z", name)
        assert f"column '{name}' holds a different whole number" in source.spec.notes[0]
        assert f"--drop '{name}'" in source.spec.notes[0]
    for values in ([10 * i for i in range(ROWS)], [i // 2 for i in range(ROWS)], [i + 0.5 for i in range(ROWS)]):
        assert opened(tmp_path, frame(size=values)).spec.notes == ()
    repeated = opened(tmp_path, frame(id=[i // 2 for i in range(ROWS)]))  # no number of rows: a person, say
    assert fitted(repeated).feature_names == ("x", "z", "id")


@pytest.mark.parametrize("name", ["iris", "wine", "breast-cancer", "diabetes", "digits"])
def test_ordinary_data_have_no_notes(name: str) -> None:
    assert open_source(name).spec.notes == ()
