"""Runs that an earlier version wrote are opened, say what they said there, and go on where they were stopped.

``make_old_runs.py`` made them, by the package of commit 5372e82.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from make_old_runs import FIGURES, FINISHED, OLD_RUNS, STOPPED, patients, told, versions

import lamina
from lamina.tasks.facts import quality

KNOWN: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
WITHIN = {"history": 1e-6, "evaluate": 1e-6}
"""how far figures may be from those of that version, in their own size; what is said of an item: 1e-5"""

WITHOUT_AVERAGE = ("stopped-text",)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of all old runs."""
    return Path(shutil.copytree(OLD_RUNS, tmp_path / "old"))


def expect_data(name: str) -> None:
    """The embedded texts come with Python and Babel: with others than that version had, they are others."""
    data = yaml.safe_load((OLD_RUNS / name / "config.yaml").read_text(encoding="utf-8"))["data"]
    if KNOWN["versions"].get(data) != versions().get(data):
        pytest.skip(f"{data} are not the texts that the run was trained on: another version of Python or Babel")


def differences(found: Any, known: Any, place: str, within: float) -> list[str]:
    """What is not as it was: floats within a tolerance, all else exactly."""
    if isinstance(known, dict) and isinstance(found, dict) and list(known) == list(found):
        return [one for key in known for one in differences(found[key], known[key], f"{place}/{key}", within)]
    if isinstance(known, list | tuple) and isinstance(found, list | tuple) and len(known) == len(found):
        both = enumerate(zip(found, known, strict=True))
        return [one for number, (a, b) in both for one in differences(a, b, f"{place}/{number}", within)]
    if isinstance(known, float) and isinstance(found, float):
        same = math.isclose(found, known, rel_tol=within, abs_tol=within)
    else:
        same = found == known
    return [] if same else [f"{place}: {found!r}, where it was {known!r}"]


def without_facts(value: Any) -> Any:
    """Without the comparisons with a constant prediction, which old runs did not have."""
    if isinstance(value, list):
        return [without_facts(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without_facts(value[key]) for key in value if quality([key.removeprefix("validation_")])}


def expect_as_told(name: str, run: lamina.Run) -> None:
    found, known = without_facts(told(run)), KNOWN[name]
    wrong = [one for key in known for one in differences(found[key], known[key], key, WITHIN.get(key, 1e-5))]
    assert not wrong, f"{len(wrong)} values differ: " + "; ".join(wrong[:5])


@pytest.mark.parametrize("name", FINISHED)
def test_an_old_run_says_what_it_said(name: str, old: Path) -> None:
    expect_data(name)
    run = lamina.open_run(old / name)
    expect_as_told(name, run)
    assert "</html>" in run.report().read_text(encoding="utf-8")


def test_an_old_run_is_exported(old: Path) -> None:
    run = lamina.open_run(old / "table")
    exported = lamina.open_exported(run.export("onnx").path).predict(*patients())
    assert not differences(exported, KNOWN["table"]["predict"], "", 1e-5)


@pytest.mark.parametrize("name", STOPPED)
def test_an_old_run_stopped_in_mid_epoch_goes_on_and_ends_as_it_would_have(name: str, old: Path) -> None:
    expect_data(name)
    run = lamina.open_run(old / name)
    assert len(run.history) == 1
    begun = run.evaluate("validation")["loss"]
    assert begun == pytest.approx(run.history[0]["validation_loss"]), "the weights of its first epoch"
    resumed = lamina.train(name=name, directory=old, resume=True, report=False)
    assert resumed.path == run.path
    expect_as_told(name, resumed)
    assert lamina.open_run(old / name).evaluate("validation")["loss"] < begun


@pytest.mark.parametrize("name", WITHOUT_AVERAGE)
def test_an_old_configuration_trains_the_same_again(name: str, old: Path, tmp_path: Path) -> None:
    """From the first step, where the old run was stopped on its way and resumed. A run with an average begins it with a
    ramp now, which the old one did not."""
    expect_data(name)
    run = lamina.train(config=str(old / name / "config.yaml"), name=name, directory=tmp_path, report=False)
    expect_as_told(name, run)


@pytest.mark.parametrize("name", FINISHED)
def test_an_old_configuration_is_read_and_written_as_it_was(name: str, old: Path, tmp_path: Path) -> None:
    expect_data(name)
    asked = old / name / "config.yaml"
    run = lamina.train(config=str(asked), name=name, directory=tmp_path, steps=2, report=False)
    wanted = yaml.safe_load(asked.read_text(encoding="utf-8")) | {"epochs": None, "images": None, "steps": 2}
    written = yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8"))
    written |= written["augmentation"]  # a group of its own now
    assert {key: written[key] for key in wanted} == wanted
    for file in ("preprocess.json", "data.json"):  # fitted on the same samples
        one, two = (json.loads((folder / file).read_text(encoding="utf-8")) for folder in (run.path, old / name))
        one = {key: value for key, value in one.items() if key in two}  # what is known of data may have become more
        assert not differences(one, two, file, 1e-9)
