"""Searches that are killed, go on, and are worked on by several processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from random import Random
from typing import Any

import pytest
import search_children as children

import lamina
from lamina.search.searching import Search, open_search
from lamina.search.trials import Trial

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["search_children"])
SECONDS = 600


def plain(search: Search) -> list[tuple[Any, ...]]:
    return [(t.number, t.point, t.state, t.values, t.repeats, t.error) for t in search.trials]


@pytest.mark.parametrize("strategy", ["random", "evolution", "reinforce", "tpe"])
def test_a_search_killed_ten_times_equals_one_that_was_not(tmp_path: Path, strategy: str) -> None:
    whole = children.stubbed(tmp_path / "whole", strategy)
    random, folder = Random(strategy), tmp_path / "killed"
    kills = 0
    while kills < 10:
        how = random.choice(["before", "after", "within"])
        moment = random.randrange(1, 12)
        status = children.forked(lambda m=moment, h=how: children.killed_while_writing(folder, strategy, m, h))
        assert status in (0, -9)
        if status == 0:
            break  # it was over
        kills += 1
    assert kills >= 8
    found = children.stubbed(folder, strategy, resume=True)
    assert plain(found) == plain(whole)
    assert (found.best.number, found.best.point) == (whole.best.number, whole.best.point)
    assert {t.state for t in found.trials} <= {"complete", "failed"}
    assert sum(t.repeats is None for t in found.trials) == 30


def run_all(*calls: tuple[Any, ...]) -> list[int | None]:
    """Processes started at once: their exit codes."""
    processes = [CONTEXT.Process(target=target, args=args) for target, *args in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    return [process.exitcode for process in processes]


TRAINED = {
    "space": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "model.hidden": [[4], [8], [4, 4]]},
    "strategy": "random", "trials": 6, "epochs": 4, "seed": 2, "report": False,
}  # fmt: skip


def begun(folder: Path, storage: str | None, trials: int = 6, **more: Any) -> Search:
    """A search that nobody has worked on."""
    from lamina.search.options import SearchOptions
    from lamina.search.searching import as_space, begin

    search = SearchOptions(trials=trials, baseline=False, **more)
    options = {"data": "iris", "epochs": 4, "seed": 2}
    space = as_space(TRAINED["space"])
    return begin("mlp", options, space, {"name": "random"}, search, directory=folder, storage=storage)


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> Search:
    found = begun(tmp_path_factory.mktemp("whole"), None)
    found.work()
    return found


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_two_workers_one_killed_three_times(tmp_path: Path, kind: str, never_killed: Search) -> None:
    """One worker lives, and holds its trial while the other is killed, each time as it reports an epoch."""
    storage = None if kind == "journal" else f"sqlite:///{tmp_path}/trials.db"
    path = str(begun(tmp_path, storage, trials=3).path)
    holds, goes_on = CONTEXT.Event(), CONTEXT.Event()
    other = CONTEXT.Process(target=children.patient_worker, args=(path, holds, goes_on))
    other.start()
    try:
        assert holds.wait(SECONDS)
        for moment in (2, 1, 1):  # a trial that is taken up is killed again
            assert run_all((children.worker, path, moment)) == [-9]
            assert other.exitcode is None
            assert sum(trial.state == "running" for trial in open_search(path).trials) == 2
    finally:
        goes_on.set()
        other.join(SECONDS)
    assert other.exitcode == 0
    found = open_search(path)
    assert [(t.number, t.point, t.state, t.values) for t in found.trials] == [
        (t.number, t.point, t.state, t.values) for t in never_killed.trials[:3]
    ]
    assert sum(trial.taken_up for trial in found.trials) == 3
    assert all(trial.info["resumed_at"] > 0 for trial in found.trials if trial.taken_up)
    for trial in found.trials:
        assert weights(found, trial) == weights(never_killed, trial)
    assert len(list(found.path.glob("trial-*/config.yaml"))) == 3


def weights(search: Search, trial: Trial) -> bytes:
    return (search.path / trial.run / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_six_workers_start_at_once_on_an_absent_storage(tmp_path: Path, kind: str) -> None:
    storage = str(tmp_path / "log") if kind == "journal" else f"sqlite:///{tmp_path}/trials.db"
    assert run_all(*[(children.joins, str(tmp_path), storage)] * 6) == [0] * 6
    found = open_search(tmp_path / "s", children.value)
    assert len(found.trials) == 12
    assert all(trial.state in ("complete", "failed") for trial in found.trials)
    assert len({found.space.key(trial.point) for trial in found.trials}) == 12


def test_pruned_trials_are_runs_that_can_be_resumed(tmp_path: Path) -> None:
    found = begun(tmp_path, None, prune="asha")
    found.work()
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        run = lamina.open_run(found.path / trial.run)
        assert len(run.history) < 4
        whole = lamina.train("mlp", "iris", name=trial.run, directory=found.path, resume=True, report=False)
        assert len(whole.history) == 4
        assert whole.evaluate()["accuracy"] >= 0
    assert found.best.state == "complete"
