"""Rows from a table to a model's features: fitted on train, saved, the same for a row to predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lamina.data.modality import fit_preprocess, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.streams import Shuffled
from lamina.data.table.preprocess import TablePreprocess
from lamina.errors import DataError, UsageError

ROWS = 60
TABLE = pd.DataFrame(
    {
        "age": [None if i == 7 else 20.0 + i * i for i in range(ROWS)],
        "city": [("Oslo", "Rome", None)[i % 3] for i in range(ROWS)],
        "flag": [i % 2 == 0 for i in range(ROWS)],
        "same": 3,
        "tone": "grey",
        "name": [f"person {i}" for i in range(ROWS)],
        "target": [("no", "yes")[i % 2] for i in range(ROWS)],
    }
)


def opened(folder: Path, table: pd.DataFrame = TABLE, **options: Any) -> Source:
    table.to_csv(folder / "data.csv", index=False)
    return open_source(str(folder / "data.csv"), options=DataOptions(**options))


def fitted(source: Source) -> TablePreprocess:
    found = fit_preprocess(source)
    assert isinstance(found, TablePreprocess)
    return found


def test_features_number_by_number(tmp_path: Path) -> None:
    source = opened(tmp_path, validation=0, test=0)
    preprocess = fitted(source)
    assert preprocess.feature_names == ("age", "city=Oslo", "city=Rome", "city missing", "flag")
    assert preprocess.input_key == "features"
    assert preprocess.model_options() == {"in_features": 5, "num_classes": 2}
    features = preprocess.encode(source.splits["train"]).tensors["features"]
    age = np.array([20.0 + i * i for i in range(ROWS)])
    age[7] = np.median(np.delete(age, 7))
    expected = (age - age.mean()) / age.std()
    assert np.allclose(features[:, 0].numpy(), expected, atol=1e-6)
    assert features[:4, 1:4].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert features[:2, 4].tolist() == [1, -1]
    assert features.dtype == torch.float32


def test_categories_are_sorted_whatever_their_order_in_the_data(tmp_path: Path) -> None:
    letters = "qwertyuiopas"
    table = TABLE.assign(city=[letters[i % 12] for i in range(ROWS)])
    names = fitted(opened(tmp_path, table)).feature_names
    assert [name for name in names if name.startswith("city=")] == [f"city={letter}" for letter in sorted(letters)]


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    notes = fitted(opened(tmp_path)).notes
    assert len(notes) == 3
    for column in ("same", "tone", "name"):
        assert sum(f"'{column}'" in note for note in notes) == 1


def test_fitted_on_train_only(tmp_path: Path) -> None:
    """Medians, means, categories and the mark of a missing value are those of the training rows alone."""
    source = opened(tmp_path, test=0.5, validation=0)
    rows = source.splits["train"].frame  # type: ignore[union-attr]
    preprocess = fitted(source)
    age = preprocess.columns[0]
    assert age.median == rows["age"].median()  # type: ignore[union-attr]
    assert age.median != TABLE["age"].median()  # type: ignore[union-attr]
    test = source.splits["test"].frame  # type: ignore[union-attr]
    test["city"] = "Paris"
    test["age"] = -1e6
    assert fitted(source) == preprocess
    features = preprocess.encode(source.splits["test"]).tensors["features"]
    assert features[:, 1:4].abs().sum() == 0  # unseen: no category at all


def test_missing_where_training_missed_nothing(tmp_path: Path) -> None:
    table = TABLE.assign(city=["Oslo", "Rome"] * 30)
    preprocess = fitted(opened(tmp_path, table))
    assert "city missing" not in preprocess.feature_names
    row = preprocess.encode_input({"age": 1, "city": None, "flag": True})["features"]
    assert row[0, 1:3].tolist() == [0, 0]


def test_it_survives_json(tmp_path: Path) -> None:
    for source in (opened(tmp_path), open_source("diabetes")):
        preprocess = fitted(source)
        again = load_preprocess(json.loads(json.dumps(preprocess.files(), allow_nan=False)))
        assert again == preprocess
        assert again.target.classes == source.spec.classes
        first, second = (one.encode(source.splits["test"]).tensors for one in (preprocess, again))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_regression_targets_and_back() -> None:
    source = open_source("diabetes")
    preprocess = fitted(source)
    samples = preprocess.encode(source.splits["train"], hold=False)
    target = samples.tensors["target"]
    assert target.shape == (len(samples), 1)
    assert abs(float(target.mean())) < 1e-5
    assert abs(float(target.std(correction=0)) - 1) < 1e-5
    assert torch.allclose(preprocess.target.decode(target), source.splits["train"].targets, rtol=1e-5)
    batch = next(Shuffled(samples, 32, 0, prepare=preprocess.prepare).batches(0))
    assert batch["features"].shape == (32, preprocess.model_options()["in_features"])
    assert fitted(open_source("iris")).target.decode(torch.ones(2, 3)).tolist() == [[1, 1, 1]] * 2


def test_rows_to_predict(tmp_path: Path) -> None:
    source = opened(tmp_path, validation=0, test=0)
    preprocess = fitted(source)
    expected = preprocess.encode(source.splits["train"]).tensors["features"]
    inputs = TABLE.drop(columns=["target", "name", "same"])  # columns left out in training are not missed
    assert torch.equal(preprocess.encode_input(inputs)["features"], expected)
    assert torch.equal(preprocess.encode_input(str(tmp_path / "data.csv"))["features"], expected)
    row = preprocess.encode_input({"flag": "True", "city": "Rome", "age": "21"} | {"flag": False})["features"]
    assert torch.equal(row, expected[1:2])
    shuffled = inputs.sample(frac=1, random_state=0)
    assert torch.equal(preprocess.encode_input(shuffled)["features"], expected[list(shuffled.index)])


def test_marks_of_missing_values_are_remembered(tmp_path: Path) -> None:
    table = TABLE.astype({"age": object}).fillna({"age": "?"})
    source = opened(tmp_path, table, missing=("?",), validation=0, test=0)
    preprocess = fitted(source)
    again = load_preprocess(json.loads(json.dumps(preprocess.files())))
    expected = preprocess.encode(source.splits["train"]).tensors["features"]
    assert torch.equal(again.encode_input(tmp_path / "data.csv")["features"], expected)
    assert torch.equal(again.encode_input(table)["features"], expected)


def test_another_table_without_the_columns(tmp_path: Path, refused: Any) -> None:
    preprocess = fitted(opened(tmp_path))
    other = opened(tmp_path, TABLE.drop(columns="age"))
    with refused(DataError, "lacks 1", "age"):
        preprocess.encode(other.splits["test"])


def test_rows_that_do_not_fit(tmp_path: Path, refused: Any) -> None:
    preprocess = fitted(opened(tmp_path))
    with refused(DataError, "lacks 2", "age, flag", "there is 'Age'"):
        preprocess.encode_input({"Age": 3, "city": "Oslo"})
    with refused(DataError, "column 'age'", "'old'", "row 2"):
        preprocess.encode_input(pd.DataFrame({"age": [1, "old"], "city": "Oslo", "flag": True}))
    with refused(DataError, "column 'age'", "row 1"):
        preprocess.encode_input({"age": float("inf"), "city": "Oslo", "flag": True})
    with refused(UsageError, "no such file: gone.csv"):
        preprocess.encode_input("gone.csv")
    (tmp_path / "x.png").write_bytes(b"")
    with refused(UsageError, "x.png", "not a table"):
        preprocess.encode_input(tmp_path / "x.png")
    with refused(UsageError, "not int"):
        preprocess.encode_input(3)


def test_tables_with_nothing_to_learn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    with refused(DataError, "no column has usable values", "'same'"):
        fit_preprocess(opened(tmp_path, TABLE[["same", "tone", "target"]]))
    monkeypatch.setattr("lamina.data.table.preprocess.MOST_FEATURES", 100)
    wide = pd.DataFrame({f"c{k}": [f"{k} {i % 20}" for i in range(ROWS)] for k in range(6)})
    with refused(DataError, "120 features, more than 100"):
        fit_preprocess(opened(tmp_path, wide.assign(target=TABLE["target"]), validation=0, test=0))


@pytest.mark.parametrize("name", ["iris", "wine", "breast-cancer"])
def test_embedded_tables(name: str) -> None:
    source = open_source(name)
    preprocess = fitted(source)
    features = preprocess.encode(source.splits["train"]).tensors["features"]
    assert preprocess.notes == ()
    assert features.shape[1] == len(source.spec.columns)
    assert torch.allclose(features.mean(0), torch.zeros(features.shape[1]), atol=1e-5)
