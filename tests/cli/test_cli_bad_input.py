"""Every fault is one line on stderr, the right exit status, nothing on stdout and no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lamina.cli import models as models_verb

Lamina = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("trian lenet5", "unknown verb 'trian'; did you mean 'train'?"),
        ("--json models", "the verb comes first"),
        ("models --tsk x", "unknown option '--tsk'; did you mean '--task'?"),
        ("models --task clasification", "unknown task 'clasification'; did you mean 'classification'?"),
        ("models lennet5", "no model is named like 'lennet5'; did you mean 'lenet5'?"),
        ("models one two", "unexpected argument 'two'"),
        ("info", "MODEL|RUN missing"),
        ("info lennet", "unknown model or run 'lennet'; did you mean 'lenet5'?"),
        ("info runs/none", "no such run: runs/none"),
        ("data digts", "unknown data 'digts'; did you mean 'digits'?"),
        ("data no/where.csv", "no such file or folder: no/where.csv"),
        ("data digits --validation 2", "validation must lie in [0, 1), got 2.0"),
        ("data digits --validation much", "--validation: expected a number, got 'much'"),
        ("data digits --layout NCWH", "--layout: unknown value 'NCWH'; did you mean 'NCHW'?"),
        ("train", "which model?"),
        ("train lenet5 digits", "unexpected argument 'digits'; data are named with --data"),
        ("train lenet5 --data", "--data needs a value"),
        ("train lenet5 --data digts", "unknown data 'digts'; did you mean 'digits'?"),
        ("train lenet5 --data digits --epoch 3", "unknown option '--epoch'; did you mean '--epochs'?"),
        ("train lenet5 --data digits --epochs 0", "epochs must be at least 1, got 0"),
        ("train lenet5 --data digits --epochs 1.5", "--epochs: expected a whole number, got '1.5'"),
        ("train lenet5 --data digits --epochs 3 --steps 9", "give one length of training, not --epochs and --steps"),
        ("train lenet5 --data digits --optimizer adm", "--optimizer: unknown value 'adm'; did you mean 'adam'?"),
        ("train lenet5 --data digits --milestones 0.5,x", "--milestones: expected a number, got 'x'"),
        ("train lenet5 --data digits --flip true", "a switch takes no value: --flip or --no-flip"),
        ("train lenet5 --data digits --flip=true", "--flip or --no-flip takes no value"),
        ("train lenet5 --data digits --model.activaton relu", "did you mean '--model.activation'?"),
        ("train lenet5 --data digits --model.activation rellu", "unknown value 'rellu'; did you mean 'relu'?"),
        ("train resnet18 --data digits --model.zero-gamma --flip", "--model.zero-gamma needs a value: true or false"),
        ("train resnet18 --data digits --model.stem", "--model.stem needs a value: imagenet or small"),
        ("train mlp --data iris --model.hidden 8,x", "--model.hidden: expected a whole number, got 'x'"),
        ("train mlp --data iris --model.pool max", "unknown option '--model.pool'"),
        ("train --model.hidden 8 --data iris", "--model.hidden: which model?"),
        ("train lenet5 --data digits --model.image-size 4", "at least 16 x 16 pixels, got image_size=4"),
        ("train lenet5 --data iris", "lenet5 takes image data, but 'iris' is table data"),
        ("train lenet5 --data digits --batch-size 5000", "batch size 5000 is larger than the training data"),
        ("train lenet5 --data digits --name a/b", "'a/b' cannot be the name of a run"),
        ("train --config lennet5 --data digits", "unknown recipe 'lennet5'; did you mean 'lenet5'?"),
        ("train --config none.yaml", "no such file: none.yaml"),
        ("train --resume", "--resume needs the run's --name"),
        ("train --name none --resume", "no such run: runs/none"),
        ("train --name none --resume --print-config", "leave --resume out"),
        ("evaluate none", "no such run: runs/none"),
        ("evaluate .", "is not a run: it has no config.yaml"),
        ("predict", "RUN|FILE and ITEM missing"),
        ("predict none", "no such run: runs/none"),
        ("embed . --out features.txt", "--out features.txt: the name must end in .npy, .csv, .jsonl or .parquet"),
        ("embed . --out no/features.csv", "there is no folder no"),
        ("runs none", "no such folder: none"),
        ("train --resume none", "no such run: runs/none"),
        ("train --resume=none", "no such run: runs/none"),
        ("train lennet5 --resume --data digits", "unknown model 'lennet5'; did you mean 'lenet5'?"),
        (
            "evaluate lenet5",
            "lenet5 is a model: lamina train lenet5 --data DATA makes a run of it; or give its weights",
        ),
        ("evaluate iris", "iris is a data set: lamina train --data iris makes a run"),
        ("predict mlp row.csv", "mlp is a model: lamina train mlp --data DATA makes a run of it"),
        ("generate transformer-lm", "lamina train transformer-lm --data DATA makes a run of it"),
        ("report mlp", "lamina train mlp --data DATA makes a run of it"),
        ("export lenet5 onnx", "unexpected argument 'onnx'; the format is given with --to"),
        ("export lenet5 --format onnx", "--format: the format is --to, one of onnx"),
        ("inspect lenet5 digit.png", "unexpected argument 'digit.png'; the input is given with --image FILE"),
        ("compare --data iris --models mlpp", "unknown model 'mlpp'; did you mean 'mlp'?"),
    ],
)
def test_misuse_is_one_line(line: str, says: str, lamina: Lamina, tmp_path: Path) -> None:
    status, out, err = lamina(*line.split())
    assert (status, out) == (2, ""), err
    assert err.startswith("lamina: "), err
    assert err.count("\n") == 1, err
    assert says in err
    assert not any(tmp_path.iterdir()), "a call that fails writes nothing"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: lenet5\ndata: digits\nbatch_sise: 3\n", "unknown key 'batch_sise'; did you mean 'batch_size'?"),
        ("name: lenet5\ndata: digits\noptimizer: adm\n", "unknown value 'adm'; did you mean 'adam'?"),
        ("name: lenet5\ndata: digits\nmodel:\n  activaton: relu\n", "'activaton'; did you mean 'activation'?"),
        ("name: lennet5\ndata: digits\n", "unknown model 'lennet5'; did you mean 'lenet5'?"),
        ("data: digits\n", "which model?"),
        ("name: lenet5\n", "has no 'data'"),
        ("a: [1\n", "is not YAML"),
        ("name: lenet5\ndata: digits\nlr: 0.1\nlr: 0.2\n", "'lr' is there twice, in lines 3 and 4"),
        ("name: lenet5\ndata: digits\nmodel:\n  dropout: 0.1\n  dropout: 0.2\n", "'dropout' is there twice"),
        ("just words\n", "holds no options"),
        ("!!python/object/apply:os.system ['touch pwned']\n", "is not YAML"),
    ],
)
def test_a_faulty_config_is_one_line(text: str, says: str, lamina: Lamina, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    status, out, err = lamina("train", "--config", "recipe.yaml")
    assert (status, out) == (2, ""), err
    assert err.count("\n") == 1
    assert says in err
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_faulty_data_is_a_failure_not_a_misuse(lamina: Lamina, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("x,target\n1,a\n2,a\n3,a\n")
    status, out, err = lamina("train", "mlp", "--data", "table.csv")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "table.csv" in err


def test_a_hostile_npz_is_refused_and_not_executed(lamina: Lamina, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "pwned"),))  # type: ignore[return-value]

    np.savez(tmp_path / "x.npz", x=np.array([Payload()] * 4, dtype=object), y=np.arange(4))
    status, _, err = lamina("train", "lenet5", "--data", "x.npz")
    assert (status, err.count("\n")) == (1, 1)
    assert not (tmp_path / "pwned").exists()


def test_a_fault_of_ours_is_one_line_and_debug_shows_where(lamina: Lamina, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(models_verb, "list_models", broken)
    status, _, err = lamina("models")
    assert status == 1
    assert err == "lamina: internal error: ZeroDivisionError: first line second line; run again with --debug\n"
    status, _, err = lamina("--debug", "models")
    assert status == 1
    assert "Traceback" in err
    assert err.endswith("lamina: internal error: ZeroDivisionError: first line second line\n")


def test_debug_shows_where_a_misuse_arose(lamina: Lamina) -> None:
    status, _, err = lamina("info", "lennet", "--debug")
    assert status == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("lamina: unknown model")


def test_an_interrupt_is_one_line(lamina: Lamina, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(models_verb, "list_models", interrupted)
    assert lamina("models") == (130, "", "lamina: interrupted\n")


def test_what_is_predicted_is_not_taken_for_a_misspelt_run(lamina: Lamina, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "a.png").touch()
    for words in (("photos", "--to", "B"), ("a.png", "--crops", "10"), ("photos",)):
        status, out, err = lamina("predict", "none", *words)
        assert (status, out) == (2, "")
        assert err.startswith("lamina: no such run: runs/none")


def test_a_run_in_the_place_of_a_model_or_the_other_way_round(lamina: Lamina, tmp_path: Path) -> None:
    """Resumed where --resume stands beside it; else one line with the command that helps."""
    for name in ("mlp-iris", "a"):
        assert (
            lamina("train", "mlp", "--data", "iris", "--epochs", "1", "--name", name, "--quiet", "--model.hidden=4")[0]
            == 0
        )
    goes_on = "lamina train --name a --resume continues it"
    for line, says in (
        ("train a --data iris", f"a is a run, not a model: {goes_on}, --config runs/a/config.yaml trains it anew"),
        ("train runs/a --data iris", goes_on),
        ("search a --data iris", goes_on),
        ("train --name a --epochs 2", goes_on),
        ("evaluate mlp", "mlp is a model, its runs are mlp-iris"),
        ("evaluate b", "no such run: runs/b; there are a, mlp-iris"),
        ("predict a", "ITEM missing, a file, a folder, a row as JSON or a text"),
        ("predict a --data iris", "--data: items stand after the run: lamina predict RUN|FILE ITEM..."),
        ("report --name a", "--name: the run is the first word: lamina report RUN"),
        ("inspect a", "inspect does not take a table yet: lamina report runs/a"),
    ):
        status, out, err = lamina(*line.split())
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert says in err
    for epochs, words in enumerate(
        ("--resume a", "a --resume", "--resume=a", "runs/a --resume", "a --resume-or-start"), 2
    ):
        status, _, err = lamina("train", *words.split(), "--epochs", str(epochs), "--quiet")
        assert status == 0, err
        assert len((tmp_path / "runs" / "a" / "metrics.csv").read_text().splitlines()) == epochs + 1


def test_a_damaged_run_does_not_hide_the_others(lamina: Lamina, tmp_path: Path) -> None:
    for name in ("broken", "strange"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs/broken/config.yaml").write_text("format: 1\nname: [")
    (tmp_path / "runs/strange/config.yaml").write_text("format: 7\n")
    status, out, err = lamina("runs", "--json")
    assert status == 0
    assert json.loads(out) == []
    assert [line.split(" is left out")[0] for line in err.splitlines()] == ["note: runs/broken", "note: runs/strange"]
