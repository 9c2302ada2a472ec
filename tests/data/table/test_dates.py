"""Dates are calendar features or left out with a note, never categories; the order of day and month is the column's."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lamina.data.modality import fit_preprocess, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.table.preprocess import TablePreprocess
from lamina.data.tabular.dates import PARTS, parts_of
from lamina.errors import DataError

ROWS = 80
DAYS = [datetime.datetime(2019, 11, 20, 6, 30) + datetime.timedelta(days=11 * i, hours=i) for i in range(ROWS)]
ALL = tuple(f"sold {part}" for part in PARTS)


def opened(folder: Path, dates: Any, file: str = "sales.csv", **options: Any) -> Source:
    x, label = [i * 0.377 % 1 for i in range(ROWS)], ["ab"[i % 2] for i in range(ROWS)]
    table = pd.DataFrame({"x": x, "sold": dates, "label": label})
    path = folder / file
    if file.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return open_source(str(path), options=DataOptions(validation=0, test=0, **options))


def fitted(source: Source) -> TablePreprocess:
    found = fit_preprocess(source)
    assert isinstance(found, TablePreprocess)
    return found


def values(preprocess: TablePreprocess, source: Source) -> pd.DataFrame:
    """The features in their own units."""
    encoded = preprocess.encode(source.splits["train"]).tensors["features"]
    return pd.DataFrame([preprocess.undo(row) for row in encoded])


def truth(hours: bool = True) -> list[list[float]]:
    return [[d.year, d.month, d.day, d.weekday(), *([d.hour + d.minute / 60] if hours else [])] for d in DAYS]


@pytest.mark.parametrize(
    ("form", "hours"),
    [
        ("%Y-%m-%d", False),
        ("%Y/%m/%d", False),
        ("%Y-%m-%dT%H:%M:%S.000Z", True),
        ("%Y-%m-%d %H:%M:%S+00:00", True),
        ("%d.%m.%Y", False),
        ("%d.%m.%y", False),
        ("%d/%m/%Y %H:%M", True),
        ("%m/%d/%Y", False),
        ("%m/%d/%y", False),
        ("%m/%d/%Y %I:%M %p", True),
        ("%d-%m-%Y", False),
        ("%d %b %Y", False),
        ("%d-%b-%Y", False),
        ("%B %d, %Y", False),
        ("%a, %d %b %Y %H:%M:%S", True),
    ],
)
def test_dates_become_calendar_features(tmp_path: Path, form: str, hours: bool) -> None:
    source = opened(tmp_path, [day.strftime(form) for day in DAYS])
    preprocess = fitted(source)
    assert preprocess.feature_names == ("x", *ALL[: len(ALL) if hours else -1])
    found = values(preprocess, source)
    np.testing.assert_allclose(found.iloc[:, 1:].to_numpy(), truth(hours), atol=2e-3)
    assert "column 'sold' holds dates" in source.spec.notes[0]
    again = load_preprocess(json.loads(json.dumps(preprocess.files())))
    assert again == preprocess


@pytest.mark.parametrize("kind", ["datetime64[ns]", "date", "zone"])
def test_types_of_dates_in_parquet(tmp_path: Path, kind: str) -> None:
    dates = pd.Series(DAYS)
    column: Any = {"date": dates.dt.date, "zone": dates.dt.tz_localize("UTC")}.get(kind, dates)
    source = opened(tmp_path, column, "sales.parquet")
    hours = kind != "date"
    preprocess = fitted(source)
    assert preprocess.feature_names == ("x", *ALL[: len(ALL) if hours else -1])
    np.testing.assert_allclose(values(preprocess, source).iloc[:, 1:].to_numpy(), truth(hours), atol=2e-3)
    row = preprocess.encode_input({"x": 0.5, "sold": DAYS[3]})["features"]
    text = preprocess.encode_input({"x": 0.5, "sold": DAYS[3].strftime("%Y-%m-%d %H:%M")})["features"]
    assert row.equal(text)


def test_parts_that_do_not_vary_are_no_features(tmp_path: Path) -> None:
    source = opened(tmp_path, [f"2020-05-{1 + i % 28:02}" for i in range(ROWS)])
    assert fitted(source).feature_names == ("x", "sold day", "sold weekday")
    once = opened(tmp_path, ["2020-05-01"] * ROWS)
    assert fitted(once).feature_names == ("x",)
    assert "one date only" in fitted(once).notes[0]


def test_the_order_is_decided_by_the_whole_column_or_by_the_user(tmp_path: Path) -> None:
    either = [f"{1 + i % 12:02}/{1 + i % 11:02}/2020" for i in range(ROWS)]
    source = opened(tmp_path, either)
    assert fitted(source).feature_names == ("x",)
    assert "left out (--day-first or --no-day-first" in source.spec.notes[0]
    for day_first, name in ((True, "sold day"), (False, "sold month")):
        named = opened(tmp_path, either, day_first=day_first)
        found = values(fitted(named), named)
        np.testing.assert_allclose(found[name], [1 + i % 12 for i in range(ROWS)], atol=1e-3)
    one = opened(tmp_path, [*either[:-1], "31/01/2020"])  # one value that allows one reading alone decides
    np.testing.assert_allclose(values(fitted(one), one)["sold day"][:3], [1, 2, 3], atol=1e-3)


def test_missing_dates_and_what_is_no_date(tmp_path: Path) -> None:
    texts: list[str | None] = [day.strftime("%d.%m.%Y") for day in DAYS]
    gaps = [None if i % 10 == 0 else text for i, text in enumerate(texts)]
    source = opened(tmp_path, gaps)
    found = values(fitted(source), source)
    assert found["sold year"][0] == pytest.approx(np.median([d.year for i, d in enumerate(DAYS) if i % 10]), abs=1e-2)
    for wrong in ("soon", "31.02.2020"):
        with pytest.raises(DataError, match=rf"row 8: column 'sold' holds '{wrong}' where 99% .*--categorical sold"):
            opened(tmp_path, [*texts[:7], wrong, *texts[8:]])
    assert "soon" in str(opened(tmp_path, [*texts[:7], "soon", *texts[8:]], missing=("soon",)).spec.missing)

    preprocess = fitted(opened(tmp_path, texts))
    with pytest.raises(DataError, match=r"row 1: column 'sold' holds 'soon', expected a date"):
        preprocess.encode_input({"x": 1, "sold": "soon"})
    both = [preprocess.encode_input({"x": 1, "sold": one})["features"] for one in ("24.12.2020", "2020-12-24")]
    assert both[0].equal(both[1])


def test_what_only_looks_like_dates_stays_a_category(tmp_path: Path) -> None:
    for texts in (["1.2.10", "1.3.4", "2.0.1"], ["10-12", "12-14", "14-16"], ["A 12", "B 31", "C 4"]):
        source = opened(tmp_path, [texts[i % 3] for i in range(ROWS)])
        assert fitted(source).feature_names == ("x", *(f"sold={text}" for text in sorted(texts)))
        assert source.spec.notes == ()
    dates = [f"2020-0{1 + i % 3}-01" for i in range(ROWS)]
    source = opened(tmp_path, dates, categorical=("sold",))
    assert fitted(source).feature_names == ("x", *(f"sold={text}" for text in sorted(set(dates))))


def test_parts_of_single_dates() -> None:
    found = parts_of(
        ["12/31/2020 12:15 AM", "31/12/2020", "29.02.2021", "2020-07", "no", None, "1/2/69 "], "month first"
    )
    assert found[0].tolist() == [2020, 12, 31, 3, 0.25]
    assert np.isnan(found[[1, 2, 4, 5]]).all()
    assert found[3].tolist() == [2020, 7, 1, 2, 0]
