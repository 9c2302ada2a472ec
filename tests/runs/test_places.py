"""Data are found again from another folder, after a move, and by their new name; a run and data may share a name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

import lamina
from lamina import RunError, UsageError
from lamina.cli.main import main
from lamina.cli.run_argument import run_path

ROWS = [f"{u},{v},{'a' if u > v else 'b'}" for u in range(12) for v in range(12)]
QUICK = ("--epochs", "1", "--batch-size", "16", "--quiet", "--json")


def write(path: Path, rows: list[str] = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("u,v,label\n" + "\n".join(rows))
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data/points.csv in it and the run runs/points, trained by a relative path."""
    folder = tmp_path / "project"
    write(folder / "data" / "points.csv")
    monkeypatch.chdir(folder)
    lamina.train(
        "mlp", data="data/points.csv", name="points", epochs=1, batch_size=16, schedule="constant", report=False
    )
    return folder


def test_the_configuration_says_where_the_data_are(project: Path) -> None:
    config = yaml.safe_load((project / "runs/points/config.yaml").read_text())
    keys = list(config)
    assert keys[keys.index("data") : keys.index("data") + 3] == ["data", "data_path", "data_from_run"]
    assert config["data"] == "data/points.csv"
    assert config["data_path"] == str(project / "data" / "points.csv")
    assert config["data_from_run"] == "../../data/points.csv"


def test_embedded_data_have_no_place(tmp_path: Path) -> None:
    run = lamina.train("mlp", data="iris", steps=1, directory=tmp_path, report=False)
    assert not {"data_path", "data_from_run"} & yaml.safe_load((run.path / "config.yaml").read_text()).keys()


def elsewhere(project: Path, tmp_path: Path) -> Path:
    """Another working folder."""
    (tmp_path / "other").mkdir()
    return project / "runs/points"


def decoy(project: Path, tmp_path: Path) -> Path:
    """Another working folder, with other data by the name that was given."""
    write(tmp_path / "other/data/points.csv", ROWS[::-1])
    return project / "runs/points"


def unreadable(project: Path, tmp_path: Path) -> Path:
    """Another working folder, where the name is that of a file which cannot be read."""
    (tmp_path / "other/data").mkdir(parents=True)
    (tmp_path / "other/data/points.csv").write_text("")
    return project / "runs/points"


def together(project: Path, tmp_path: Path) -> Path:
    """The whole project moved, data and run; and something else where it was."""
    moved = project.rename(tmp_path / "moved")
    write(project / "data" / "points.csv", ROWS[:100])
    (tmp_path / "other").mkdir()
    return moved / "runs/points"


def run_alone(project: Path, tmp_path: Path) -> Path:
    """The run moved, the data where they were."""
    (tmp_path / "other").mkdir()
    return (project / "runs/points").rename(tmp_path / "points")


def by_a_link(project: Path, tmp_path: Path) -> Path:
    """The folder of runs became a link, the data moved along with what it points to."""
    moved = project.rename(tmp_path / "disk")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "runs").symlink_to(moved / "runs")
    return tmp_path / "other" / "runs" / "points"


@pytest.mark.parametrize("move", [elsewhere, decoy, unreadable, together, run_alone, by_a_link])
def test_the_data_are_found(
    move: Callable[[Path, Path], Path], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lamina.open_run("runs/points").evaluate()
    path = move(project, tmp_path)
    monkeypatch.chdir(tmp_path / "other")
    run = lamina.open_run(path)
    assert run.evaluate() == before, "the same split of the same data"
    resumed = lamina.train(name=path.name, directory=path.parent, resume=True, epochs=2, report=False)
    assert len(resumed.history) == 2
    assert lamina.open_run(path).evaluate() == resumed.evaluate()


def test_a_new_place_is_given(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lamina.open_run("runs/points").evaluate()
    new = write(tmp_path / "new" / "mine.csv")
    shutil.rmtree(project / "data")
    assert main(["evaluate", "points"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "'data/points.csv'" in error, "where they were"
    assert "--data" in error
    assert main(["evaluate", "points", "--data", str(new)]) == 0
    out = capsys.readouterr().out
    assert "test, 29 rows" in out or "test, 29 samples" in out, "the test split, not all rows"
    assert f"{before['accuracy']:.4f}" in out
    with pytest.raises(RunError, match="give their new place"):
        lamina.open_run("runs/points").report()
    assert lamina.open_run("runs/points", data=str(new)).report().is_file()

    other = write(tmp_path / "new" / "other.csv", ROWS[::-1])
    with pytest.raises(RunError, match=r"other\.csv"):
        lamina.train(name="points", resume=True, data=str(other), epochs=2)
    assert main(["train", "--name", "points", "--resume", "--data", str(new), *QUICK[2:], "--epochs", "2"]) == 0
    monkeypatch.chdir(tmp_path)
    run = lamina.open_run(project / "runs/points")
    assert len(run.history) == 2
    assert run.config.data == str(new)
    assert run.evaluate() == run.evaluate(data=str(new)), "the new place is kept"


def test_a_run_of_its_model_and_data_is_resumed_from_another_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["train", "mlp", "--data", "data/points.csv", *QUICK]) == 0
    monkeypatch.chdir(tmp_path)
    words = ["train", "mlp", "--data", "data/points.csv", "--resume", "--runs", str(project / "runs"), *QUICK[2:]]
    assert main([*words, "--epochs", "2"]) == 0
    assert len(lamina.open_run(project / "runs/mlp-points").history) == 2


def test_a_configuration_trains_again_from_another_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = lamina.train(config=str(project / "runs/points/config.yaml"), name="again", report=False)
    assert run.evaluate() == lamina.open_run(project / "runs/points").evaluate()
    assert run.config.data == str(project / "data/points.csv")


def test_several_data_are_found_each_at_its_place(project: Path, tmp_path: Path) -> None:
    from lamina.runs.places import where, with_places

    (tmp_path / "dark").mkdir()
    (tmp_path / "bright").mkdir()
    saved = with_places({"data": ["../dark", "iris"]}, ("../dark", "iris"), Path("runs/x"))
    assert saved["data_from_run"] == ["../../../dark", None]
    assert list(where(saved, Path("runs/x"))) == [("../dark", "iris")]
    assert list(where({**saved, "data": ["gone", "iris"]}, Path("runs/x"))) == [(str(tmp_path / "dark"), "iris")]
    assert list(where({"data": "gone"}, Path("runs/x"))) == [], "a run of a former version knows its name alone"


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder photos of two classes, and a run in runs/ that is called photos, too."""
    for shade, name in enumerate(("dark", "bright")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (8, 8), 200 * shade + i).save(tmp_path / "photos" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    lamina.train("mlp", data="photos", epochs=1, batch_size=4, name="photos", report=False)
    return tmp_path


@pytest.mark.parametrize("mark", [None, "config.yaml", "card.json"])
def test_data_of_the_same_name_hide_no_run(
    mark: str | None, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if mark is not None:
        (pictures / "photos" / mark).write_text("author: me\n")
    for words in (["evaluate", "photos"], ["predict", "photos", "photos/dark/1.png"], ["info", "photos"], ["runs"]):
        assert main(words) == 0, capsys.readouterr().err
    assert main(["runs", "photos", "--json"]) == 0
    assert '"runs/photos"' in capsys.readouterr().out
    assert run_path("photos", "runs") == Path("runs/photos")
    again = lamina.train("mlp", data="photos", epochs=1, batch_size=4, name="photos", report=False)
    assert again.config.data == "photos", "nor a run the data"
    assert len(again.source.splits["train"]) == 11


def test_a_folder_in_the_way_is_no_run(pictures: Path) -> None:
    (pictures / "other").mkdir()
    with pytest.raises(UsageError, match="other is not a run"):
        lamina.open_run(run_path("other", "runs"))
    assert run_path(str(pictures / "runs" / "photos"), "nowhere").name == "photos"
    assert [run.path.name for run in lamina.list_runs()] == ["photos"]


def test_the_images_of_a_table_are_found_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their folder was given in the working folder, and not beside the table."""
    home = tmp_path / "home"
    (home / "pictures").mkdir(parents=True)
    (home / "data").mkdir()
    for i in range(16):
        Image.new("L", (8, 8), 200 * (i % 2) + i).save(home / "pictures" / f"{i}.png")
    (home / "data/labels.csv").write_text("file,label\n" + "\n".join(f"{i}.png,{'ab'[i % 2]}" for i in range(16)))
    monkeypatch.chdir(home)
    options = {"root": "pictures", "epochs": 1, "batch_size": 4}
    before = lamina.train("mlp", data="data/labels.csv", name="r", report=False, **options).evaluate()
    monkeypatch.chdir(tmp_path)
    assert lamina.open_run(home / "runs/r").evaluate() == before
    home.rename(tmp_path / "moved")
    assert lamina.open_run(tmp_path / "moved/runs/r").evaluate() == before
