"""Numbers in the notations that people write them in: read right, or refused with the option that decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from lamina.data.modality import fit_preprocess, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions, EvaluationOptions
from lamina.data.source import Source
from lamina.data.table.preprocess import TablePreprocess
from lamina.errors import DataError, UsageError

ROWS = 60


def opened(folder: Path, columns: dict[str, list[Any]], sep: str = ";", **options: Any) -> Source:
    table = pd.DataFrame({**columns, "label": [i % 2 for i in range(len(next(iter(columns.values()))))]})
    table.to_csv(folder / "data.csv", index=False, sep=sep)
    return open_source(str(folder / "data.csv"), options=DataOptions(**{"validation": 0, "test": 0, **options}))


def values(source: Source, column: str = "x") -> list[float]:
    found: list[float] = source.splits["train"].frame[column].tolist()  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("64,1", 64.1),
        ("1,137.50", 1137.5),
        ("1.137,50", 1137.5),
        ("1 137,50", 1137.5),
        ("1\u00a0137,5", 1137.5),
        ("1\u202f137", 1137),
        ("1'137.50", 1137.5),
        ("CHF 1’137.50", 1137.5),
        ("1.234.567", 1234567),
        ("12,34,567.5", 1234567.5),
        ("$ 12", 12),
        ("-$12.50", -12.5),
        ("12 €", 12),
        ("R$ 12,50", 12.5),
        ("(12.50)", -12.5),
        ("($1,250.00)", -1250),
        ("\u22123.5", -3.5),
        ("+5", 5),
        (".5", 0.5),
        ("5.", 5),
        ("1e3", 1000),
        ("1,5E3", 1500),
        ("0,125", 0.125),
        ("1234,567", 1234.567),
    ],
)
def test_a_notation(tmp_path: Path, written: str, value: float) -> None:
    source = opened(tmp_path, {"x": [written if i % 4 == 0 else str(i) for i in range(ROWS)]})
    assert [column.kind for column in source.spec.columns] == ["numeric"]
    assert values(source)[:2] == [value, 1]


def test_a_target_with_decimal_commas_is_a_number(tmp_path: Path) -> None:
    lines = [f"{i},5;{(i * 37) % 90},{i % 9 + 1}\n" for i in range(ROWS)]
    (tmp_path / "d.csv").write_text("size;target\n" + "".join(lines))
    source = open_source(str(tmp_path / "d.csv"), options=DataOptions(validation=0, test=0))
    assert source.spec.task == "regression"
    assert source.splits["train"].targets[:2, 0].tolist() == pytest.approx([0.1, 37.2])  # type: ignore[attr-defined]
    assert any("'0,5' is read as 0.5" in note for note in source.spec.notes)


def test_per_cent_is_the_number_before_the_sign(tmp_path: Path, refused: Any) -> None:
    source = opened(tmp_path, {"x": [f"{i} %" for i in range(ROWS)]})
    assert values(source)[:3] == [0, 1, 2]
    assert any("'1 %' is read as 1" in note or "'0 %' is read as 0" in note for note in source.spec.notes)
    with refused(DataError, "'x'", "different units", "'%'", "--categorical x"):
        opened(tmp_path, {"x": ["35%", "0.35"] * 30})
    with refused(DataError, "'x'", "'$' and '€'", "--drop x"):
        opened(tmp_path, {"x": ["$5", "6 €"] * 30})


def test_what_can_be_read_in_two_ways_is_decided_by_an_option(tmp_path: Path, refused: Any) -> None:
    table = {"x": [f"{1 + i % 9},{100 + i}" for i in range(ROWS)]}
    with refused(DataError, "data.csv, row 1", "'1,100'", "1100 or 1.100", "--thousands ','", "--decimal ','"):
        opened(tmp_path, table)
    assert values(opened(tmp_path, table, thousands=","))[:2] == [1100, 2101]
    assert values(opened(tmp_path, table, decimal=","))[:2] == [1.1, 2.101]
    assert values(opened(tmp_path, table, thousands="none"))[:2] == [1.1, 2.101]
    # whole numbers below a thousand beside 1.200: nobody writes 950 for 950.000 and 1.200 for 1.2
    grouped = {"x": ["950", "1.200", "12.000"] * 20}
    with refused(DataError, "'1.200'", "--thousands '.'"):
        opened(tmp_path, grouped)
    assert values(opened(tmp_path, grouped, thousands="."))[:3] == [950, 1200, 12000]
    # a point as in any program
    plain = opened(tmp_path, {"x": ["1.234", "12.345"] * 30})
    assert values(plain)[:2] == [1.234, 12.345]
    assert any("--thousands . reads 1234" in note for note in plain.spec.notes)


def test_or_by_the_other_columns(tmp_path: Path, refused: Any) -> None:
    open_comma, open_point = ["1,230", "2,345"] * 30, ["1.234", "12.345"] * 30
    points, commas = [f"{i}.5" for i in range(ROWS)], [f"{i},5" for i in range(ROWS)]
    assert values(opened(tmp_path, {"x": open_comma, "z": points}))[0] == 1230
    assert values(opened(tmp_path, {"x": open_comma, "z": commas}))[0] == 1.23
    assert values(opened(tmp_path, {"x": open_point, "z": commas}))[0] == 1234
    assert values(opened(tmp_path, {"x": open_point, "z": points}))[0] == 1.234
    with refused(DataError, "'x'", "'1,230'"):
        opened(tmp_path, {"x": open_comma, "y": commas, "z": points})
    mixed = [f"{i},5" if i % 2 else f"{i}.5" for i in range(ROWS)]
    with refused(DataError, "row 2", "'0.5' and '1,5'", "two notations"):
        opened(tmp_path, {"x": mixed})


@pytest.mark.parametrize("mark", ["?", "-", "unknown"])
def test_the_same_text_again_and_again_among_numbers(tmp_path: Path, mark: str, refused: Any) -> None:
    table = {"x": [mark if i % 3 == 0 else f"{i},5" for i in range(ROWS)]}
    with refused(DataError, "data.csv, row 1", f"'{mark}'", "67%", f"--missing '{mark}'", "--categorical x"):
        opened(tmp_path, table)
    source = opened(tmp_path, table, missing=(mark,))
    assert source.spec.columns[0].kind == "numeric"
    assert source.splits["train"].frame["x"].isna().sum() == ROWS / 3  # type: ignore[attr-defined]
    assert opened(tmp_path, table, categorical=("x",)).spec.columns[0].kind == "categorical"


@pytest.mark.parametrize(
    "cells",
    [
        [f"PC {i}" if i % 3 == 0 else str(1000 + i) for i in range(ROWS)],  # tickets
        [f"1.{i % 30}.0" for i in range(ROWS)],  # versions
        [f"192.168.1.{i}" for i in range(ROWS)],
        [f"{i % 24:02d}:30" for i in range(ROWS)],
        ["1st", "2nd", "3rd"] * 20,
        [("1", "2", "K")[i % 3] for i in range(ROWS)],  # grades
    ],
)
def test_what_only_looks_like_numbers_is_text(tmp_path: Path, cells: list[str]) -> None:
    source = opened(tmp_path, {"x": cells, "n": [i * i for i in range(ROWS)]})
    assert source.spec.columns[0].kind == "categorical"
    assert values(source) == cells


def test_numbers_that_mean_a_missing_value(tmp_path: Path) -> None:
    source = opened(tmp_path, {"x": ["-999.0" if i == 0 else f"{i}.5" for i in range(ROWS)]}, missing=("-999",))
    assert source.splits["train"].frame["x"].isna().tolist() == [i == 0 for i in range(ROWS)]  # type: ignore[attr-defined]
    frame = pd.DataFrame({"x": [-999.0, *range(1, ROWS)], "label": [i % 2 for i in range(ROWS)]})
    frame.to_parquet(tmp_path / "d.parquet")
    source = open_source(str(tmp_path / "d.parquet"), options=DataOptions(validation=0, test=0, missing=("-999",)))
    assert source.splits["train"].frame["x"].isna().sum() == 1  # type: ignore[attr-defined]


def euro() -> dict[str, list[str]]:
    return {
        "size": [f"{i},5" for i in range(ROWS)],
        "price": [f"{1 + i % 9}.{100 + i},50 €" for i in range(ROWS)],
        "rooms": [str(i % 7) for i in range(ROWS)],
    }


def test_a_run_reads_as_it_was_trained(tmp_path: Path, refused: Any) -> None:
    source = opened(tmp_path, euro())
    fitted = fit_preprocess(source)
    again = load_preprocess(json.loads(json.dumps(fitted.files())))
    assert isinstance(again, TablePreprocess)
    expected = fitted.encode(source.splits["train"]).tensors["features"]
    assert torch.allclose(again.encode_input(tmp_path / "data.csv")["features"], expected)
    for row in ({"size": "0,5", "price": "1.100,50", "rooms": 0}, {"size": 0.5, "price": 1100.5, "rooms": "0"}):
        assert torch.allclose(again.encode_input(row)["features"], expected[:1])
    # alone, 1.100 could be either: the run knows
    (tmp_path / "one.csv").write_text("size;price;rooms\n0,5;1.100;0\n")
    found = again.encode_input(tmp_path / "one.csv")["features"]
    assert float(found[0, 1]) == pytest.approx(float(expected[0, 1]), abs=1e-2)
    other = open_source(str(tmp_path / "one.csv"), options=again.reading_options(EvaluationOptions()))
    assert values(other, "price") == [1100]
    # a file of another notation that leaves no doubt
    (tmp_path / "points.csv").write_text("size,price,rooms\n0.5,1100.50,0\n")
    assert torch.allclose(again.encode_input(tmp_path / "points.csv")["features"], expected[:1])
    (tmp_path / "doubt.csv").write_text("size,price,rooms\n0.5,1.100,0\n")
    with refused(DataError, "doubt.csv, row 1", "'1.100'", "1100 or 1.100"):
        again.encode_input(tmp_path / "doubt.csv")


def test_options_that_make_no_sense(refused: Any) -> None:
    for options in ({"decimal": ",", "thousands": ","}, {"delimiter": "::"}, {"thousands": "x"}, {"encoding": "utf-9"}):
        with refused(UsageError, next(iter(options))):
            DataOptions(**options)  # type: ignore[arg-type]
