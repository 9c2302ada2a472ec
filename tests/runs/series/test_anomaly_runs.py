"""Anomalies: scores of rows, thresholds from training alone, post-processing that looks back only, folders of NAB."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lamina
from lamina.errors import DataError, UsageError
from lamina.tasks.anomaly.options import AlarmOptions
from lamina.tasks.anomaly.scoring import LEAST, silenced, standardised, threshold
from lamina.tasks.anomaly.task import SETTLED

SMALL: dict[str, Any] = {
    "task": "anomaly",
    "context": 12,
    "epochs": 8,
    "lr": 0.003,
    "batch_size": 32,
    "accelerator": "cpu",
}
NETS = {
    "mlp-forecaster": {"hidden": [16], "dropout": 0.0},
    "linear-forecaster": {},
    "autoencoder": {"hidden": [16], "latent": 4},
    "autoencoder-lstm": {"hidden_size": 6, "latent": 3},
}


def sensors(rows: int = 400) -> pd.DataFrame:
    draw, t = np.random.default_rng(0), np.arange(rows)
    a, b = np.sin(t / 4) + 0.05 * draw.normal(size=rows), np.cos(t / 7) + 0.05 * draw.normal(size=rows)
    return pd.DataFrame({"time": pd.date_range("2020-01-01", periods=rows, freq="h"), "a": a, "b": 30 * b + 100})


def trained(model: str, table: pd.DataFrame, folder: Path, **options: Any) -> lamina.Run:
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "sensors.csv", index=False)
    settings = {**SMALL, "model_options": NETS[model], "report": False, **options}
    return lamina.train(model, data=folder / "sensors.csv", time="time", directory=folder / "runs", **settings)


@pytest.mark.parametrize("model", NETS)
def test_the_row_that_is_out_of_line_and_its_channel(model: str, tmp_path: Path) -> None:
    table = sensors()
    table.loc[370, "b"] += 150
    run = trained(model, table, tmp_path)
    rows = run.predict(table)
    assert len(rows) == len(table) - 12
    by_row = {12 + k: row for k, row in enumerate(rows)}
    assert by_row[370]["time"] == table["time"][370].strftime("%Y-%m-%d %H:%M")
    assert by_row[370]["alarm"]
    assert by_row[370]["channel"] == "b"
    largest = max(by_row, key=lambda k: by_row[k]["score"])
    assert 370 <= largest < 370 + 12  # an autoencoder's window holds it for its whole length
    again = lamina.open_run(run.path)
    assert again.predict(table) == rows
    # rows that come later change nothing before
    cut = run.predict(table.iloc[:300])
    assert cut == rows[: 300 - 12]
    silent = run.predict(table, standardise=60, silence=40)
    cut = run.predict(table.iloc[:300], standardise=60, silence=40)
    assert [row["alarm"] for row in cut] == [row["alarm"] for row in silent[: 300 - 12]]
    assert [row["score"] for row in cut] == pytest.approx([row["score"] for row in silent[: 300 - 12]], rel=1e-6)
    found = run.evaluate()
    assert 0 < found["alarms"] < 1
    assert "auroc" not in found


def test_rows_of_test_change_no_weight_and_no_threshold(tmp_path: Path) -> None:
    first = trained("mlp-forecaster", sensors(), tmp_path / "a")
    table = sensors()
    table.loc[390, "a"] = 1e6
    second = trained("mlp-forecaster", table, tmp_path / "b")
    for one, other in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert first.evaluate()["threshold"] == second.evaluate()["threshold"]
    assert (first.path / "preprocess.json").read_text() == (second.path / "preprocess.json").read_text()


def test_the_threshold_of_standardised_scores_is_of_all_training_rows_as_they_are_predicted(tmp_path: Path) -> None:
    table = sensors(700)
    run = trained("linear-forecaster", table, tmp_path)
    train, validation = (run.source.splits[name].rows() for name in ("train", "validation"))  # type: ignore[attr-defined]
    before = 12 + SETTLED  # of a row: its context, and the scores that it is standardised by
    for share in (0.001, 0.02, 0.2):
        bound = run.evaluate(standardise=200, false_alarms=share)["threshold"]
        z = np.array([row["score"] for row in run.predict(table, standardise=200)])[SETTLED:]
        z = z[: len(train) + len(validation) - before]
        assert bound == pytest.approx(np.sort(z)[::-1][int(share * len(z))], rel=1e-4)
    # as they are, scores count of held-out rows alone
    plain = np.array([row["score"] for row in run.predict(table)])[len(train) - 12 :][: len(validation)]
    assert run.evaluate(false_alarms=0.1)["threshold"] == pytest.approx(np.sort(plain)[::-1][int(0.1 * len(plain))])


def test_a_run_without_scores_of_training_rows_uses_those_held_out(tmp_path: Path) -> None:
    run = trained("linear-forecaster", sensors(), tmp_path)
    kept = dict(run.task.fitted)  # type: ignore[attr-defined]
    run.task.load_finalized({name: kept[name] for name in ("scores", "series")})
    score = kept["scores"]
    task: Any = run.task.evaluated_with(AlarmOptions(standardise=20, false_alarms=0.1))
    assert task.threshold() == threshold(standardised(score, 20), 0.1)


def test_what_is_done_to_scores() -> None:
    score = torch.from_numpy(np.random.default_rng(0).exponential(size=300))
    found = standardised(score, 50)
    for t in range(300):
        before = score[max(0, t - 50) : t].numpy()
        expected = abs(score[t].item() - before.mean()) / before.std() if len(before) >= LEAST else 0.0
        assert found[t].item() == pytest.approx(expected, rel=1e-6)
    assert not standardised(torch.ones(100), 50).any()  # a constant score, and no division by 0
    assert not standardised(torch.full((100,), 1e6 + 0.1), 50).any()
    kept = silenced(score, 20)
    for t in range(300):
        above = bool((score[t] > score[max(0, t - 20) : t]).all())
        assert kept[t].item() == (score[t].item() if above else -np.inf)
    assert torch.equal(silenced(score, 0), score)
    assert len(silenced(score[:0], 5)) == len(standardised(score[:0], 5)) == 0
    for share in (0.001, 0.01, 0.5):
        bound = threshold(score, share)
        assert (score > bound).sum() <= share * 300 < (score >= bound).sum()


@pytest.fixture
def nab(tmp_path: Path) -> Path:
    folder = tmp_path / "nab"
    (folder / "data" / "made").mkdir(parents=True)
    (folder / "labels").mkdir()
    windows = {}
    for number in range(3):
        table = sensors(300).rename(columns={"time": "timestamp", "a": "value"})[["timestamp", "value"]]
        if number < 2:
            table.loc[200 + number, "value"] += 6
            ends = table["timestamp"][[196, 206]].dt.strftime("%Y-%m-%d %H:%M:%S.%f").tolist()
            windows[f"made/{number}.csv"] = [ends]
        table.loc[50, "timestamp"] = table["timestamp"][49]  # a stamp that is there twice
        table.to_csv(folder / "data" / "made" / f"{number}.csv", index=False)
    (folder / "labels" / "combined_windows.json").write_text(json.dumps({**windows, "made/2.csv": []}))
    return folder


def test_a_folder_of_nab(nab: Path, tmp_path: Path) -> None:
    source = lamina.open_source(nab)
    panel: Any = source.splits["train"].panel  # type: ignore[attr-defined]
    assert (source.spec.kind, source.spec.task, panel.names) == (
        "series",
        "anomaly",
        tuple(f"made/{k}.csv" for k in range(3)),
    )
    assert len(source.splits["train"]) + len(source.splits["validation"]) == 3 * 45
    assert np.flatnonzero(panel.anomalous_R).tolist() == [*range(196, 207), *range(496, 507)]
    settings = {**SMALL, "epochs": 30, "model_options": NETS["mlp-forecaster"], "report": False, "directory": tmp_path}
    run = lamina.train("mlp-forecaster", data=nab, **settings)
    found = run.evaluate()
    assert found["auroc"] > 0.5
    assert 0 < found["ap"] <= 1
    assert found["found"] == 1
    assert {row["file"] for row in run.predict()} == set(panel.names)


def test_labels_change_nothing_of_training(nab: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "model_options": NETS["mlp-forecaster"], "report": False}
    first = lamina.train("mlp-forecaster", data=nab, directory=tmp_path / "a", **settings)
    (nab / "labels" / "combined_windows.json").write_text("{}")
    second = lamina.train("mlp-forecaster", data=nab, directory=tmp_path / "b", **settings)
    for one, other in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert "auroc" not in second.evaluate()


def test_what_is_refused(nab: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the model restores windows: it has no horizon"):
        trained("autoencoder", sensors(), tmp_path, horizon=4)
    run = trained("linear-forecaster", sensors(), tmp_path, validation=0.0)
    with pytest.raises(UsageError, match="no validation rows for a threshold"):
        run.predict(sensors())
    for wrong in ({"standardise": -1}, {"silence": -1}, {"false_alarms": 0.0}, {"false_alarms": 1.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            run.predict(sensors(), **wrong)
    with pytest.raises(UsageError, match="divided as its benchmark has it"):
        lamina.open_source(nab, options=lamina.DataOptions(rows=(100, 10, 10)))
    (nab / "labels" / "combined_windows.json").write_text(json.dumps({"made/0.csv": [["1999-01-01", "1999-01-02"]]}))
    with pytest.raises(DataError, match=r"1999-01-01 is no row of made/0.csv"):
        lamina.open_source(nab)


NAB = Path(os.environ.get("LAMINA_DATA", "nowhere")) / "nab"


@pytest.mark.skipif(not NAB.is_dir(), reason="LAMINA_DATA has no nab")
def test_the_subset_of_nab() -> None:
    source = lamina.open_source(NAB)
    panel: Any = source.splits["train"].panel  # type: ignore[attr-defined]
    assert sum(map(len, source.splits.values())) == len(panel.stamps_R) == 170_424
    assert len(panel.names) == 32
    edges = np.diff(np.concatenate([[0], panel.anomalous_R.astype(int), [0]]))
    assert (edges == 1).sum() == 48
    train = np.concatenate([source.splits[name].rows() for name in ("train", "validation")])  # type: ignore[attr-defined]
    assert not panel.anomalous_R[train].any()  # no window starts in the probation
