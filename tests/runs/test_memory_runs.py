"""Runs on data in memory: the bits of a training from files, and what is asked for when the data are needed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import lamina
from lamina.cli.main import main
from lamina.errors import DataError, RunError, UsageError
from lamina.runs.run import Run

RNG = np.random.default_rng(1)
X = RNG.normal(size=(80, 4)).astype(np.float32)
X[:, 2] = 1.0
Y = (X[:, 0] > 0).astype(np.int64)
GREY = (RNG.random((60, 8, 8)) * 100 + 150 * (np.arange(60) % 2)[:, None, None]).astype(np.uint8)
NAMES = [("dark", "light")[k % 2] for k in range(60)]
FRAME = pd.DataFrame(X[:, :2], columns=["a", "b"]).assign(colour=["red", "blue"] * 40, kind=[("n", "p")[k] for k in Y])


@pytest.fixture
def quick(tmp_path: Path) -> dict[str, Any]:
    return {"epochs": 3, "batch_size": 16, "directory": tmp_path / "runs", "report": False}


def same_bits(one: Run, other: Run) -> bool:
    first, second = one.model.state_dict(), other.model.state_dict()
    return one.history == other.history and all(torch.equal(first[name], second[name]) for name in first)


def test_a_frame_trains_as_its_csv_and_is_asked_for_again(tmp_path: Path, quick: dict[str, Any], capsys: Any) -> None:
    FRAME.to_csv(tmp_path / "frame.csv", index=False)
    run = lamina.train("mlp", data=FRAME, target="kind", model_options={"hidden": (8,)}, **{**quick, "report": True})
    csv = lamina.train("mlp", data=str(tmp_path / "frame.csv"), target="kind", model_options={"hidden": (8,)}, **quick)
    assert run.path.name == "mlp-memory"
    assert same_bits(run, csv)
    metrics = run.evaluate()
    assert metrics == csv.evaluate() == csv.evaluate(data=FRAME)
    assert "a data frame of 80 rows" in run.directory.report.read_text(encoding="utf-8")

    later = lamina.open_run(run.path)
    with pytest.raises(UsageError, match=r"were in memory.*data=") as caught:
        later.evaluate()
    assert "\n" not in str(caught.value)
    assert later.predict(FRAME[:3]) == run.predict(FRAME[:3])
    assert later.evaluate(data=FRAME.assign(a=0.0)) != metrics
    assert later.evaluate(data=FRAME) == metrics
    assert later.evaluate("validation") == csv.evaluate("validation")  # given once, known from then on
    assert lamina.open_run(run.path).evaluate(data=str(tmp_path / "frame.csv")) == metrics
    assert lamina.open_run(run.path, data=FRAME).report().is_file()
    with pytest.raises(RunError, match="not those"):
        lamina.open_run(run.path, data=FRAME[1:]).evaluate()

    assert main(["evaluate", str(run.path)]) != 0
    assert "--data FILE" in capsys.readouterr().err
    assert main(["evaluate", str(run.path), "--data", str(tmp_path / "frame.csv"), "--json"]) == 0
    assert f'"accuracy": {metrics["accuracy"]}' in capsys.readouterr().out
    assert main(["train", "--config", str(run.path / "config.yaml")]) == 2
    assert "a data frame of 80 rows" in capsys.readouterr().err


def test_resumed_with_the_same_data_only(tmp_path: Path, quick: dict[str, Any]) -> None:
    FRAME.to_csv(tmp_path / "frame.csv", index=False)
    settings: dict[str, Any] = {"target": "kind", "schedule": "constant", **quick}
    whole = lamina.train("mlp", data=FRAME, name="whole", **settings)
    short = {**settings, "epochs": 2}
    run = lamina.train("mlp", data=FRAME, **short)
    with pytest.raises(UsageError, match=r"were in memory.*give them again"):
        lamina.train("mlp", name=run.path.name, resume=True, **quick)
    with pytest.raises(RunError, match="not those"):
        lamina.train("mlp", data=FRAME[::-1], resume=True, **quick)
    assert same_bits(lamina.train("mlp", data=FRAME.copy(), resume=True, **quick), whole)
    lamina.train("mlp", data=FRAME, name="other", **short)
    again = lamina.train("mlp", data=str(tmp_path / "frame.csv"), name="other", resume=True, **quick)
    assert same_bits(again, whole)
    assert lamina.open_run(again.path).evaluate() == whole.evaluate()  # its data have a place now


def test_arrays_train_as_their_npz(tmp_path: Path, quick: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    expected = lamina.train("mlp", data=str(tmp_path / "a.npz"), **quick)
    run = lamina.train("mlp", data=(torch.tensor(X), Y.tolist()), **quick)
    assert same_bits(run, expected)
    rows = run.predict(X[:5])
    assert len(rows) == 5
    assert rows == run.predict([*X[:5]]) == run.predict(torch.tensor(X[:5])) == expected.predict(X[:5].tolist())
    single = [run.predict(row)[0]["probability"] for row in X[:5]]
    assert single == pytest.approx([row["probability"] for row in rows])
    with pytest.raises(DataError, match=r"3 columns.* 4"):
        run.predict(X[:, :3])
    with pytest.raises(DataError, match=r"5 columns.* 4"):
        run.predict(np.ones((2, 5)))
    named = lamina.train("mlp", data=FRAME, target="kind", **quick)
    with pytest.raises(UsageError, match=r"named columns.*a, b, colour"):
        named.predict(X[:2])
    rows = named.predict(FRAME[:3])
    assert named.predict(FRAME[:3].to_dict("records")) == rows
    assert named.predict([row for _, row in FRAME[:3].iterrows()]) == rows


def test_images_train_as_their_npz_and_are_predicted_in_any_form(tmp_path: Path, quick: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", images=GREY, labels=NAMES)
    expected = lamina.train("mlp", data=str(tmp_path / "a.npz"), **quick)
    run = lamina.train("mlp", data=(GREY, NAMES), **quick)
    assert same_bits(run, expected)
    assert run.evaluate()["accuracy"] > 0.9
    rows = run.predict(GREY[:5])
    assert [row["class"] for row in rows] == [*NAMES[:5]]
    pictures = [Image.fromarray(one) for one in GREY[:5]]
    for items in ([*GREY[:5]], GREY[:5, None], torch.tensor(GREY[:5, None]), GREY[:5, ..., None], pictures):
        assert run.predict(items) == rows
    with pytest.raises(UsageError, match="three grey images"):
        run.predict(GREY[:3])
    assert len(run.predict([*GREY[:3]])) == 3
    listed = lamina.train("mlp", data=([Image.fromarray(one) for one in GREY], NAMES), **quick)
    assert same_bits(listed, run)
    assert listed.report().is_file()


def test_texts_and_pairs(quick: dict[str, Any]) -> None:
    texts = [f"{('awful', 'lovely')[k % 2]} film {k}" for k in range(60)]
    small = {"embedding_dim": 8, "hidden_size": 8}
    run = lamina.train("lstm-classifier", data=(texts, NAMES), model_options=small, **quick)
    assert run.evaluate() == lamina.open_run(run.path).evaluate(data=[*zip(texts, NAMES, strict=True)])
    expected = run.predict(texts[:3])
    for items in (np.array(texts[:3]), pd.Series(texts[:3]), pd.DataFrame({"review": texts[:3], "stars": 1})):
        assert run.predict(items) == expected
    with pytest.raises(UsageError, match="one column of texts"):
        run.predict(pd.DataFrame({"a": texts, "b": texts}))
    lines = lamina.train("lstm-lm-small", data=texts, model_options=small, window=8, **quick)
    assert lines.generate("awful", max_new_tokens=5)
    with pytest.raises(UsageError, match="translat"):
        lamina.train("lstm-classifier", data=(texts, texts[::-1]), **quick)


def test_folds_of_data_in_memory(tmp_path: Path, quick: dict[str, Any]) -> None:
    FRAME.to_csv(tmp_path / "frame.csv", index=False)
    csv = lamina.cross_validate("mlp", data=str(tmp_path / "frame.csv"), target="kind", folds=2, **quick)
    found = lamina.cross_validate("mlp", data=FRAME, target="kind", folds=2, **quick)
    assert found.mean == csv.mean
    assert found.path.name == "mlp-memory-folds"
    again = lamina.cross_validate("mlp", data=FRAME, target="kind", resume=True, **quick)
    assert again.metrics == found.metrics


def test_a_configuration_file_with_data_in_memory(tmp_path: Path, quick: dict[str, Any]) -> None:
    first = lamina.train("mlp", data=(X, Y), seed=3, **quick)
    again = lamina.train(config=str(first.path / "config.yaml"), data=(X, Y), directory=tmp_path, report=False)
    assert same_bits(first, again)
