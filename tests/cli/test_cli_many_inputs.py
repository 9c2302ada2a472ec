"""Many inputs: folders, patterns, lists, tables, texts; files of predictions; what fails is reported, others go on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import lamina
from lamina.errors import DataWarning
from lamina.runs.run import Run

Lamina = Callable[..., tuple[int, str, str]]
CITIES = ("Oslo", "Rome", "Turin")


def picture(path: Path, shade: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (6, 6), shade).save(path)
    return str(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs images, table, years and texts."""
    home = tmp_path_factory.mktemp("home")
    for i in range(40):
        picture(home / "photos" / ("dark", "bright")[i % 2] / f"{i}.png", 200 * (i % 2) + i)
    rows = [f"{i % 7},{CITIES[i % 3]},{('no', 'yes')[i % 2]},{1990 + i % 30 + 0.25}" for i in range(60)]
    (home / "people.csv").write_text("age,city,label,year\n" + "\n".join(rows))
    words = [f"{('awful', 'lovely')[i % 2]} story number {i} told here\t{('bad', 'good')[i % 2]}" for i in range(60)]
    (home / "reviews.tsv").write_text("sentence\tlabel\n" + "\n".join(words))
    common: dict[str, Any] = {"batch_size": 8, "directory": home / "runs", "report": False}
    lamina.train("mlp", data=str(home / "photos"), epochs=12, name="images", lr=0.01, **common)
    lamina.train("mlp", data=str(home / "people.csv"), target="label", drop=("year",), steps=2, name="table", **common)
    lamina.train("mlp", data=str(home / "people.csv"), target="year", drop=("label",), steps=2, name="years", **common)
    tiny = {"embedding_dim": 4, "hidden_size": 4}
    lamina.train("lstm-classifier", data=str(home / "reviews.tsv"), steps=2, name="texts", model_options=tiny, **common)
    return home / "runs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """new/ with pictures at two depths, other files, hidden ones, a run; and one that is no picture."""
    for i in range(6):
        picture(tmp_path / "new" / ("" if i < 3 else "deep/er") / f"{i}.png", 40 * i)
    picture(tmp_path / "new" / ".hidden" / "x.png", 0)
    picture(tmp_path / "new" / "run" / "inspect" / "x.png", 0)
    (tmp_path / "new" / "run" / "config.yaml").write_text("format: 1\n")
    (tmp_path / "new" / "run" / "card.json").write_text("{}")
    (tmp_path / "new" / "notes.md").write_text("of me")
    return tmp_path / "new"


NAMES = ["0.png", "1.png", "2.png", "deep/er/3.png", "deep/er/4.png", "deep/er/5.png"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("given", ["folder", "pattern", "list", "list beside", "words"])
def test_images_of_a_folder_a_pattern_and_a_list(given: str, runs: Path, folder: Path, lamina: Lamina) -> None:
    names = [f"new/{name}" for name in NAMES]
    (folder.parent / "list.txt").write_text("\n".join(names) + "\n\n")
    (folder / "beside.txt").write_text("\r\n".join(NAMES))
    words = {
        "folder": ["new"],
        "pattern": ["new/*.png", "new/deep/**/*.png"],
        "list": ["list.txt"],
        "list beside": ["new/beside.txt"],
        "words": names,
    }[given]
    status, out, err = lamina("predict", runs / "images", *words, "--out", "p.csv")
    assert (status, err) == (0, "")
    assert out == "wrote 6 predictions to p.csv\n"
    rows = read(Path("p.csv"))
    assert [row["item"] for row in rows] == names
    one_by_one = open_run(runs / "images").predict(*names)
    known = dict(zip(names, one_by_one, strict=True))
    for row in rows:
        for shade in ("dark", "bright"):
            assert float(row[f"probabilities.{shade}"]) == pytest.approx(known[row["item"]]["probabilities"][shade])
        assert row["class"] == known[row["item"]]["class"]


def open_run(path: Path) -> Run:
    return lamina.open_run(path)


def test_one_bad_file_is_reported_and_the_rest_goes_on(runs: Path, folder: Path, lamina: Lamina) -> None:
    for name in ("3a.png", "0.jpg"):
        (folder / name).write_bytes(b"no picture")
    for suffix in (".csv", ".jsonl", ".parquet"):
        status, _, err = lamina("predict", runs / "images", "new", "nowhere.png", "--out", f"p{suffix}")
        assert status == 1
        assert [line for line in err.splitlines() if "3a.png" in line]
        assert "no such file: nowhere.png" in err
        assert err.splitlines()[-1] == "lamina: 3 inputs failed, 6 succeeded"
    tables = [pd.read_csv("p.csv"), pd.read_json("p.jsonl", lines=True), pd.read_parquet("p.parquet")]
    assert [sorted(Path(item).name for item in table["item"]) for table in tables] == [
        [f"{i}.png" for i in range(6)]
    ] * 3
    np.testing.assert_array_equal(tables[0]["probability"], tables[2]["probability"])
    assert all(np.float32(value) == value for value in tables[0]["probability"]), "all digits of single precision"
    status, out, err = lamina("predict", runs / "images", "new/0.png", "new/0.jpg", "--json")
    assert (status, len(json.loads(out))) == (1, 1)
    assert "0.jpg" in err


def test_nothing_is_written_where_nothing_succeeds(runs: Path, folder: Path, lamina: Lamina) -> None:
    Path("p.csv").write_text("kept")
    (folder / "x.png").write_text("no")
    for words, expected in ((["new/x.png"], 1), (["nowhere"], 2), (["no/*.png"], 2), (["new/x.png", "nowhere"], 2)):
        status, out, err = lamina("predict", runs / "images", *words, "--out", "p.csv")
        assert (status, out) == (expected, ""), err
    assert Path("p.csv").read_text() == "kept"
    for name, message in (("p.txt", ".csv, .jsonl or .parquet"), ("no/p.csv", "no folder no")):
        status, _, err = lamina("predict", runs / "images", "new/0.png", "--out", name)
        assert status == 2
        assert message in err


def test_images_are_predicted_in_batches(runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(runs / "images")
    sizes: list[int] = []
    whole = run.task.predict
    monkeypatch.setattr(run.task, "predict", lambda m, b: sizes.append(len(b["image"])) or whole(m, b))  # type: ignore[func-returns-value]
    assert len(run.predict(str(folder))) == len(run.predict([str(folder / name) for name in NAMES])) == 6
    assert len(run.predict(str(folder / "*.png"), np.zeros((6, 6), np.uint8))) == 4
    assert sizes == [6, 6, 4]
    assert run.embed(folder).shape[0] == 6 if "embed" in run.verbs else True
    with pytest.raises(lamina.UsageError, match="no images in the folder"):
        run.predict(str(runs / "images"))


def test_rows_of_tables(runs: Path, tmp_path: Path, lamina: Lamina) -> None:
    (tmp_path / "in").mkdir()
    for name, count in (("a.csv", 3), ("b.csv", 1)):
        (tmp_path / "in" / name).write_text("city,age\n" + "Rome,3\n" * count)
    (tmp_path / "in" / "c.csv").write_text("city\nRome\n")
    (tmp_path / "in" / "d.csv").write_text("city,age\nRome,3\nRome,old\n")
    row = '{"age": 3, "city": "Rome"}'
    status, _, err = lamina("predict", runs / "table", "in", row, "--out", "p.csv")
    assert status == 1
    assert "c.csv lacks 1 of the training columns: age" in err
    assert "d.csv, row 2" in err
    rows = read(Path("p.csv"))
    assert [(one["item"], one["row"]) for one in rows] == [
        ("in/a.csv", "1"), ("in/a.csv", "2"), ("in/a.csv", "3"), ("in/b.csv", "1"), (row, ""),
    ]  # fmt: skip
    assert len({one["probabilities.yes"] for one in rows}) == 1
    run = open_run(runs / "table")
    assert len(run.predict([{"age": 3, "city": "Rome"}] * 4)) == 4
    assert run.predict(str(tmp_path / "in/*[ab].csv")) == run.predict(tmp_path / "in/a.csv", tmp_path / "in/b.csv")
    status, _, err = lamina("predict", runs / "table", "{broken", row)
    assert (status, "not a JSON object" in err) == (1, True)


def test_unseen_categories_are_noted(runs: Path, tmp_path: Path, lamina: Lamina) -> None:
    values = ["Rome", "Paris", "Paris", "oslo", *(f"x{i}" for i in range(6))]
    (tmp_path / "new.csv").write_text("city,age,year,label\n" + "\n".join(f"{city},3,2000,yes" for city in values))
    status, _, err = lamina("predict", runs / "table", "new.csv")
    assert status == 0
    assert err.count("note:") == 1
    assert "new.csv: column 'city'" in err
    assert "'Paris' (2 rows), 'oslo' (1 row)" in err
    assert "and 3 more" in err
    status, _, err = lamina("evaluate", runs / "table", "--data", "new.csv")
    assert status == 0, err
    assert "'Paris' (2 rows)" in err
    with pytest.warns(DataWarning, match="'Bern' \\(1 row\\)"):
        open_run(runs / "table").predict({"age": 2, "city": "Bern"})
    status, _, err = lamina("predict", runs / "table", '{"age": 2, "city": "Rome"}')
    assert (status, err) == (0, "")


def test_years_and_large_values_are_readable(runs: Path, lamina: Lamina) -> None:
    status, out, _ = lamina("predict", runs / "years", '{"age": 3, "city": "Rome"}')
    value = out.split()[-1]
    assert status == 0
    assert len(value.split(".")[0]) == 4, "no separator within a year"
    assert "e" not in value
    assert value.replace(".", "").isdigit()


def test_texts_of_files_tables_and_folders(runs: Path, tmp_path: Path, lamina: Lamina) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "one.txt").write_text("a lovely story\nof two lines\n")
    (tmp_path / "many" / "two.txt").write_text("awful")
    (tmp_path / "lines.txt").write_text("a lovely story\n\nawful story\n")
    (tmp_path / "table.csv").write_text("id,sentence,label\n1,a lovely story,good\n2,,bad\n3,awful story,bad\n")
    words = ["a lovely story", "what? a *lovely* story", "many", "lines.txt", "table.csv"]
    status, _, err = lamina("predict", runs / "texts", *words, "--out", "p.jsonl")
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in Path("p.jsonl").read_text().splitlines()]
    assert [(one["item"], one["row"]) for one in rows] == [
        ("a lovely story", None), ("what? a *lovely* story", None), ("many/one.txt", None), ("many/two.txt", None),
        *(("lines.txt", i) for i in (1, 2, 3)), *(("table.csv", i) for i in (1, 2, 3)),
    ]  # fmt: skip
    told = {(one["item"], one["row"]): one["probability"] for one in rows}
    assert told["lines.txt", 1] == pytest.approx(told["a lovely story", None])
    assert told["table.csv", 3] == pytest.approx(told["lines.txt", 3])
    assert told["lines.txt", 2] is told["table.csv", 2] is None
    run = open_run(runs / "texts")
    assert len(run.predict(tmp_path / "many", ["a", "b"], "c")) == 5
    status, _, err = lamina("embed", runs / "texts", "lines.txt", "many", "--out", "e.parquet")
    assert (status, err) == (0, "")
    assert list(pd.read_parquet("e.parquet")["item"])[:2] == ["lines.txt, row 1", "lines.txt, row 2"]


def test_a_file_of_predictions_begins_with_rows_without_one(runs: Path, tmp_path: Path, lamina: Lamina) -> None:
    (tmp_path / "late.txt").write_text("\n\na lovely story\n")
    for suffix in (".csv", ".parquet"):
        assert lamina("predict", runs / "texts", "late.txt", "--out", f"p{suffix}")[0] == 0
    for table in (pd.read_csv("p.csv"), pd.read_parquet("p.parquet")):
        assert table["probabilities.good"].isna().tolist() == [True, True, False]
        assert table["row"].tolist() == [1, 2, 3]


def test_features_without_names_are_not_written_with_gaps(runs: Path, folder: Path, lamina: Lamina) -> None:
    (folder / "bad.png").write_text("no")
    status, _, err = lamina("embed", runs / "images", "new", "--out", "f.npy")
    assert status == 1
    assert not Path("f.npy").exists()
    assert "write a .csv" in err
    status, _, _ = lamina("embed", runs / "images", "new", "--out", "f.csv")
    assert (status, len(read(Path("f.csv")))) == (1, 6)


def test_an_exported_file_takes_the_same(runs: Path, folder: Path, lamina: Lamina) -> None:
    pytest.importorskip("onnxruntime")
    (folder / "bad.png").write_text("no")
    file = open_run(runs / "images").export("onnx").path
    tables = []
    for words in ([runs / "images"], [file]):
        status, _, err = lamina("predict", *words, "new", "--out", "p.csv")
        assert (status, err.splitlines()[-1]) == (1, "lamina: 1 input failed, 6 succeeded")
        tables.append(pd.read_csv("p.csv"))
    assert list(tables[0]["item"]) == list(tables[1]["item"])
    np.testing.assert_allclose(tables[0]["probability"], tables[1]["probability"], atol=1e-5)


def test_a_file_of_the_runs_name_hides_no_run(runs: Path, folder: Path, lamina: Lamina) -> None:
    Path("images").write_text("of me")
    assert lamina("predict", "images", "new/0.png", "--runs", runs)[0] == 0


def test_metrics_that_are_shares_do_not_exceed_one() -> None:
    import torch

    from lamina.runs.evaluation import measure

    class Perfect:
        def metrics(self) -> Any:
            from torchmetrics import MetricCollection
            from torchmetrics.classification import MulticlassF1Score

            return MetricCollection({"f1": MulticlassF1Score(self.classes, average="macro")})

        def evaluate_step(self, model: Any, batch: Any, metrics: Any) -> None:
            metrics.update(batch["target"], batch["target"])

    task: Any = Perfect()
    for task.classes in range(2, 60):
        batch = {"target": torch.arange(task.classes)}
        assert measure(task, torch.nn.Linear(1, 1), [batch])["f1"] <= 1.0
