"""What a cell means depends on its value, not on the file, its type or the cells beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from lamina.data.modality import fit_preprocess, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.errors import DataError
from lamina.runs.training import train

ROWS = 60
FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")


def opened(folder: Path, columns: dict[str, list[Any]], suffix: str = "csv", **options: Any) -> Source:
    table, path = pd.DataFrame(columns), folder / f"data.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    elif suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    elif suffix == "json":
        table.to_json(path, orient="records")
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    return open_source(str(path), options=DataOptions(**{"validation": 0, "test": 0, **options}))


X = {"x": [(i * 7) % 13 + 0.5 for i in range(ROWS)]}


@pytest.mark.parametrize("suffix", FORMATS)
def test_labels_are_the_same_classes_as_floats(tmp_path: Path, suffix: str, refused: Any) -> None:
    source = opened(tmp_path, {**X, "label": [float(i % 2) for i in range(ROWS)]}, suffix)
    assert (source.spec.task, source.spec.classes) == ("classification", ("0", "1"))
    gap = {**X, "label": [None if i == 5 else float(i % 2) for i in range(ROWS)]}
    with refused(DataError, "row 6", "'label'", "--skip-bad"):
        opened(tmp_path, gap, suffix)
    source = opened(tmp_path, gap, suffix, skip_bad=True)
    assert (source.spec.task, source.spec.classes, len(source.splits["train"])) == ("classification", ("0", "1"), 59)


@pytest.mark.filterwarnings("ignore::lamina.errors.DataWarning")
@pytest.mark.parametrize("suffix", FORMATS)
def test_codes_with_leading_zeros_are_what_is_written(tmp_path: Path, suffix: str) -> None:
    codes = [("00123", "12345", "02000")[i % 3] for i in range(ROWS)]
    source = opened(tmp_path, {"zip": codes, "label": [i % 2 for i in range(ROWS)]}, suffix)
    assert source.spec.columns[0].kind == "categorical"
    fitted = fit_preprocess(source)
    again: Any = load_preprocess(json.loads(json.dumps(fitted.files())))
    assert again.feature_names == ("zip=00123", "zip=02000", "zip=12345")
    for value in ("00123", " 00123 ", 123, 123.0):
        assert again.encode_input({"zip": value})["features"].tolist() == [[1, 0, 0]]
    for value in ("123", "0123", 7):
        assert again.encode_input({"zip": value})["features"].tolist() == [[0, 0, 0]]
    (tmp_path / "new.csv").write_text("zip\n00123\n12345\n")
    (tmp_path / "new.jsonl").write_text('{"zip": "00123"}\n{"zip": 12345}\n')
    for name in ("new.csv", "new.jsonl"):
        assert again.encode_input(tmp_path / name)["features"].tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("suffix", FORMATS)
def test_na_is_a_word_in_texts_and_a_gap_in_numbers(tmp_path: Path, suffix: str) -> None:
    words = [("NA", "None", "null", "nan", "EU")[i % 5] for i in range(ROWS)]
    numbers = [("NA", "None", "null", "nan", "3")[i % 5] for i in range(ROWS)]
    source = opened(tmp_path, {**X, "n": numbers, "where": words, "label": words}, suffix)
    assert source.spec.classes == ("EU", "NA", "None", "nan", "null")
    frame: Any = source.splits["train"].frame  # type: ignore[attr-defined]
    assert frame["where"].tolist() == words
    assert frame["n"].isna().tolist() == [word != "3" for word in numbers]
    replaced = opened(tmp_path, {**X, "where": words, "label": words}, suffix, missing=("NA",), skip_bad=True)
    assert replaced.spec.classes == ("EU", "None", "nan", "null")


@pytest.mark.parametrize("suffix", FORMATS)
def test_blanks_around_values_do_not_count(tmp_path: Path, suffix: str) -> None:
    words = [("hot", " hot", "cold ", "cold\u00a0")[i % 4] for i in range(ROWS)]
    source = opened(tmp_path, {" x ": [f" {i % 7}.5" for i in range(ROWS)], "tone": words, " label": words}, suffix)
    assert (source.spec.targets, source.spec.classes) == (("label",), ("cold", "hot"))
    assert [(column.name, column.kind) for column in source.spec.columns] == [("x", "numeric"), ("tone", "categorical")]
    fitted: Any = fit_preprocess(source)
    assert fitted.feature_names == ("x", "tone=cold", "tone=hot")
    one, two = (fitted.encode_input({"x": x, "tone": tone}) for x, tone in (("1", "hot"), (" 1 ", "hot ")))
    assert torch.equal(one["features"], two["features"])


def test_true_and_false_in_any_case(tmp_path: Path) -> None:
    flags, labels = ["TRUE", "false", "True"] * 20, ["true", "FALSE"] * 30
    source = opened(tmp_path, {**X, "flag": flags, "label": labels})
    assert source.spec.classes == ("False", "True")
    assert source.splits["train"].frame["flag"].tolist()[:3] == [1, 0, 1]  # type: ignore[attr-defined]
    fitted: Any = fit_preprocess(source)
    ways = [fitted.encode_input({"x": 1, "flag": flag})["features"].tolist() for flag in (True, "true", "TRUE", 1, "1")]
    assert all(way == ways[0] for way in ways)


@pytest.mark.parametrize("suffix", FORMATS)
def test_identifiers_beyond_the_precision_of_floats(tmp_path: Path, suffix: str) -> None:
    ids = [9007199254740992 + i % 2 for i in range(ROWS)]
    source = opened(tmp_path, {**X, "label": ids}, suffix)
    assert source.spec.classes == ("9007199254740992", "9007199254740993")
    categories = opened(tmp_path, {"k": ids, "label": [i % 2 for i in range(ROWS)]}, suffix, categorical=("k",))
    assert fit_preprocess(categories).feature_names == tuple(f"k={one}" for one in sorted(set(ids)))  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_categories_that_are_numbers(tmp_path: Path, suffix: str) -> None:
    table = {"k": [float(i % 3) for i in range(ROWS)], "label": [i % 2 for i in range(ROWS)]}
    fitted: Any = fit_preprocess(opened(tmp_path, table, suffix, categorical=("k",)))
    assert fitted.feature_names == ("k=0", "k=1", "k=2")
    for value in (1, 1.0, "1", "1.0", "1.00"):
        assert fitted.encode_input({"k": value})["features"].tolist() == [[0, 1, 0]]


def test_numbers_of_a_file_are_exact(tmp_path: Path) -> None:
    written = [0.1 + 0.2, 1 / 3, 1e-300, 123456789.12345679, 5e-324] * 12
    source = opened(tmp_path, {"x": written, "label": [i % 2 for i in range(ROWS)]})
    assert source.splits["train"].frame["x"].tolist() == written  # type: ignore[attr-defined]


def test_a_small_file_is_judged_as_the_run_was_trained(tmp_path: Path) -> None:
    """Five whole numbers are no five classes for a model of regression."""
    table = {"x": [float(i) for i in range(ROWS)], "target": [3 * i for i in range(ROWS)]}
    opened(tmp_path, table)
    data = str(tmp_path / "data.csv")
    run = train("mlp", data=data, directory=tmp_path / "runs", name="r", epochs=1, report=False)
    (tmp_path / "few.csv").write_text("x,target\n" + "".join(f"{i},{i}\n" for i in range(5)))
    assert "rmse" in run.evaluate(data=str(tmp_path / "few.csv"))
