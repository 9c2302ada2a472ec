"""Runs that forecast: trained on small tables, opened again, exported, resumed, and never told the future."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import lamina
from lamina.data.protocols import Needs
from lamina.data.series.fitting import fit_series
from lamina.data.series.items import History
from lamina.data.series.panel import Series
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare
from lamina.training.events import StepDone

MODELS = {
    "dlinear": {"kernel_size": 5},
    "mlp-forecaster": {"hidden": (8,)},
    "nbeats": {"hidden_size": 8, "blocks": 2},
    "lstm-forecaster": {"hidden_size": 6},
    "gru-forecaster": {"hidden_size": 6},
    "seq2seq-forecaster": {"hidden_size": 6},
    "deepar": {"hidden_size": 6},
    "tcn": {},
    "patchtst": {"patch_size": 4, "stride": 2},
}


def table(rows: int = 300, start: str = "2020-01-01", freq: str = "D", seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    step = np.arange(rows)
    times = pd.date_range(start, periods=rows, freq=freq)
    holiday = (draw.random(rows) < 0.1).astype(int)
    sales = 50 + 10 * np.sin(2 * np.pi * step / 7) + 8 * holiday + draw.normal(size=rows)
    return pd.DataFrame({
        "date": times.strftime("%Y-%m-%d"), "sales": sales.round(3), "holiday": holiday,
        "visitors": draw.integers(50, 90, rows),
    })  # fmt: skip


def trained(frame: Any, folder: Path, model: str = "linear-forecaster", **options: Any) -> lamina.Run:
    given = {"time": "date", "target": "sales", "horizon": 7, "context": 14, "epochs": 2, **options}
    return lamina.train(model, data=frame, directory=folder, report=False, name=given.pop("name", None), **given)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lamina.Run:
    folder = tmp_path_factory.mktemp("sales")
    table().to_csv(folder / "sales.csv", index=False)
    return lamina.train(
        "linear-forecaster", data=str(folder / "sales.csv"), directory=folder, known=("holiday",), time="date",
        target="sales", horizon=7, context=14, epochs=8, lr=0.02,
    )  # fmt: skip


def future(frame: pd.DataFrame, steps: int = 7) -> pd.DataFrame:
    last = pd.Timestamp(frame["date"].iloc[-1])
    due = pd.date_range(last, periods=steps + 1)[1:]
    return pd.DataFrame({"date": due.strftime("%Y-%m-%d"), "holiday": 0})


def test_evaluation_stands_beside_simple_forecasts(run: lamina.Run) -> None:
    found = run.evaluate()
    for name in ("naive", "seasonal_naive", "seasonal_mean", "least_squares"):
        assert {f"{name}_mse", f"{name}_mae", f"{name}_mase", f"skill_mae_over_{name}"} <= set(found)
        assert found[f"skill_mae_over_{name}"] == pytest.approx(100 * (1 - found["mae"] / found[f"{name}_mae"]))
    assert {"own_mae", "own_rmse", "smape", "mase", "crps", "coverage_80", "width_90", "rolling_coverage_80"} <= set(
        found
    )
    std = run.preprocess.stds[0][0]  # type: ignore[attr-defined]
    assert found["own_mae"] == pytest.approx(found["mae"] * std, rel=1e-5)
    assert lamina.open_run(run.path).evaluate() == found


def test_errors_per_step_and_stride(run: lamina.Run) -> None:
    found = run.evaluate(per="step")
    steps = [found[f"step {h}_mae"] for h in range(1, 8)]
    assert np.mean(steps) == pytest.approx(found["mae"], rel=1e-6)
    assert run.evaluate(stride=7)["mae"] != found["mae"]
    with pytest.raises(UsageError, match="stride"):
        run.evaluate(stride=0)


def test_refitting_sees_rows_before_each_origin_alone(run: lamina.Run) -> None:
    found = run.evaluate(refit=30, stride=7)
    assert found["mae"] < run.evaluate(stride=7)["naive_mae"]
    assert found["naive_mae"] == pytest.approx(run.evaluate(stride=7)["naive_mae"], rel=0.2)


def test_what_is_due_after_the_end_and_after_a_newer_history(run: lamina.Run) -> None:
    rows = run.predict(known=future(table()))
    assert [row["date"] for row in rows] == [f"2020-10-{day}" for day in range(27, 32)] + ["2020-11-01", "2020-11-02"]
    assert all(row["sales_lower_90"] < row["sales_lower_80"] < row["sales"] < row["sales_upper_80"] for row in rows)
    newer = table(400)
    later = run.predict(newer, known=future(newer))
    assert later[0]["date"] == "2021-02-04"
    assert run.predict(History(newer, known=future(newer))) == later


def test_known_values_that_are_missing_are_named(run: lamina.Run) -> None:
    with pytest.raises(DataError, match=r"'holiday' of 2020-10-27 to 2020-11-02"):
        run.predict()
    with pytest.raises(DataError, match="lacks values known ahead of 2020-11-01, 2020-11-02"):
        run.predict(known=future(table(), 5))
    with pytest.raises(DataError, match="'holiday'"):
        run.predict(known=future(table()).drop(columns="holiday"))
    gappy = future(table()).astype({"holiday": object})
    gappy.loc[2, "holiday"] = None
    with pytest.raises(DataError, match="'holiday' is empty at 2020-10-29"):
        run.predict(known=gappy)


def test_a_history_that_does_not_fit_is_refused(run: lamina.Run) -> None:
    frame = table(400)
    known = future(frame)
    with pytest.raises(DataError, match="has 10 rows, but the model looks at 14"):
        run.predict(frame.tail(10), known=known)
    with pytest.raises(DataError, match="lacks 'sales'"):
        run.predict(frame.drop(columns="sales"), known=known)
    hours = frame.assign(date=pd.date_range("2020-01-01", periods=400, freq="h").strftime("%Y-%m-%d %H:%M"))
    with pytest.raises(DataError, match=r"on the grid of D|a row every h"):
        run.predict(hours, known=known)
    with pytest.raises(DataError, match="2020-04-10 is missing"):
        run.predict(frame.drop(index=100), known=known)


def test_levels_that_cannot_be_had_are_refused(run: lamina.Run) -> None:
    with pytest.raises(UsageError, match="levels they allow: up to"):
        run.predict(known=future(table()), level=(99,))
    with pytest.raises(UsageError, match="samples are drawn from a distribution"):
        run.predict(known=future(table()), samples=10)


@pytest.mark.parametrize(
    ("rows", "wanted", "parts"),
    [
        (300, None, ("weekday", "day")),
        (1200, None, ("weekday", "day", "day of year")),  # 840 days of training: a year twice
        (300, True, ("weekday", "day", "day of year")),
        (300, False, ()),
        (60, None, ("weekday",)),
    ],
)
def test_the_calendar_is_what_comes_again_in_training_rows(
    rows: int, wanted: bool | None, parts: tuple[str, ...], tmp_path: Path
) -> None:
    options = {} if wanted is None else {"calendar": wanted}
    source = lamina.open_source(
        table(rows), options=lamina.DataOptions(time="date", target="sales", horizon=3, context=5)
    )
    needs = Needs(
        options=lamina.DataOptions(horizon=3, context=5, **options), model=lamina.create_model("mlp-forecaster").config
    )
    preprocess: Any = fit_series(source, needs)
    assert preprocess.parts == parts


def test_a_constant_series_is_forecast_and_one_without_values_is_refused(tmp_path: Path) -> None:
    frame = table(120)[["date", "sales"]]
    found = trained(frame.assign(sales=3.0), tmp_path, epochs=1).evaluate()
    assert found["least_squares_mae"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(DataError, match="column 'sales', a target, has no value in the training rows"):
        trained(frame.assign(sales=np.nan), tmp_path, epochs=1, name="nothing")


def test_a_model_that_is_trained_anew_has_the_inputs_of_the_run(tmp_path: Path) -> None:
    """Once 731 days are there, the day of the year comes again: the run was trained without it."""
    frame = table(1000)[["date", "sales"]]
    run = trained(frame, tmp_path, "mlp-forecaster", epochs=1, rows=(700, 100, 200), model_options={"hidden": (4,)})
    assert run.preprocess.parts == ("weekday", "day")  # type: ignore[attr-defined]
    again = lamina.open_run(run.path, data=frame)
    assert again.evaluate(refit=100, stride=50)["mse"] > 0


def test_an_exported_file_forecasts_the_same(run: lamina.Run) -> None:
    pytest.importorskip("onnxruntime")
    path = run.export("onnx").path
    item = History(table(330), known=future(table(330)))
    ours, exported = run.predict(item), lamina.open_exported(path).predict(item)
    assert [row["date"] for row in ours] == [row["date"] for row in exported]
    for mine, other in zip(ours, exported, strict=True):
        assert mine.keys() == other.keys()
        # in own units float32 has seven digits of the value itself
        assert abs(mine["sales"] - other["sales"]) <= 1e-6 * max(abs(mine["sales"]), run.preprocess.stds[0][0])  # type: ignore[attr-defined]


def test_the_report_and_the_inspection_show_forecasts(run: lamina.Run) -> None:
    page = (run.path / "report.html").read_text()
    for words in ("Beside simple forecasts", "least squares", "MAE by step", "Coverage", "Worst windows"):
        assert words in page
    seen = run.inspect(table())
    assert seen.effect_LC.shape == (14, 1)
    assert seen.maps["linear"].shape == (7, 14)
    html = run.inspection(table()).html()
    assert "What the forecast depends on" in html
    assert "Weights" in html


@pytest.mark.parametrize(
    ("freq", "due"),
    [
        ("B", ["2021-02-24", "2021-02-25", "2021-02-26", "2021-03-01", "2021-03-02", "2021-03-03", "2021-03-04"]),
        ("ME", ["2045-01-31", "2045-02-28", "2045-03-31", "2045-04-30", "2045-05-31", "2045-06-30", "2045-07-31"]),
        ("MS", ["2045-01-01", "2045-02-01", "2045-03-01", "2045-04-01", "2045-05-01", "2045-06-01", "2045-07-01"]),
        ("W", ["2025-10-05", "2025-10-12", "2025-10-19", "2025-10-26", "2025-11-02", "2025-11-09", "2025-11-16"]),
    ],
)
def test_the_dates_are_those_that_are_due(freq: str, due: list[str], tmp_path: Path) -> None:
    frame = table(300, freq=freq)[["date", "sales"]]
    run = trained(frame, tmp_path, epochs=1)
    assert [row["date"] for row in lamina.open_run(run.path, data=frame).predict()] == due


@pytest.mark.parametrize("model", MODELS)
def test_nothing_after_an_origin_changes_its_forecast(model: str, tmp_path: Path) -> None:
    """A plant in the future of a window, in target and inputs of the past, leaves its forecast as it is."""
    frame = table(120)
    run = trained(frame, tmp_path, model, epochs=1, batch_size=16, model_options=MODELS[model])
    planted = frame.copy()
    planted.loc[110:, ["sales", "visitors"]] = 1e4
    rows = []
    for one in (frame, planted):
        panel = run.preprocess.panel(History(one))  # type: ignore[attr-defined]
        windows = run.preprocess.encode(Series(panel, panel.borders[:-1], panel.borders[1:]))
        chosen = torch.nonzero(windows.starts_W + 14 <= 110)[:, 0]
        batch = windows.take(chosen)
        with torch.no_grad():
            rows.append(run.task.point(run.task.outputs(run.model, batch)))
    assert torch.equal(*rows)
    history = frame.iloc[:110]
    assert run.predict(history) == run.predict(frame.iloc[:110].copy())


def test_a_spike_in_the_test_rows_changes_nothing_that_is_fitted(tmp_path: Path) -> None:
    frame, spiked = table(200), table(200)
    spiked.loc[165, ["sales", "visitors"]] = 1e6
    runs = [trained(one, tmp_path, name=name) for name, one in (("plain", frame), ("spiked", spiked))]
    one, other = (torch_file(run.path / "model.safetensors") for run in runs)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert runs[0].preprocess == runs[1].preprocess
    assert torch.equal(runs[0].fitted["residuals"], runs[1].fitted["residuals"])


def torch_file(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_an_interrupted_training_is_resumed_to_the_bit(tmp_path: Path) -> None:
    frame = table(200)
    options: dict[str, Any] = {
        "data": frame, "time": "date", "target": "sales", "horizon": 7, "context": 14, "epochs": 2, "batch_size": 16,
        "checkpoint_every": 3,
    }  # fmt: skip
    straight = lamina.train("linear-forecaster", name="straight", directory=tmp_path, report=False, **options)
    training = prepare("linear-forecaster", options, name="broken", directory=tmp_path)
    with closing(training.events()) as events:
        for event in events:
            if isinstance(event, StepDone) and event.step == 10:
                break
    broken = lamina.train("linear-forecaster", name="broken", directory=tmp_path, resume=True, report=False, data=frame)
    one, other = (torch_file(run.path / "model.safetensors") for run in (straight, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(straight.fitted["residuals"], broken.fitted["residuals"])


def test_missing_values_are_not_counted_and_inputs_repeat_what_was_before(tmp_path: Path) -> None:
    frame = table(200)
    frame.loc[[20, 21, 150, 170], "sales"] = np.nan
    run = trained(frame, tmp_path)
    assert any("'sales' 4" in note for note in run.source.spec.notes)
    batch = run.preprocess.encode(run.source.splits["test"]).tensors
    assert int((~batch["observed"]).sum()) == 7
    assert all(
        torch.isfinite(value).all() for name, value in batch.items() if name != "scale" and value.is_floating_point()
    )
    assert np.isfinite(run.evaluate()["mae"])


def test_several_series_have_errors_each_and_new_ones_are_forecast(tmp_path: Path) -> None:
    frame = pd.concat(
        [table(150, seed=k)[["date", "sales"]].assign(shop=name, sales=lambda one, k=k: one["sales"] * 10**k)
         for k, name in enumerate(("small", "large"))]
    )  # fmt: skip
    run = trained(frame, tmp_path, series=("shop",))
    found = run.evaluate(per="series")
    assert {"small_mae", "large_mae"} <= set(found)
    rows = run.predict()
    assert [row["shop"] for row in rows] == ["small"] * 7 + ["large"] * 7
    new = table(60, seed=9)[["date", "sales"]].assign(shop="new", sales=lambda one: one["sales"] * 1000)
    found_new = run.predict(new)
    assert 30_000 < np.mean([row["sales"] for row in found_new]) < 70_000


def test_quantiles_are_sorted_and_levels_follow(tmp_path: Path) -> None:
    run = trained(table(200), tmp_path, objective={"name": "pinball", "quantiles": 9}, monitor="crps")
    found = run.evaluate(level=(60,))
    assert {"coverage_60", "width_60"} <= set(found)
    rows = run.predict(level=(20, 60, 80))
    assert all(row["sales_lower_80"] <= row["sales_lower_60"] <= row["sales_lower_20"] <= row["sales"] for row in rows)
    with pytest.raises(UsageError, match="levels up to 80, not 95"):
        run.predict(level=(95,))


def test_a_distribution_draws_paths_and_counts_are_not_negative(tmp_path: Path) -> None:
    frame = table(120)[["date", "sales"]].assign(sales=np.random.default_rng(0).poisson(3, 120))
    options = {"model_options": {"hidden_size": 6}, "batch_size": 16}
    counts = {"name": "likelihood", "distribution": "negative-binomial"}
    run = trained(frame, tmp_path, "deepar", objective=counts, **options)
    assert not run.preprocess.standardised  # type: ignore[attr-defined]
    rows = run.predict(samples=5, seed=1)
    assert {f"sales_sample_{n}" for n in range(1, 6)} <= set(rows[0])
    assert min(row[f"sales_sample_{n}"] for row in rows for n in range(1, 6)) >= 0
    assert rows == run.predict(samples=5, seed=1)
    assert {"crps", "coverage_80"} <= set(run.evaluate())
    with pytest.raises(UsageError, match="negative-binomial is for counts"):
        trained(frame.assign(sales=frame["sales"] - 5), tmp_path, "deepar", objective=counts, **options)
