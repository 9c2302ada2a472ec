"""A new user's first quarter of an hour, with real processes where the process matters."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_process import environment
from PIL import Image

from lamina.cli.main import main
from waiting import until

Lamina = Callable[..., tuple[int, str, str]]
Trained = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture
def here(trained: Trained, lamina: Lamina, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the trained run, as the working directory."""
    monkeypatch.chdir(trained[0])
    return trained[0]


def test_train_says_how_it_went_and_where_everything_is(trained: Trained) -> None:
    folder, done = trained
    assert done.returncode == 0, done.stderr
    best, test, run, report = done.stdout.splitlines()
    assert re.fullmatch(r"best validation accuracy: 0\.\d{4}, in epoch 1", best)
    assert re.fullmatch(r"test: accuracy 0\.\d{4}, f1 0\.\d{4}, loss \d\.\d{4}", test)
    assert float(test.split()[2].rstrip(",")) > 0.5, "one epoch on digits teaches something"
    assert run == "run: runs/lenet5-digits"
    assert report == "report: runs/lenet5-digits/report.html"
    assert (folder / "runs/lenet5-digits/report.html").stat().st_size > 1000
    *_, header, names, row = done.stderr.splitlines()
    assert header.split() == ["train", "validation"]
    assert names.split() == ["epoch", "loss", "accuracy", "loss", "accuracy", "f1", "time"]
    assert row.split()[0] == "1/1"
    assert len(names) <= 80
    assert "\x1b" not in done.stdout + done.stderr, "no control codes where there is no terminal"


def test_evaluate(here: Path, lamina: Lamina, trained: Trained) -> None:
    status, out, err = lamina("evaluate", "lenet5-digits", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert (found["split"], found["samples"]) == ("test", 359)
    said = re.search(r"test: accuracy (\S+),", trained[1].stdout)
    assert said is not None
    assert f"{found['metrics']['accuracy']:.4f}" == said[1], "what train said of the test split"
    status, out, _ = lamina("evaluate", "runs/lenet5-digits", "--split", "train")
    assert status == 0
    assert "train, 1,258 samples" in out
    status, _, err = lamina("evaluate", "lenet5-digits", "--split", "tets")
    assert (status, err) == (2, "lamina: unknown split 'tets'; did you mean 'test'?\n")
    status, _, err = lamina("evaluate", "lenet-digits")
    assert (status, err) == (2, "lamina: no such run: runs/lenet-digits; did you mean 'lenet5-digits'?\n")


def test_predict_and_embed_files(here: Path, lamina: Lamina, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    paths = []
    for i in range(4):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(np.rint(digits.images[i] * 255 / 16).astype(np.uint8)).save(paths[-1])
    status, out, err = lamina("predict", "lenet5-digits", *paths, "--json")
    assert status == 0, err
    said = json.loads(out)
    assert [one["item"] for one in said] == paths
    assert all(abs(sum(one["probabilities"].values()) - 1) < 1e-5 for one in said)
    assert sum(one["class"] == str(digits.target[i]) for i, one in enumerate(said)) >= 3
    status, out, _ = lamina("predict", "lenet5-digits", *paths)
    assert status == 0
    assert out.split()[:4] == ["item", "class", "probability", "then"]
    assert len(out.splitlines()) == 5

    status, out, err = lamina("embed", "lenet5-digits", *paths, "--out", tmp_path / "f.csv")
    assert (status, out) == (0, f"wrote 4 x 84 features to {tmp_path / 'f.csv'}\n"), err
    with open(tmp_path / "f.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["item", *map(str, range(84))]
    assert [row[0] for row in rows] == paths
    status, out, _ = lamina("embed", "lenet5-digits", *paths[:2], "--json")
    assert np.allclose(
        [one["features"] for one in json.loads(out)], np.array([row[1:] for row in rows[:2]], float), atol=1e-6
    )
    assert lamina("embed", "lenet5-digits", "--out", tmp_path / "f.npy")[0] == 0
    assert np.load(tmp_path / "f.npy", allow_pickle=False).shape == (359, 84)

    (tmp_path / "torn.png").write_bytes(Path(paths[0]).read_bytes()[:60])
    status, out, err = lamina("predict", "lenet5-digits", paths[0], tmp_path / "torn.png")
    assert (status, len(out.splitlines())) == (1, 2), "the other one is predicted"
    assert "torn.png" in err.splitlines()[0]
    assert err.splitlines()[1:] == ["lamina: 1 input failed, 1 succeeded"]


def test_info_of_model_and_run(here: Path, lamina: Lamina) -> None:
    status, out, err = lamina("info", "lenet5", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["card"]["parameters"] == sum(row["parameters"] for row in found["layers"]) == 61_706
    assert found["card"]["macs"] == sum(row["macs"] for row in found["layers"]) == 416_520
    status, out, _ = lamina("info", "lenet5-digits")
    assert status == 0
    assert "activation=tanh" in out
    assert re.search(r"^stage2.0 +Conv2d +16 x 10 x 10 +2,416 +240,000 +14 x 14$", out, re.MULTILINE)
    assert re.search(r"^total +61,706 +416,520$", out, re.MULTILINE)
    assert "average pooling without trainable coefficients" in out


def test_runs_are_listed_compared_and_never_overwritten(lamina: Lamina, tmp_path: Path) -> None:
    train = ("train", "mlp", "--data", "iris", "--model.hidden", "8", "--quiet", "--json")
    status, out, err = lamina(*train, "--epochs", "2")
    assert (status, json.loads(out)["run"]) == (0, "runs/mlp-iris"), err
    assert err == "", "--quiet"
    before = (tmp_path / "runs/mlp-iris/metrics.csv").read_bytes()
    status, out, err = lamina(*train, "--epochs", "3", "--lr", "0.01")
    assert (status, json.loads(out)["run"]) == (0, "runs/mlp-iris-2"), err
    assert (tmp_path / "runs/mlp-iris/metrics.csv").read_bytes() == before
    status, out, _ = lamina("runs", "--json")
    rows = json.loads(out)
    assert [(row["path"], row["state"], row["epochs"], row["step"]) for row in rows] == [
        ("runs/mlp-iris", "finished", 2, 26),
        ("runs/mlp-iris-2", "finished", 3, 39),
    ]
    assert all(row["metric"] == "accuracy" and 0 <= row["best"] <= 1 for row in rows)
    status, out, _ = lamina("runs", "runs/mlp-iris", "runs/mlp-iris-2")
    assert status == 0
    listed, changed = out.split("\n\n")
    assert listed.splitlines()[0].split()[:3] == ["run", "model", "data"]
    assert {line.split()[0]: line.split()[1:] for line in changed.splitlines()} == {
        "option": ["mlp-iris", "mlp-iris-2"],
        "epochs": ["2", "3"],
        "lr": ["0.002", "0.01"],
    }


def test_ctrl_c_stops_cleanly_and_resume_goes_on(lamina: Lamina, tmp_path: Path) -> None:
    """On a terminal: a bar, a line for each epoch above it, one line after Ctrl-C, and then --resume."""
    words = ["train", "mlp", "--data", "iris", "--epochs", "100000", "--name", "long run", "--runs", "my runs"]
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "lamina", *words], environment())
    bar = re.compile(r"epoch \d+/100000 .* loss \S+  accuracy \S+ [\d,]+/s \S+ left")
    text, open_ = "", True

    def read() -> bool:
        """Whatever the terminal has shown since; False once it is closed, the process being gone."""
        nonlocal text, open_
        while open_ and select.select([terminal], [], [], 0)[0]:
            try:
                text += os.read(terminal, 65536).decode(errors="replace")
            except OSError:
                open_ = False
        return open_

    try:
        # the bar is drawn ten times a second at most: a fast machine is past its third epoch before the first time
        until(lambda: not read() or ("3/100000" in text and bar.search(text)), "a bar and three epochs")
        assert open_, text
        locked = main(["train", "--name", "long run", "--runs", "my runs", "--resume"])
        os.write(terminal, b"\x03")
        until(lambda: not read(), "the end of the training")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130, text
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    assert locked == 1, "another process is training it"
    assert "Traceback" not in text
    last = text.split("\x1b[2K")[-1].strip()
    found = re.fullmatch(r"stopped at step (\d+); resume with: (lamina train [^\r\n]*)\s+report: .*", last)
    assert found, last
    assert found[2] == "lamina train --name 'long run' --resume --runs 'my runs'"

    status, out, _ = lamina("runs", "my runs", "--json")
    assert json.loads(out)[0]["state"] == "stopped"
    steps = int(found[1]) + 4
    words = ["train", "--name", "long run", "--runs", "my runs", "--resume", "--steps", str(steps), "--json"]
    status, out, err = lamina(*words)
    assert status == 0, err
    assert json.loads(out)["steps"] == steps
    status, out, _ = lamina("runs", "my runs", "--json")
    assert (json.loads(out)[0]["state"], json.loads(out)[0]["step"]) == ("finished", steps)
    status, _, err = lamina("train", "lenet5", "--name", "long run", "--runs", "my runs", "--resume")
    assert (status, err) == (2, "lamina: my runs/long run trains mlp, not lenet5\n")
