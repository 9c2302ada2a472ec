"""Tables of series as people have them: what is read, what is refused and how the message helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

import lamina
from lamina.cli.main import main
from lamina.data.modality import fit_preprocess
from lamina.data.protocols import Needs
from lamina.data.series.frequency import Frequency, frequency_named
from lamina.data.series.panel import Panel, Series
from lamina.data.source import Source
from lamina.errors import DataError, LaminaError, UsageError


def rows(times: Any, **columns: Any) -> pd.DataFrame:
    times = list(times)
    return pd.DataFrame({"date": times, **(columns or {"y": np.arange(len(times), dtype=float)})})


def opened(frame: Any, **options: Any) -> Source:
    return lamina.open_source(frame, options=lamina.DataOptions(**{"time": "date", **options}))


def panel(frame: Any, **options: Any) -> Panel:
    return cast(Series, opened(frame, **options).splits["train"]).panel


def texts(start: str, count: int, freq: str, form: str = "%Y-%m-%d %H:%M") -> list[str]:
    return list(pd.date_range(start, periods=count, freq=freq).strftime(form))


@pytest.mark.parametrize(
    ("freq", "name", "season"),
    [
        ("s", "s", 60), ("min", "min", 1440), ("5min", "5min", 288), ("30min", "30min", 48), ("h", "h", 24),
        ("D", "D", 7), ("B", "B", 5), ("W", "W", 52), ("MS", "MS", 12), ("ME", "ME", 12), ("QS", "QS", 4),
        ("QE", "QE", 4), ("YS", "YS", 1), ("6h", "6h", 4), ("2D", "2D", 4),
    ],
)  # fmt: skip
def test_the_frequency_is_found_and_the_season_follows(freq: str, name: str, season: int) -> None:
    found = panel(rows(texts("2020-01-01", 40, freq, "%Y-%m-%d %H:%M:%S")))
    assert (found.frequency.name, found.season) == (name, season)
    assert frequency_named(name) == found.frequency
    due = pd.DatetimeIndex(found.frequency.after(int(found.stamps_R[-1]), 5))
    expected = pd.date_range(pd.Timestamp(int(found.stamps_R[-1])), periods=6, freq=freq)[1:]
    assert list(due) == list(expected)


def test_months_on_other_days_end_where_a_month_is_shorter() -> None:
    found = panel(rows(["2020-01-30", "2020-02-29", "2020-03-30", "2020-04-30", "2020-05-30"], y=[1.0, 2, 3, 4, 5]))
    assert found.frequency == Frequency(unit="months", count=1, day=30)
    assert list(pd.DatetimeIndex(found.frequency.after(int(found.stamps_R[-1]), 2)).strftime("%m-%d")) == [
        "06-30",
        "07-30",
    ]


def test_numbers_are_steps_or_dates() -> None:
    assert panel(rows(range(0, 60, 3))).frequency == Frequency(unit="steps", count=3)
    dates = [int(text) for text in texts("2020-01-25", 30, "D", "%Y%m%d")]
    assert panel(rows(dates)).frequency.name == "D"
    assert any("20200125 is 2020-01-25" in note for note in opened(rows(dates)).spec.notes)
    seconds = [1_600_000_000 + 3600 * k for k in range(30)]
    assert panel(rows(seconds)).frequency.name == "h"
    assert panel(rows([1000 * one for one in seconds])).frequency.name == "h"
    assert panel(rows(range(1950, 1990))).frequency.name == "YS"
    with pytest.raises(DataError, match=r"row 2: column 'date' holds '0\.5'"):
        panel(rows([0.0, 0.5, 1.0]))


def test_rows_without_a_time_are_in_their_order() -> None:
    frame = pd.DataFrame({"y": np.arange(50.0)})
    source = lamina.open_source(frame, options=lamina.DataOptions(horizon=3))
    assert dict(source.spec.sizes) == {"train": 35, "validation": 5, "test": 10}
    assert any("no column of time" in note for note in source.spec.notes)


def test_rows_out_of_order_are_sorted_and_counted() -> None:
    frame = rows(texts("2020-01-01", 40, "D")).sample(frac=1, random_state=1)
    found = opened(frame)
    assert any("not in order of time" in note for note in found.spec.notes)
    assert panel(frame).frame["y"].tolist() == list(range(40))
    newest_first = rows(texts("2020-01-01", 40, "D")).iloc[::-1]
    assert panel(newest_first).frame["y"].tolist() == list(range(40))


def test_two_values_at_one_time_are_refused_and_repeated_rows_dropped() -> None:
    times = texts("2020-01-01", 20, "D")
    frame = rows([*times[:6], times[4], *times[6:]])
    with pytest.raises(DataError, match=r"row 7: 2020-01-05 is there twice, first in .*row 5.*--skip-bad.*--series"):
        opened(frame)
    assert len(panel(frame, skip_bad=True).stamps_R) == 20
    same = pd.concat([rows(times), rows(times).iloc[3:5]])
    assert len(panel(same).stamps_R) == 20
    assert any("2 rows repeat a time" in note for note in opened(same).spec.notes)


def test_a_clock_that_goes_back_names_the_hour() -> None:
    times = texts("2020-10-25 00:00", 3, "h") + texts("2020-10-25 02:00", 20, "h")
    with pytest.raises(DataError, match=r"2020-10-25 02:00 is there twice.*clocks change"):
        opened(rows(times))


def test_a_gap_is_refused_filled_or_split() -> None:
    times = texts("2020-01-01", 40, "D")
    frame = rows(times).drop(index=[10, 11, 25])
    with pytest.raises(
        DataError, match=r"2 rows from 2020-01-11 are missing before 2020-01-13 .*2 gaps, 3 rows.*--gaps fill"
    ):
        opened(frame)
    filled = panel(frame, gaps="fill")
    assert len(filled.stamps_R) == 40
    assert filled.frame["y"].isna().to_numpy().nonzero()[0].tolist() == [10, 11, 25]
    parts = panel(frame, gaps="split")
    assert np.diff(parts.borders).tolist() == [10, 13, 14]
    options = lamina.DataOptions(time="date", context=4, horizon=2, gaps="split", rows=(30, 0, 7))
    source = lamina.open_source(frame, options=options)
    windows = fit_preprocess(source, Needs(options=options)).encode(source.splits["train"])
    assert len(windows) == (10 - 5) + (13 - 5) + (7 - 5)
    assert torch.equal((windows.rows_RD[:, 0].diff() > 0.2).nonzero()[:, 0], torch.tensor([9, 22]))


def test_a_filled_gap_is_not_counted() -> None:
    frame = rows(texts("2020-01-01", 60, "D")).drop(index=[20])
    options = lamina.DataOptions(time="date", context=4, horizon=2, gaps="fill")
    source = lamina.open_source(frame, options=options)
    batch = fit_preprocess(source, Needs(options=options)).encode(source.splits["train"]).tensors
    assert int((~batch["observed"]).sum()) == 2


def test_the_missing_hour_in_march_names_the_change_of_clocks() -> None:
    times = texts("2020-03-28 00:00", 26, "h") + texts("2020-03-29 03:00", 20, "h")
    with pytest.raises(DataError, match=r"2020-03-29 02:00 is missing.*clocks change on this day"):
        opened(rows(times))
    zoned = [f"{text}+01:00" for text in times[:26]] + [f"{text}+02:00" for text in times[26:]]
    assert len(panel(rows(zoned)).stamps_R) == 46
    assert any("read as UTC" in note for note in opened(rows(zoned)).spec.notes)


def test_mixed_time_zones_are_refused() -> None:
    times = texts("2020-01-01 00:00", 10, "h")
    with pytest.raises(DataError, match=r"row 5: .*with a time zone, where the rows before have none"):
        opened(rows([*times[:4], times[4] + "Z", *times[5:]]))


def test_day_and_month_are_told_apart_or_asked_for() -> None:
    written = texts("2020-01-01", 60, "D", "%d/%m/%Y")
    assert panel(rows(written)).frequency.name == "D"
    assert panel(rows(texts("2020-01-01", 60, "D", "%m/%d/%Y"))).frequency.name == "D"
    assert panel(rows(texts("2020-01-01", 60, "D", "%d.%m.%Y"))).frequency.name == "D"
    assert panel(rows(texts("2020-01-01", 24, "MS", "%b %d %Y"))).frequency.name == "MS"
    either = texts("2020-01-01", 12, "D", "%d/%m/%Y")
    with pytest.raises(DataError, match="could be either: --day-first or --no-day-first"):
        opened(rows(either))
    assert panel(rows(either), day_first=True).frequency.name == "D"
    assert panel(rows(either), day_first=False).frequency.name == "MS"


def test_a_time_that_is_none_is_named_with_its_row() -> None:
    times = texts("2020-01-01", 20, "D", "%Y-%m-%d")
    with pytest.raises(DataError, match="row 8: column 'date' holds '2020-13-40'"):
        opened(rows([*times[:7], "2020-13-40", *times[8:]]))
    with pytest.raises(DataError, match="row 3: column 'date', the time, is empty"):
        opened(rows([*times[:2], None, *times[3:]]))
    with pytest.raises(DataError, match="holds 'spring', expected a date"):
        opened(rows(["spring", "summer", "autumn", "winter"]))


def test_stamps_off_the_grid_are_refused_or_brought_to_it() -> None:
    times = texts("2020-01-01 00:00:00", 40, "h", "%Y-%m-%d %H:%M:%S")
    times[12] = "2020-01-01 12:00:07"
    with pytest.raises(DataError, match="2020-01-01 12:00:07 is not on the grid of h"):
        opened(rows(times))
    found = panel(rows(times), frequency="h")
    assert len(found.stamps_R) == 40
    with pytest.raises(DataError, match="less than one step of D"):
        opened(rows(times), frequency="D")
    with pytest.raises(UsageError, match="frequency 'fortnight' is not known"):
        opened(rows(times), frequency="fortnight")


def test_infinite_values_are_refused_and_missing_ones_noted() -> None:
    values = np.arange(40.0)
    with pytest.raises(DataError, match="row 4: column 'y' holds an infinite number"):
        opened(rows(texts("2020-01-01", 40, "D"), y=np.where(values == 3, np.inf, values)))
    found = opened(rows(texts("2020-01-01", 40, "D"), y=np.where(values < 2, np.nan, values)))
    assert any("'y' 2" in note for note in found.spec.notes)


def test_a_constant_series_is_noted_and_has_no_mase() -> None:
    frame = rows(texts("2020-01-01", 60, "D"), y=np.ones(60))
    options = lamina.DataOptions(time="date", context=4, horizon=2)
    preprocess = fit_preprocess(lamina.open_source(frame, options=options), Needs(options=options))
    assert any("constant in training: 'y'; MASE is not defined" in note for note in preprocess.notes)
    assert np.isnan(preprocess.scales[0][0])
    assert preprocess.stds[0][0] == 1.0


def test_columns_with_wrong_roles_are_refused() -> None:
    frame = rows(texts("2020-01-01", 40, "D"), y=np.arange(40.0), town=["Ulm", "Rom"] * 20)
    with pytest.raises(UsageError, match="unknown known column 'holidays'"):
        opened(frame, known=("holidays",))
    with pytest.raises(UsageError, match="'y' has two roles"):
        opened(frame, target="y", past=("y",))
    with pytest.raises(DataError, match="target 'town' holds 'Ulm', but a series is of numbers"):
        opened(frame, target="town")
    with pytest.raises(UsageError, match="unknown time column 'when'"):
        opened(frame, time="when")
    with pytest.raises(UsageError, match="three numbers"):
        opened(frame, rows=(10, 20))
    with pytest.raises(UsageError, match=r"folds .* not for series"):
        opened(frame, folds=3, fold=1)


def test_a_unit_in_two_splits_is_refused(tmp_path: Path) -> None:
    times = texts("2020-01-01", 30, "D")
    whole = rows(times).assign(unit="a")
    whole.iloc[:20].to_csv(tmp_path / "train.csv", index=False)
    whole.iloc[10:].to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(LaminaError, match=r"2020-01-11 in series 'a' is in two splits"):
        opened(str(tmp_path), series=("unit",))
    whole.iloc[20:].to_csv(tmp_path / "test.csv", index=False)
    assert dict(opened(str(tmp_path), series=("unit",)).spec.sizes) == {"train": 18, "validation": 2, "test": 10}
    whole.assign(split=["test"] * 10 + ["train"] * 20).to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(DataError, match=r"series 'a' is in test and, after that, at 2020-01-11 in train"):
        opened(str(tmp_path / "one.csv"), series=("unit",))
    with pytest.raises(DataError, match="'a' of column 'unit' is in train and in another split"):
        opened(str(tmp_path), series=("unit",), group="unit")


def test_files_of_whole_series_are_divided_by_series(tmp_path: Path) -> None:
    times = texts("2020-01-01", 30, "D")
    pd.concat([rows(times).assign(unit=f"u{k}") for k in range(8)]).to_csv(tmp_path / "train.csv", index=False)
    rows(times).assign(unit="v").to_csv(tmp_path / "test.csv", index=False)
    found = opened(str(tmp_path), series=("unit",))
    assert dict(found.spec.sizes) == {"train": 210, "validation": 30, "test": 30}


def test_parquet_and_frames_are_read_like_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"date": pd.date_range("2020-01-01", periods=40, freq="h"), "y": np.arange(40.0)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    of = [opened(str(tmp_path / "a.csv")), opened(str(tmp_path / "a.parquet")), opened(frame)]
    assert len({one.spec.fingerprint for one in of}) == 1


def test_embedded_series(capsys: pytest.CaptureFixture[str]) -> None:
    weather = lamina.open_source("seattle-weather", options=lamina.DataOptions(target="temp_max"))
    assert sum(weather.spec.sizes.values()) == 1461
    described = lamina.describe(weather)
    assert described["span"] == "2012-01-01 to 2015-12-31"
    assert (described["frequency"], described["gaps"], described["duplicates"]) == ("D", 0, 0)
    stocks = lamina.open_source("stocks")
    found = cast(Series, stocks.splits["train"]).panel
    lengths = {name: len(found.rows_of(k)) for k, name in enumerate(found.names)}
    assert lengths == {"MSFT": 123, "AMZN": 123, "IBM": 123, "GOOG": 68, "AAPL": 123}
    assert found.frequency.name == "MS"
    with pytest.raises(DataError, match=r"2010-03-14 03:00 is missing.*clocks change"):
        lamina.open_source("seattle-temps")
    temps = lamina.open_source("seattle-temps", options=lamina.DataOptions(gaps="fill"))
    assert sum(temps.spec.sizes.values()) == 8760
    assert main(["data", "stocks"]) == 0
    out = capsys.readouterr().out
    for words in ("2000-01-01 to 2010-03-01", "MS", "5, of 68 to 123 rows", "price"):
        assert words in out


def test_options_of_series_are_refused_for_other_data() -> None:
    options = lamina.DataOptions(horizon=4)
    source = lamina.open_source("digits", options=options)
    with pytest.raises(UsageError, match=r"horizon \(--horizon\) is for series, but the data are images"):
        fit_preprocess(source, Needs(options=options))
