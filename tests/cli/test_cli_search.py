"""The command line of searches, and what its options do: limits, latency, proxies, several workers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import lamina as library
from lamina.errors import UsageError
from lamina.runs.training import prepare
from lamina.search.costs import jacov, synflow
from lamina.search.options import SearchOptions
from lamina.search.searching import Search, as_space, begin, open_search
from lamina.search.workers import run_workers
from waiting import until

Lamina = Callable[..., tuple[int, str, str]]
SMALL = ("mlp", "--data", "iris", "--strategy", "random", "--no-baseline", "--epochs", "2", "--trial-epochs", "1")


@pytest.fixture
def searched(lamina: Lamina) -> Lamina:
    """A search with two objectives and a limit."""
    limits = ("--minimize", "latency", "--max-macs", "60")
    status, out, err = lamina("search", *SMALL, "--space", "model.hidden=[4],[8],[64]", "--trials", "2", *limits)
    assert status == 0, err
    assert "search: runs/mlp-iris-search" in out
    return lamina


def test_search_retrain_export_front_report(searched: Lamina) -> None:
    folder = Path("runs/mlp-iris-search")
    found = open_search(folder)
    assert sorted(trial.point["model.hidden"] for trial in found.trials) == [[4], [8]]  # 64 has 448 multiply-adds
    assert [trial.info["macs"] for trial in found.trials] == [
        {4: 28, 8: 56}[trial.point["model.hidden"][0]] for trial in found.trials
    ]
    assert all(trial.info["latency"] > 0 and trial.values[1] == trial.info["latency"] for trial in found.trials)  # type: ignore[index]

    status, out, _ = searched("search", "export", folder)
    recipe = yaml.safe_load(out)
    assert status == 0
    assert (recipe["model"]["hidden"], recipe["epochs"]) == (list(found.best.point["model.hidden"]), 2)
    assert yaml.safe_load(searched("search", "export", folder, "--trial", "1")[1])["model"]["hidden"] == list(
        found.trial(1).point["model.hidden"]
    )
    Path("best.yaml").write_text(out)
    assert searched("train", "--config", "best.yaml", "--name", "by-recipe")[0] == 0

    status, out, err = searched("search", "retrain", folder)
    assert status == 0, err
    best = library.open_run("runs/mlp-iris-search-best")
    assert len(best.history) == 2  # the recipe's length, not that of trials
    again = library.open_run("runs/by-recipe")
    for one, other in zip(best.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert searched("evaluate", "mlp-iris-search-best")[0] == 0
    assert searched("search", "retrain", folder, "--trial", "1", "--name", "second", "--epochs", "1")[0] == 0
    assert tuple(library.open_run("runs/second").config.model["hidden"]) == tuple(found.trial(1).point["model.hidden"])

    front = json.loads(searched("search", "front", folder, "--json")[1])
    assert front["objectives"] == ["accuracy", "latency"]
    assert [trial["number"] for trial in front["front"]] == [trial.number for trial in found.front]
    (folder / "report.html").unlink()
    status, out, _ = searched("search", "report", folder)
    assert (status, out.strip()) == (0, str(folder / "report.html"))
    assert (folder / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("retrain",), "which search?"),
        (("retrain", "absent"), "no such search: runs/absent"),
        (("export", "absent"), "no such search"),
        (("report", "."), "no search is in"),
        (("retran", "runs/a"), "did you mean 'retrain'?"),
        (SMALL, "--space is missing"),
        ((*SMALL, "--space", "lr=0:1:log"), "log"),
        ((*SMALL, "--space", "lr=0.1"), "one"),
        ((*SMALL, "--space", "lr=1e-3:1e-1", "--workers", "0"), "--workers must be at least 1"),
        ((*SMALL, "--space", "lr=1e-3:1e-1", "--minimize", "size"), "minimize"),
    ],
)
def test_one_line_for_each(lamina: Lamina, words: tuple[str, ...], message: str) -> None:
    status, _, err = lamina("search", *words)
    assert status == 2, err
    assert message in err
    assert len(err.strip().splitlines()) <= 2
    assert not list(Path().glob("runs/*/trial-*"))


def begun(folder: Path, **search: Any) -> Search:
    options = {"data": "iris", "epochs": 2, "seed": 0}
    space = as_space({"lr": {"low": 1e-3, "high": 1e-1, "log": True}})
    return begin("mlp", options, space, {"name": "random"}, SearchOptions(baseline=False, **search), directory=folder)


def test_two_workers_share_the_trials(tmp_path: Path) -> None:
    found = begun(tmp_path, trials=6)

    def others() -> set[int]:
        return {trial.worker["pid"] for trial in found.trials} - {os.getpid()}

    run_workers(found, 2, show=lambda trial: until(others, "a trial of the second worker"))
    assert [trial.state for trial in found.trials] == ["complete"] * 6
    assert len(others()) == 1
    alone = begun(tmp_path / "alone", trials=6)
    run_workers(alone, 1)
    assert [(t.point, t.values) for t in alone.trials] == [(t.point, t.values) for t in found.trials]


def untrained(model: str, data: str, **options: Any) -> Any:
    return prepare(model, {"data": data, "model": options}, directory="-", dry=True)


def test_synflow_of_a_linear_map_and_of_two() -> None:
    """R = sum_ij |w_ij| + sum_i |b_i| for an input of ones: so is sum |w dR/dw|; of two layers each path counts."""
    training = untrained("mlp", "iris", hidden=[], dropout=0.0)
    total = sum(float(p.detach().abs().double().sum()) for p in training.parts.model.parameters())
    assert synflow(training) == pytest.approx(math.log(total), rel=1e-9)
    training = untrained("mlp", "iris", hidden=[3], dropout=0.0, activation="relu")
    first, last = (m for m in training.parts.model.modules() if isinstance(m, torch.nn.Linear))
    w, b, v, c = (p.detach().abs().double() for p in (first.weight, first.bias, last.weight, last.bias))
    kept = [value.clone() for value in training.parts.model.state_dict().values()]
    assert training.parts.model.config.activation == "relu"
    # |w dR/dw| of each layer is what flows through it: all of R but for c, and but for b and c
    whole = float((v @ w).sum() + (v @ b).sum())
    expected = float((v @ w).sum()) + float((v @ b).sum()) + whole + float(c.sum())
    assert synflow(training) == pytest.approx(math.log(expected), rel=1e-9)
    after = training.parts.model.state_dict().values()
    assert all(torch.equal(one, other) for one, other in zip(kept, after, strict=True))


def test_jacov_prefers_models_whose_gradients_differ() -> None:
    linear = jacov(untrained("mlp", "iris", hidden=[], dropout=0.0))
    # all rows equal: one eigenvalue is 32 and the others are 0, each -(log e + 1 / e) with e = 1e-5
    each = -(math.log(1e-5) + 1e5)
    assert linear == pytest.approx(31 * each, rel=1e-2)
    assert jacov(untrained("mlp", "iris", hidden=[64, 64], dropout=0.0, activation="relu")) > linear


@pytest.mark.parametrize("proxy", ["synflow", "jacov", "parameters", "macs"])
def test_a_proxy_trains_nothing_and_is_called_one(tmp_path: Path, proxy: str) -> None:
    options = {"data": "iris", "seed": 0}
    space = as_space({"model.hidden": [[16], [32], [64]]})
    search = SearchOptions(trials=3, baseline=False, proxy=proxy)  # type: ignore[arg-type]
    found = begin("mlp", options, space, {"name": "random"}, search, directory=tmp_path)
    found.work()
    assert found.objectives[0].name == f"proxy {proxy}"
    assert not list(found.path.glob("trial-*"))
    values = {trial.point["model.hidden"][0]: trial.values[0] for trial in found.trials}  # type: ignore[index]
    assert len(values) == 3
    if proxy in ("parameters", "macs"):
        expected = {h: 4 * h + 3 * h + (h + 3 if proxy == "parameters" else 0) for h in (16, 32, 64)}
        assert values == expected
    assert found.best.point["model.hidden"] == [max(values, key=values.__getitem__)]
    assert f"proxy {proxy}" in found.report().read_text()
    with pytest.raises(UsageError, match="prune is for trainings"):
        SearchOptions(proxy=proxy, prune="asha")  # type: ignore[arg-type]
