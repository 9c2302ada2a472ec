"""Rows, windows and splits of series, against counts by hand; ETTh1 by its protocol."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lamina
from lamina.data.modality import fit_preprocess
from lamina.data.protocols import Needs
from lamina.data.series.windows import Windows
from lamina.errors import DataError, UsageError

DATA = Path(os.environ.get("LAMINA_DATA", "/nowhere"))
needs_ett = pytest.mark.skipif(not (DATA / "etth1/ETTh1.csv").is_file(), reason="LAMINA_DATA has no ETTh1")


def daily(rows: int, **columns: Any) -> pd.DataFrame:
    times = pd.date_range("2020-01-01", periods=rows, freq="D").strftime("%Y-%m-%d")
    return pd.DataFrame({"date": times, **(columns or {"y": np.arange(rows, dtype=float)})})


def opened(frame: Any, **options: Any) -> lamina.data.source.Source:  # type: ignore[name-defined]
    return lamina.open_source(frame, options=lamina.DataOptions(**options))


def windows(frame: Any, split: str = "train", **options: Any) -> Windows:
    source = opened(frame, **options)
    preprocess = fit_preprocess(source, Needs(options=lamina.DataOptions(**options)))
    found: Windows = preprocess.encode(source.splits[split])
    return found


def test_a_series_is_divided_by_time_and_only_contexts_reach_back() -> None:
    source = opened(daily(100), time="date", horizon=3, context=5)
    assert dict(source.spec.sizes) == {"train": 70, "validation": 10, "test": 20}
    of = {split: windows(daily(100), split, time="date", horizon=3, context=5) for split in source.splits}
    assert {split: len(one) for split, one in of.items()} == {"train": 63, "validation": 8, "test": 18}
    std = float(np.arange(70).std())
    for split, first in (("train", 5), ("validation", 70), ("test", 80)):
        batch = of[split].take(slice(0, 1))
        values = torch.cat([batch["past"], batch["target"]], 1).flatten() * std + 34.5
        torch.testing.assert_close(values, torch.arange(first - 5.0, first + 3.0), atol=1e-4, rtol=0)


def test_windows_are_places_in_one_tensor_and_nothing_is_dropped() -> None:
    found = windows(daily(1000), time="date", horizon=3, context=5)
    assert found.rows_RD.numel() == 1000
    assert found.starts_W.shape == (693,)
    again = torch.cat(
        [batch["target"] for batch in found.batches([torch.arange(512), torch.arange(512, 693)], 0, None)]
    )  # type: ignore[arg-type]
    assert torch.equal(again, found.take(slice(None))["target"])


@pytest.mark.parametrize("shuffled", [False, True])
def test_long_tables_have_series_that_no_window_mixes(shuffled: bool) -> None:
    frame = pd.concat([daily(50, y=np.arange(50.0) + 1000 * k).assign(unique_id=f"s{k}") for k in range(3)])
    if shuffled:
        frame = frame.sample(frac=1, random_state=0)
    source = opened(frame.reset_index(drop=True), time="date", horizon=2, context=4)
    assert dict(source.spec.sizes) == {"train": 105, "validation": 15, "test": 30}
    options = lamina.DataOptions(time="date", horizon=2, context=4, scale="channel")
    preprocess = fit_preprocess(source, Needs(options=options))
    for split in source.splits.values():
        batch = preprocess.encode(split).tensors
        own = torch.cat([batch["past"], batch["target"]], 1) * batch["std"][:, None] + batch["mean"][:, None]
        assert torch.allclose(own.diff(dim=1), torch.ones(()), atol=1e-2)


def test_each_series_has_its_own_scale_from_its_training_rows() -> None:
    frame = pd.concat([daily(50, y=np.arange(50.0) * 10**k).assign(unique_id=f"s{k}") for k in range(2)])
    options = lamina.DataOptions(time="date", horizon=2, context=4)
    preprocess = fit_preprocess(opened(frame, time="date", horizon=2, context=4), Needs(options=options))
    expected = np.arange(35.0)
    np.testing.assert_allclose(preprocess.means, [[expected.mean()], [10 * expected.mean()]])
    np.testing.assert_allclose(preprocess.stds, [[expected.std()], [10 * expected.std()]])


def test_rows_divide_as_they_say_and_the_rest_is_noted() -> None:
    source = opened(daily(100), time="date", horizon=2, context=3, rows=(50, 20, 25))
    assert dict(source.spec.sizes) == {"train": 50, "validation": 20, "test": 25}
    assert any("5 rows are not used" in note for note in source.spec.notes)
    with pytest.raises(UsageError, match="asks for 120 rows"):
        opened(daily(100), time="date", rows=(50, 20, 50))


def test_a_group_keeps_whole_series_in_one_split() -> None:
    frame = pd.concat([daily(20).assign(unit=k) for k in range(10)], ignore_index=True)
    source = opened(frame, time="date", series=("unit",), group="unit", horizon=2)
    held = {name: {*split.panel.series_of[split.rows()].tolist()} for name, split in source.splits.items()}
    assert sum(map(len, held.values())) == 10
    assert not held["train"] & held["test"]
    assert not held["train"] & held["validation"]


def test_the_scaler_sees_training_rows_alone() -> None:
    plain, spiked = daily(100), daily(100)
    spiked.loc[80:, "y"] = 1e9
    options = {"time": "date", "horizon": 3, "context": 5}
    fitted = [
        fit_preprocess(opened(frame, **options), Needs(options=lamina.DataOptions(**options)))
        for frame in (plain, spiked)
    ]
    assert fitted[0] == fitted[1]


def test_a_table_with_dates_says_that_rows_are_divided_at_random() -> None:
    frame = daily(100, price=np.random.default_rng(0).normal(size=100), size=np.arange(100) % 7)
    table = opened(frame, target="price")
    assert table.spec.kind == "table"
    assert any("at random" in note and "--time date" in note for note in table.spec.notes)
    assert opened(frame, target="price", time="date").spec.kind == "series"
    assert opened(frame, target="price", horizon=4).spec.kind == "series"


def test_a_window_longer_than_every_series_names_what_is_possible() -> None:
    with pytest.raises(DataError, match="context 90, horizon 3"):
        windows(daily(100), time="date", horizon=3, context=90)
    with pytest.raises(DataError, match="longer than the 10 validation rows"):
        windows(daily(100), time="date", horizon=15, context=5)


def test_short_series_are_named_and_the_others_trained() -> None:
    frame = pd.concat([daily(60).assign(id="long"), daily(8).assign(id="short")], ignore_index=True)
    options = lamina.DataOptions(time="date", horizon=3, context=6, series=("id",))
    source = lamina.open_source(frame, options=options)
    preprocess = fit_preprocess(source, Needs(options=options))
    assert any("1 of 2 series" in note and "'short'" in note for note in preprocess.notes)
    assert len(preprocess.encode(source.splits["train"])) == 42 - 9 + 1


@needs_ett
@pytest.mark.parametrize(
    ("context", "horizon", "counts"),
    [(96, 96, (8449, 2785, 2785)), (336, 96, (8209, 2785, 2785)), (96, 24, (8521, 2857, 2857))],
)
def test_etth1_has_the_windows_of_its_protocol(context: int, horizon: int, counts: tuple[int, ...]) -> None:
    options = lamina.DataOptions(task="forecasting", rows=(8640, 2880, 2880), context=context, horizon=horizon)
    source = lamina.open_source(str(DATA / "etth1/ETTh1.csv"), options=options)
    preprocess = fit_preprocess(source, Needs(options=options))
    assert tuple(len(preprocess.encode(split)) for split in source.splits.values()) == counts
    assert (preprocess.frequency.name, preprocess.season) == ("h", 24)
    np.testing.assert_allclose((preprocess.means[0][6], preprocess.stds[0][6]), (17.1283, 9.1765), atol=5e-5)
    assert any("3,020 rows are not used" in note for note in source.spec.notes)
