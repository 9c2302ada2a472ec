"""What the studio does, without a browser: each action is one call of the public API, which is shown beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lamina
from lamina.cli.main import main
from lamina.studio import actions
from lamina.studio.abilities import abilities, slid
from lamina.studio.jobs import Trainings, safe_name
from lamina.studio.shown import Shown, framed, one_line
from waiting import until

QUICK = "adam-first-step"
OLD_RUNS = Path(__file__).parent.parent / "runs" / "old_runs"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(OLD_RUNS, tmp_path_factory.mktemp("studio") / "runs"))


def ran(code: str, **known: Any) -> Any:
    """What the last line of a program that is shown gives."""
    *lines, last = code.splitlines()
    names: dict[str, Any] = {"Path": Path, **known}
    exec("\n".join(lines), names)
    return eval(last, names)


def pad(strokes: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A drawing as the pad gives it: ink where it is not transparent."""
    layer = np.zeros((*strokes.shape, 4), np.uint8)
    layer[..., 3] = strokes
    return {"background": None, "layers": [layer], "composite": layer}


def seven() -> np.ndarray[Any, Any]:
    """A digit of the embedded set, as if it were drawn small in a corner of a large pad."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    image = digits.images[np.flatnonzero(digits.target == 7)[0]] * 15
    found = np.zeros((280, 280), np.uint8)
    found[20:100, 150:230] = np.kron(image, np.ones((10, 10))).clip(0, 255).astype(np.uint8)
    return found


def test_a_digit_that_is_drawn_is_predicted_by_the_program_that_is_shown(tmp_path: Path) -> None:
    run = lamina.train("lenet5", data="digits", epochs=4, directory=tmp_path, report=False)
    drawing = pad(seven())
    found = actions.predict(tmp_path, run.path.name, None, drawing)
    assert max(found.label, key=lambda name: found.label[name]) == "7"
    assert ran(found.code, drawing=actions.as_drawing(drawing))[0]["probabilities"] == found.label
    page = actions.look_inside(tmp_path, run.path.name, None, drawing)
    assert "<html" in page.html
    assert "inspection(image=drawing)" in page.code


def test_a_drawing_is_cut_out_and_centred() -> None:
    strokes = np.zeros((280, 280), np.uint8)
    strokes[10:50, 200:220] = 255
    drawing = actions.as_drawing(pad(strokes))
    assert drawing.shape[0] == drawing.shape[1]
    ys, xs = np.nonzero(drawing)
    assert abs(ys.mean() - (drawing.shape[0] - 1) / 2) <= 1
    assert abs(xs.mean() - (drawing.shape[1] - 1) / 2) <= 1
    for nothing in (None, {}, pad(np.zeros((9, 9), np.uint8)), {"layers": []}):
        assert actions.as_drawing(nothing) is None


def test_rows_texts_and_pairs_are_tried_by_the_program_that_is_shown(runs: Path) -> None:
    row = {column.name: 0.5 for column in lamina.open_run(runs / "table").preprocess.columns}
    found = actions.predict(runs, "table", json.dumps(row))
    assert ran(found.code) == found.rows
    translated = actions.predict(runs, "pairs", "3 March 2015", options='{"beam": 2}')
    assert translated.text == ran(translated.code)[0]["translation"]
    written = actions.generate(runs, "text", "the ", 3, 12)
    assert written.text == "the " + ran(written.code)[0]
    assert actions.generate(runs, "text", "the ", 4, 12, '{"temperature": 2.0}').text != written.text


@pytest.mark.parametrize(
    ("name", "item", "options", "words"),
    [
        ("../../etc", "x", "", "no such run|choose a run"),
        ("..", "x", "", "choose a run"),
        ("none", "x", "", "no such run"),
        (None, "x", "", "choose a run"),
        ("table", None, "", "give a picture"),
        ("table", "{", "", "no JSON"),
        ("pairs", "x", "{", "JSON"),
        ("pairs", "x", "[]", "JSON"),
        ("pairs", "x", '{"bream": 2}', "beam"),
        ("image", "/etc/passwd", "", "cannot|not"),
        ("text", "x", "", "predict"),
    ],
)
def test_what_cannot_be_tried_is_one_line(runs: Path, name: Any, item: Any, options: str, words: str) -> None:
    import re

    found = actions.predict(runs, name, item, options=options)
    assert re.search(words, found.note), found.note
    assert "\n" not in found.note
    assert not found.rows


def test_sliders_change_a_sample(tmp_path: Path) -> None:
    run = lamina.train("vae", data="digits", steps=3, directory=tmp_path, report=False)
    first, again, other = (actions.generate(tmp_path, run.path.name, "", seed, 4) for seed in (0, 0, 1))
    assert len(first.pictures) == 4
    assert all((a == b).all() for a, b in zip(first.pictures, again.pictures, strict=True))
    assert any((a != b).any() for a, b in zip(first.pictures, other.pictures, strict=True))
    assert all((a == b).all() for a, b in zip(ran(first.code), first.pictures, strict=True))
    walk = actions.generate(tmp_path, run.path.name, "", 0, 4, "", {"walk": 1, "truncation": 0.5})
    assert "walk=1" in walk.code
    assert "truncation" not in walk.code
    assert any((a != b).any() for a, b in zip(walk.pictures, first.pictures, strict=True))
    assert "dimension" in actions.generate(tmp_path, run.path.name, "", 0, 4, "", {"walk": 63}).note
    assert (
        "/etc" not in actions.generate(tmp_path, run.path.name, "", 0, 2, '{"interpolate": ["/etc/a", "/etc/b"]}').code
    )


def test_an_architecture_is_drawn_layer_by_layer() -> None:
    found = actions.explore("lenet5")
    assert "LeCun" in found.html
    assert "61,706" in found.html
    assert actions.explore("lenet55").note.startswith("unknown model")
    assert found.html.count('role="img"') >= 1
    known: dict[str, Any] = {}
    exec(found.code, known)
    assert all(drawing in found.html for drawing in known["drawings"][1:])
    for name in ("dcgan", "lstm-lm-small"):
        assert actions.explore(name).html.count('role="img"') >= 1, name
    assert "Layers of DCGAN, discriminator" in actions.explore("dcgan").html


def test_runs_are_compared(runs: Path) -> None:
    every = actions.compare(runs)
    assert (
        {row["run"] for row in every.rows}
        == set(actions.run_names(runs))
        == {p.name for p in runs.iterdir() if p.is_dir()}
    )
    two = actions.compare(runs, ["image", "stopped"])
    assert [row["run"] for row in two.rows] == ["image", "stopped"]
    assert "epochs" in two.html
    assert [row["curve"] for row in two.rows] == ["A", "B"]
    assert "A " in two.curves
    groups = {"lr": [1, 2], "augmentation": [{"flip": True, "crop": 3}, {"flip": True, "crop": 4}]}
    assert actions.one_a_line(groups) == {"lr": [1, 2], "augmentation.crop": [3, 4]}
    assert "loss over training" in actions.learning_curves(runs, "image")
    assert actions.learning_curves(runs, "../image") == actions.learning_curves(runs, None) == ""
    assert actions.compare(runs, ["../.."]).note
    assert "no runs" in actions.compare(runs / "none").note
    ran(two.code.replace("for run in", "found = list(").replace(":\n    print(run.path, run.history[-1:])", ")\nfound"))


def test_claims_are_listed_and_run() -> None:
    assert {QUICK, "xor", "momentum"} <= {row["claim"] for row in actions.claims()}
    found = actions.run_claim(QUICK)
    assert "<svg" in found.html or "<img" in found.html
    assert found.note.startswith("holds")
    assert actions.run_claim("xorr").note


def rows_of(path: Path) -> int:
    """The epochs that a training has written."""
    file = path / "metrics.csv"
    return max(0, file.read_bytes().count(b"\n") - 1) if file.is_file() else 0


def test_a_training_is_planned_started_stopped_found_and_resumed(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    given = {"epochs": 4000, "batch_size": 16, "report": False}
    assert "model" in str(trainings.plan("mlp", "iris", {"epochs": 4000}).rows)
    assert not list(tmp_path.iterdir())
    begun = trainings.start("mlp", "iris", given)
    assert "\n    name=" in begun.code  # no line that a page would have to cut
    name = begun.note
    until(lambda: rows_of(tmp_path / name) > 0, "a row of the curve")
    assert "<svg" in actions.learning_curves(tmp_path, name)
    assert "in training" in trainings.state(name)
    other = Trainings(tmp_path)  # another browser, another studio
    assert other.in_training() == other.unfinished() == [name]
    assert "started elsewhere" in other.stop(name).note
    assert "in training" in other.resume(name).note
    assert "stopping" in trainings.stop(name).note
    until(lambda: trainings.processes[name].poll() is not None, "it to end")
    assert not trainings.in_training()
    assert other.unfinished() == [name]
    assert "can be resumed" in trainings.state(name)
    rows = rows_of(tmp_path / name)
    resumed = trainings.resume(name)
    until(lambda: rows_of(tmp_path / name) > rows, "the curve to go on")
    trainings.stop(name)
    until(lambda: trainings.processes[name].poll() is not None, "it to end")
    assert "resume=True" in resumed.code
    assert f"name='{name}'" in begun.code


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path)
    assert "unknown model" in trainings.plan("lenet55", "digits", {}).note
    assert "which data" in trainings.start("mlp", " ", {}).note
    log = tmp_path / "studio-logs" / "one.log"
    log.parent.mkdir()
    log.write_text("Traceback (most recent call last):\n  ...\nlamina.errors.UsageError: no such data: irisses\n")
    assert trainings.error("one") == "no such data: irisses"
    assert trainings.error("none") == "it ended without a word"


@pytest.mark.parametrize(
    "data",
    ["/etc/passwd", "~", "hf:user/set@0123456", "..", "uploads", "runs/uploads", "runs/uploads/../secret.csv",
     "runs/uploads/link.csv", "secret.csv", "runs/uploads/none.csv", "x\0y", "x" * 5000],
)  # fmt: skip
def test_a_training_takes_embedded_sets_and_uploads_alone(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.csv").write_text("a,target\n1,2\n")
    Path("runs/secret.csv").parent.mkdir()
    Path("runs/secret.csv").write_text("a,target\n1,2\n")
    Path("runs/uploads").mkdir()
    Path("runs/uploads/link.csv").symlink_to(Path("secret.csv").resolve())
    trainings = Trainings(Path("runs"))
    for found in (trainings.plan("mlp", data, {}), trainings.start("mlp", data, {})):
        assert found.note.endswith("the studio trains on an embedded set, or on what you upload")
    assert not trainings.processes
    assert Path(trainings.data(trainings.upload(["secret.csv"]))).name == "secret.csv"


def test_what_fits_a_run_is_offered(runs: Path, tmp_path: Path) -> None:
    image, table, pairs, text = (abilities(runs, name) for name in ("image", "table", "pairs", "text"))
    assert (image.pictures, table.pictures, image.asks, text.asks) == (True, False, "predict", "")
    assert set(json.loads(table.example)) == {
        column.name for column in lamina.open_run(runs / "table").preprocess.columns
    }
    assert text.prompts
    assert text.sliders == {"temperature"}
    assert "beam (" in pairs.options["predict"]
    assert abilities(runs, "../image").note == abilities(runs, "a/b").note == "choose a run"
    assert "train one" in abilities(tmp_path, None).note
    run = lamina.open_run(runs / "text")
    assert slid(run, {"temperature": 0.5, "walk": 3, "truncation": 0.2}) == {"temperature": 0.5}
    assert slid(run, {"temperature": 1}) == {}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<script>alert(1)</script>.csv", "scriptalert1script.csv"),
        ("..", "file"),
        ("../../x.csv", "x.csv"),
        ("a b.csv", "ab.csv"),
        ("größe.csv", "größe.csv"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
        ("", "file"),
    ],
)
def test_names_of_uploads_are_no_paths_and_no_markup(given: str, kept: str) -> None:
    assert safe_name(given) == kept


def test_uploads_stay_in_the_folder_of_the_runs(tmp_path: Path) -> None:
    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / "up" / name).parent.mkdir(parents=True)
        (tmp_path / "up" / name).write_bytes(b"x")
    trainings = Trainings(tmp_path / "runs")
    folder = Path(trainings.upload([str(tmp_path / "up" / name) for name in ("cat/a.png", "dog/b.png")]))
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png")) == ["cat/a.png", "dog/b.png"]
    assert folder.is_relative_to(tmp_path / "runs")
    one = Path(trainings.upload([str(tmp_path / "up" / "cat" / "a.png")]))
    assert one.name == "a.png"


def test_a_page_in_the_page_is_escaped() -> None:
    found = framed('<p class="a">&</p>', 'a "title"')
    assert 'sandbox srcdoc="&lt;p class=&quot;a&quot;&gt;&amp;&lt;/p&gt;"' in found
    assert "<p" not in found


def test_the_page_is_built_and_shows_what_an_action_gave(runs: Path) -> None:
    pytest.importorskip("gradio")
    from lamina.studio.page import make_page, updates

    page = make_page(runs)
    labels = {str(block.get_config().get("label")) for block in page.blocks.values()}
    assert {"Draw", "Architecture", "Seed", "Claim", "Runs: in training, or stopped"} <= labels
    script = "<script>alert(1)</script>"
    shown = updates(Shown(note=script, rows=[{script: script}]), "x")
    assert "<script" not in "".join(str(part.value) for part in shown)
    assert "&lt;script" in str(shown[3].value)


def test_an_error_that_is_not_lamina_s_is_a_line_with_its_trace_in_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = one_line(lambda: Shown(text=str(1 // 0)))()
    assert found.note == "internal error: ZeroDivisionError: integer division or modulo by zero"
    assert "Traceback" in capsys.readouterr().err


def test_a_picture_that_is_none_is_one_line(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "none.png").write_bytes(b"no picture")
    note = actions.predict(runs, "image", tmp_path / "none.png").note
    assert "none.png" in note
    assert "internal" not in note


@pytest.mark.parametrize(
    ("words", "expected"), [(["--host", "0.0.0.0"], "this machine alone"), (["--port", "99999"], "--port")]
)
def test_the_studio_is_for_this_machine_alone(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gradio")
    assert main(["studio", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
