"""Runs pushed to a hub on loopback and opened from there: the same bits, the same predictions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

import lamina
from fake_hub import Answer, FakeHub
from lamina.cli.main import main
from lamina.errors import DataError, LaminaError, UsageError

OLD_RUNS = Path(__file__).parent.parent / "runs" / "old_runs"
PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _no_xet(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads the environment when it is imported; and it is not to wait before it asks again."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", "hf_test")


@pytest.mark.parametrize("name", ["image", "table", "text", "pairs"])
def test_a_run_that_is_pushed_and_opened_again_is_the_same(hub: FakeHub, name: str) -> None:
    place = lamina.push(OLD_RUNS / name, "hf:me/mine", licence="mit")
    run, again = lamina.open_run(OLD_RUNS / name), lamina.open_run(place)
    assert (again.path / "model.safetensors").read_bytes() == (OLD_RUNS / name / "model.safetensors").read_bytes()
    for file in ("preprocess.json", "tokenizer.json", "metrics.csv"):
        assert (again.path / file).exists() == (OLD_RUNS / name / file).exists()
    rows = {
        "image": lambda one: one.predict(PICTURE),
        "table": lambda one: one.predict({column.name: 0.5 for column in one.preprocess.columns}),
        "text": lambda one: one.generate("the ", max_new_tokens=20, seed=1),
        "pairs": lambda one: one.predict("3 March 2015"),
    }
    assert rows[name](again) == rows[name](run)
    assert again.history == run.history


def test_the_card_is_what_the_hub_reads(hub: FakeHub, tmp_path: Path) -> None:
    run = lamina.train("lenet5", data="digits", steps=20, directory=tmp_path)
    lamina.push(run, "hf:me/digits", licence="apache-2.0")
    text = hub.repositories["me/digits"].commits[hub.repositories["me/digits"].refs["main"]]["README.md"].decode()
    _, head, page = text.split("---\n", 2)
    found = yaml.safe_load(head)
    assert (found["license"], found["library_name"], found["pipeline_tag"]) == (
        "apache-2.0", "lamina", "image-classification",
    )  # fmt: skip
    _, results = model_index_to_eval_results(found["model-index"])
    metrics = {one.metric_type: one.metric_value for one in results}
    assert metrics["accuracy"] == run.directory.results()["metrics"]["accuracy"]
    assert {one.dataset_split for one in results} == {"test"}
    for words in ('lamina.open_run("hf:me/digits")', "run.predict(", "## Limits", "## Licence", "## Data", "CC BY 4.0"):
        assert words in page
    code = page.split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) == 3
    compile(code, "card", "exec")


def test_every_verb_takes_a_run_of_the_hub(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["push", str(OLD_RUNS / "table"), "hf:me/patients@trial", "--private", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["pushed"].startswith("hf:me/patients@")
    assert "--licence" in err
    assert "me/patients" in hub.private
    assert "model.safetensors" not in next(iter(hub.repositories["me/patients"].commits.values()))
    row = json.dumps({column.name: 0.5 for column in lamina.open_run(OLD_RUNS / "table").preprocess.columns})
    for words in (["predict", row], ["info"], ["export", "--to", "torch"], ["embed", row]):
        verb, *more = words
        assert main([verb, "hf:me/patients@trial", *more, "--json"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["predict", "hf:me/patients@other", row]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no revision 'other'" in line


def test_no_place_of_this_machine_is_pushed(hub: FakeHub, tmp_path: Path) -> None:
    secret = tmp_path / "secret-folder"
    secret.mkdir()
    rows = "\n".join(f"{k % 7},{k % 3},{'yes' if k % 2 else 'no'}" for k in range(60))
    (secret / "houses.csv").write_text(f"a,b,target\n{rows}\n")
    run = lamina.train("mlp", data=str(secret / "houses.csv"), steps=3, directory=secret, report=False)
    place = lamina.push(run, "hf:me/houses")
    for commit in hub.repositories["me/houses"].commits.values():
        for name, content in commit.items():
            assert b"secret-folder" not in content, name
            assert str(tmp_path).encode() not in content, name
    again = lamina.open_run(place)
    assert again.predict({"a": 1, "b": 2}) == run.predict({"a": 1, "b": 2})
    assert lamina.open_run(place, data=str(secret / "houses.csv")).evaluate() == run.evaluate()
    with pytest.raises(LaminaError, match="--data"):
        again.evaluate()


def test_a_second_run_replaces_the_first_whole(hub: FakeHub) -> None:
    first = lamina.push(OLD_RUNS / "text", "hf:me/mine")
    second = lamina.push(OLD_RUNS / "image", "hf:me/mine", message="digits instead")
    repository = hub.repositories["me/mine"]
    assert "tokenizer.json" in repository.commits[first.partition("@")[2]]
    assert "tokenizer.json" not in repository.commits[second.partition("@")[2]]
    assert lamina.open_run(first).generate("the ", max_new_tokens=3, seed=1)
    assert lamina.open_run("hf:me/mine").predict(PICTURE) == lamina.open_run(OLD_RUNS / "image").predict(PICTURE)


def refusing(status: int, code: str = "") -> Callable[[str, Answer], Answer]:
    return lambda method, good: (status, {"X-Error-Code": code} if code else {}, b'{"error": "no"}')


@pytest.mark.parametrize("end", ["/api/repos/create", "/preupload/main", "/objects/batch", "/commit/main"])
@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(401, UsageError, "HF_TOKEN"), (403, UsageError, "HF_TOKEN"), (404, UsageError, "404"), (500, DataError, "500")],
)
def test_a_hub_that_refuses_is_one_line(hub: FakeHub, end: str, status: int, kind: type[Exception], words: str) -> None:
    hub.faults[end] = refusing(status)
    with pytest.raises(kind) as raised:
        lamina.push(OLD_RUNS / "image", "hf:me/mine")
    assert words in str(raised.value)
    assert "me/mine" in str(raised.value)
    assert "\n" not in str(raised.value)
    commits = hub.repositories["me/mine"].commits.values() if "me/mine" in hub.repositories else ()
    assert end.startswith("/commit") or not any("model.safetensors" in files for files in commits)


@pytest.mark.parametrize("fault", [(422, {}, b"wrong sum"), (500, {}, b""), (403, {}, b"")])
def test_large_files_that_do_not_arrive_are_one_line(hub: FakeHub, fault: Answer) -> None:
    from lamina.runs.weights import digest

    hub.faults[digest(OLD_RUNS / "image" / "model.safetensors")] = lambda method, good: fault
    with pytest.raises(LaminaError, match=str(fault[0])) as raised:
        lamina.push(OLD_RUNS / "image", "hf:me/mine")
    assert "\n" not in str(raised.value)


def test_a_hub_that_is_not_there_is_one_line(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="cannot be reached") as raised:
        lamina.push(OLD_RUNS / "image", "hf:me/mine")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["model.safetensors", "preprocess.json", "card.json"])
def test_a_file_that_is_not_what_the_hub_lists_is_refused(hub: FakeHub, file: str) -> None:
    place = lamina.push(OLD_RUNS / "image", "hf:me/mine")

    def spoilt(method: str, good: Answer) -> Answer:
        status, headers, body = good
        return status, headers, body[:-2] + b"  " if method == "GET" else body

    hub.faults[f"/{file}"] = spoilt
    with pytest.raises(DataError, match=f"{file} of .* is not what the hub lists"):
        lamina.open_run(place)


def test_weights_that_are_no_run_are_refused(hub: FakeHub) -> None:
    hub.put("me/weights", {"model.safetensors": (OLD_RUNS / "image" / "model.safetensors").read_bytes()})
    with pytest.raises(UsageError, match="no run of Lamina"):
        lamina.open_run("hf:me/weights")


@pytest.mark.parametrize("to", ["me/mine", "hf:mine", "hf:", "hf:me/mine/inside", "hf:../../etc", "runs/other"])
def test_another_spelling_is_refused(to: str) -> None:
    with pytest.raises(UsageError, match="hf:USER/NAME"):
        lamina.push(OLD_RUNS / "image", to)


def test_a_run_without_weights_is_not_pushed(hub: FakeHub, tmp_path: Path) -> None:
    path = shutil.copytree(OLD_RUNS / "image", tmp_path / "run")
    (path / "model.safetensors").unlink()
    with pytest.raises(LaminaError, match="no weights yet"):
        lamina.push(path, "hf:me/mine")
    assert not hub.repositories
