"""Remaining life: files of C-MAPSS, tables of units, windows, errors and intervals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lamina
from lamina.data.options import DataOptions
from lamina.data.series.life import ends_of
from lamina.errors import DataError, UsageError

SMALL: dict[str, Any] = {"context": 6, "epochs": 2, "batch_size": 32, "report": False, "accelerator": "cpu"}
NET = {"hidden_size": 8}
PATCHES = {"patch_size": 3, "stride": 2, "model_width": 8, "heads": 2, "feed_forward": 16, "dropout": 0.0}


def lines(lives: list[int], seed: int, seen: list[int] | None = None) -> str:
    """Engines of these lives whose fourth sensor drifts to their end, of which so many cycles are seen."""
    draw, rows = np.random.default_rng(seed), []
    for unit, life in enumerate(lives, 1):
        for cycle in range(1, (seen or lives)[unit - 1] + 1):
            values = [*draw.normal(size=2), 100.0, *draw.normal(size=21)]
            values[6] = 3 * (cycle / life) ** 3 + 0.05 * draw.normal()
            rows.append(f"{unit} {cycle} " + " ".join(f"{value:.4f}" for value in values) + "  ")
    return "\n".join(rows) + "\n"


TEST_LIVES, TEST_SEEN = [30, 24, 40, 20], [27, 12, 12, 10]


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "train_FD001.txt").write_text(lines([28, 35, 22, 31, 26, 40, 33, 24, 29, 5], 0))
    (folder / "test_FD001.txt").write_text(lines(TEST_LIVES, 1, TEST_SEEN))
    (folder / "RUL_FD001.txt").write_text(
        "".join(f"{life - seen}\n" for life, seen in zip(TEST_LIVES, TEST_SEEN, strict=True))
    )
    return folder


def trained(data: Any, tmp_path: Path, model: str = "lstm-forecaster", **options: Any) -> lamina.Run:
    nets = {"lstm-forecaster": NET, "gru-forecaster": NET, "patchtst": PATCHES}
    given = {"model_options": nets[model]} if model in nets else {}
    return lamina.train(model, data=data, directory=tmp_path / "runs", **{**SMALL, **given, **options})


def test_engines_are_series_with_the_cycles_left(engines: Path) -> None:
    source = lamina.open_source(engines, options=DataOptions(validation=0.2))
    assert (source.spec.kind, source.spec.task, source.spec.targets) == ("series", "remaining-life", ("cycles_left",))
    panel: Any = source.splits["train"].panel  # type: ignore[attr-defined]
    frame = panel.frame.assign(unit=np.array(panel.names)[panel.series_of])
    assert frame[frame.unit == "train 1"].cycles_left.tolist() == list(range(27, -1, -1))
    assert frame[frame.unit == "test 2"].cycles_left.tolist() == list(range(23, 11, -1))
    units = {name: set(part.panel.series_of[part.rows()].tolist()) for name, part in source.splits.items()}  # type: ignore[attr-defined]
    assert len(units["validation"]) == 2
    assert not units["train"] & units["validation"]
    assert len(units["test"]) == 4
    again = lamina.open_source(engines / "train_FD001.txt", options=DataOptions(validation=0.2))
    assert again.spec.fingerprint == source.spec.fingerprint


def test_windows_end_in_every_row_of_training_and_in_the_last_of_test(engines: Path) -> None:
    source = lamina.open_source(engines, options=DataOptions(validation=0.0))
    ends, firsts = ends_of(source.splits["train"], 6)  # type: ignore[arg-type]
    lives = [28, 35, 22, 31, 26, 40, 33, 24, 29]
    assert len(ends) == sum(life - 5 for life in lives)  # the tenth is shorter than the context
    assert (ends - 5 >= firsts).all()
    assert len(ends_of(source.splits["test"], 100)[0]) == 4  # type: ignore[arg-type]


def test_short_units_repeat_their_first_row(engines: Path, tmp_path: Path) -> None:
    run = trained(engines, tmp_path, "mlp-forecaster", context=11, model_options={"hidden": [4]})
    source = lamina.open_source(engines)
    preprocess: Any = run.preprocess
    windows: Any = preprocess.encode(source.splits["test"])
    batch = windows.take(slice(None))
    assert batch["past"].shape[:2] == (4, 11)
    assert torch.equal(batch["target"][:, 0], torch.tensor([3.0, 12.0, 28.0, 10.0]))
    shortest = batch["past"][3]  # 10 of 20 cycles are seen
    assert torch.equal(shortest[0], shortest[1])
    assert not torch.equal(shortest[1], shortest[2])


@pytest.mark.parametrize("model", ["lstm-forecaster", "mlp-forecaster", "tcn", "patchtst"])
def test_a_net_learns_what_is_left(engines: Path, tmp_path: Path, model: str) -> None:
    run = trained(engines, tmp_path, model, epochs=30, validation=0.2, lr=0.01, objective={"name": "mse", "cap": 25})
    found = run.evaluate(level=(80,))
    assert found["rmse"] < found["baseline_rmse"]
    assert found["rmse_capped"] <= found["rmse"] + 1e-6 or max(TEST_LIVES) <= 50
    assert 0 <= found["coverage_80"] <= 1
    again = lamina.open_run(run.path)
    assert again.evaluate(level=(80,)) == found
    # the history of an engine: one row for it, with its interval, the target neither needed nor looked at
    rows = [line.split() for line in (engines / "test_FD001.txt").read_text().splitlines()]
    names = ["unit", "cycle", "o1", "o2", "o3", *(f"s{k}" for k in range(1, 22))]
    table = pd.DataFrame(rows, columns=names).astype(float)
    table["unit"] = [f"engine {unit:g}" for unit in table["unit"]]
    table.to_csv(tmp_path / "history.csv", index=False)
    plain = again.predict(tmp_path / "history.csv")
    assert [row["unit"] for row in plain] == [f"engine {k}" for k in range(1, 5)]
    true = np.array(TEST_LIVES) - TEST_SEEN
    error = np.array([row["cycles_left"] for row in plain]) - true
    assert float(np.sqrt((error**2).mean())) == pytest.approx(found["rmse"], rel=1e-4)
    score = sum(np.expm1(-d / 13) if d < 0 else np.expm1(d / 10) for d in error)
    assert score == pytest.approx(found["phm_score"], rel=1e-3)
    assert found["late"] == (error > 0).mean()
    for row in plain:
        assert row["cycles_left_lower_80"] <= row["cycles_left"]
        assert row["cycles_left_upper_80"] is None or row["cycles_left_upper_80"] >= row["cycles_left"]


def test_test_engines_change_nothing_of_training(engines: Path, tmp_path: Path) -> None:
    first = trained(engines, tmp_path / "a")
    text = (engines / "test_FD001.txt").read_text().splitlines()
    cells = text[3].split()
    cells[9] = "1e6"
    (engines / "test_FD001.txt").write_text("\n".join([*text[:3], " ".join(cells), *text[4:]]))
    second = trained(engines, tmp_path / "b")
    for name in ("preprocess.json",):
        assert (first.path / name).read_text() == (second.path / name).read_text()
    weights = [run.model.state_dict() for run in (first, second)]
    assert all(torch.equal(one, other) for one, other in zip(*(part.values() for part in weights), strict=True))


def table_of_units(counts: list[int]) -> pd.DataFrame:
    draw, rows = np.random.default_rng(0), []
    for unit, count in enumerate(counts):
        rows += [{"machine": f"m{unit}", "hour": k, "wear": k / count + draw.normal() / 50} for k in range(count)]
    return pd.DataFrame(rows)


def test_a_table_of_units_is_counted_back(tmp_path: Path) -> None:
    table = table_of_units([20, 15, 25, 18, 22, 16, 19, 21])
    table.to_csv(tmp_path / "machines.csv", index=False)
    run = trained(
        tmp_path / "machines.csv", tmp_path, task="remaining-life", series=("machine",), drop=("hour",), epochs=6
    )
    assert run.preprocess.roles.targets == ("rows_left",)  # type: ignore[attr-defined]
    found = run.evaluate()
    assert found["baseline_rmse"] > 0
    assert [next(iter(row)) for row in run.predict(table[table.machine == "m3"].iloc[:9])] == ["machine"]


def test_a_unit_in_two_splits_is_refused(tmp_path: Path) -> None:
    table = table_of_units([20, 15, 25, 18]).drop(columns="hour")
    table["rul"] = 30.0
    table["split"] = ["train"] * 70 + ["test"] * 8
    table.to_csv(tmp_path / "split.csv", index=False)
    with pytest.raises(DataError, match=r"'m3' of column 'machine' is in train and in another split|unit 'm3' is in"):
        trained(tmp_path / "split.csv", tmp_path, task="remaining-life", series=("machine",), target="rul")


Change = Callable[[Path], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "RUL_FD001.txt").write_text("3\n4\n"), "RUL_FD001.txt has 2 lines, but .* has 4 engines"),
        (
            lambda f: (f / "RUL_FD001.txt").write_text("3\n4\n5\nx\n"),
            "line 4 holds 'x', expected a number",
        ),
        (lambda f: (f / "RUL_FD001.txt").write_text("3\n4\n5\n-1\n"), "line 4 holds -1, expected cycles from 0 on"),
        (lambda f: (f / "RUL_FD001.txt").unlink(), "needs RUL_FD001.txt beside it"),
        (lambda f: (f / "train_FD001.txt").write_text("1 1 2\n"), "train_FD001.txt, line 1: 3 numbers, expected 26"),
        (
            lambda f: (f / "train_FD001.txt").write_text(" ".join("1" * 25) + " nan\n"),
            "a number that is not finite",
        ),
        (lambda f: (f / "train_FD001.txt").write_text(""), "train_FD001.txt is empty"),
        (
            lambda f: (f / "train_FD001.txt").write_text("\n".join(["1 1 " + "0 " * 24, "1 3 " + "0 " * 24])),
            "cycle 3 of unit 1 does not follow the one before",
        ),
    ],
)
def test_files_that_are_wrong(engines: Path, change: Change, message: str) -> None:
    change(engines)
    with pytest.raises(DataError, match=message):
        lamina.open_source(engines)


def test_several_sets_and_other_mistakes(engines: Path, tmp_path: Path) -> None:
    (engines / "train_FD002.txt").write_text(lines([20, 20, 20], 3))
    with pytest.raises(UsageError, match="holds FD001, FD002: name one file of train"):
        lamina.open_source(engines)
    assert lamina.open_source(engines / "train_FD002.txt").spec.task == "remaining-life"
    with pytest.raises(UsageError, match="can be trained for forecasting"):
        trained(engines / "train_FD001.txt", tmp_path, "dlinear", task="remaining-life")
    with pytest.raises(DataError, match="no unit has the 50 rows of a window: --context"):
        trained(engines / "train_FD001.txt", tmp_path, context=50)
    with pytest.raises(UsageError, match="--series names the column"):
        trained(table_of_units([9]).rename(columns={"machine": "m"}), tmp_path, task="remaining-life")


FD001 = Path(os.environ.get("LAMINA_DATA", "nowhere")) / "cmapss_fd001"


@pytest.mark.skipif(not FD001.is_dir(), reason="LAMINA_DATA has no cmapss_fd001")
def test_the_protocol_of_fd001() -> None:
    source = lamina.open_source(FD001, options=DataOptions(validation=0.0))
    train: Any = source.splits["train"]
    assert len(train) == 20_631
    assert len(source.splits["test"]) == 13_096
    ends, _ = ends_of(train, 30)
    assert len(ends) == 17_731
    ends, _ = ends_of(source.splits["test"], 30)  # type: ignore[arg-type]
    life = train.panel.frame["cycles_left"].to_numpy()
    assert len(ends) == 100
    assert (life[ends].min(), life[ends].max(), (life[ends] > 125).sum()) == (7, 145, 11)
    constant = train.panel.frame.iloc[train.rows()].nunique() == 1
    assert sorted(constant[constant].index) == ["o3", "s1", "s10", "s16", "s18", "s19", "s5"]
    rows = train.rows()
    mean = np.minimum(life[rows], 125).mean()
    assert float(np.sqrt(((life[ends] - mean) ** 2).mean())) == pytest.approx(43.07, abs=0.01)
