"""A search from end to end: architectures and recipe searched on two cores, what was found trained in full.

The space: the six operations of a cell of NAS-Bench-201 (one cell a stage, 8, 16 and 32 channels), rate and weight
decay. Trials are short and small (10,000 pictures of Fashion-MNIST at 16 x 16 pixels, 4 epochs; digits 12 epochs) and
judged by the loss on a fifth of the training data. TPE works until 20 minutes of two cores, 2,400 seconds of CPU time
of one process with one thread, are spent; then as many points drawn at random are trained as the search had trials.
The best trial of each, by validation loss alone, is trained in full with three seeds and judged on the test split, and
``lenet5`` beside them with its published recipe and the same data. All settings are here, committed before any verdict.

    python -m benchmarks.end_to_end                         # both sets, 20 minutes of two cores each
    python -m benchmarks.end_to_end end-to-end-digits       # one of them
    python -m benchmarks.end_to_end end-to-end-digits-short # a quarter of the time, which the bar does not speak of

An interrupted one goes on where it was: trials from their checkpoints, the time that was spent counted after each
trial (the part of a trial before a kill is lost to the count). Needs ``$LAMINA_DATA/fashion_mnist``.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.laboratory import Laboratory, Row, Values, main, where
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.files import write_whole
from lamina.layers.cells.nasbench import EDGE_OPERATIONS
from lamina.search.options import SearchOptions
from lamina.search.searching import Search, begin
from lamina.search.space import Space

BUDGET = 2 * 20 * 60.0
SHORT = BUDGET / 4
SEEDS = (0, 1, 2)
PICTURES = 10_000
STRATEGY: Mapping[str, Any] = {"name": "tpe"}
SPACE: Mapping[str, Any] = {
    **{f"model.edge_{edge}": list(EDGE_OPERATIONS) for edge in ("01", "02", "12", "03", "13", "23")},
    "lr": {"low": 5e-4, "high": 3e-2, "log": True},
    "weight_decay": {"low": 1e-4, "high": 1e-1, "log": True},
}
COMMON: Mapping[str, Any] = {"optimizer": "adamw", "schedule": "cosine", "warmup": 0.1, "decay_norm_and_bias": False}
MODEL: Mapping[str, Any] = {"cells": 1, "widths": [8, 16, 32]}
SETS: Mapping[str, Mapping[str, Any]] = {
    "digits": {
        "data": {"data": "digits"},
        "recipe": {**COMMON, "batch_size": 32, "shift": 1},
        "trial": {"epochs": 12, "validation": 0.2, "monitor": "loss"},
        "trial_model": {"image_size": 16},
        "full": {"epochs": 60, "validation": 0.1},
        "full_model": {"image_size": 16},
        "lenet5": "lenet5-digits",
    },
    "fashion-mnist": {
        "data": {"data": "fashion-10k.npz"},
        "recipe": {**COMMON, "batch_size": 64, "shift": 1, "flip": True},
        "trial": {"epochs": 4, "validation": 0.2, "monitor": "loss"},
        "trial_model": {"image_size": 16},
        "full": {"epochs": 15, "validation": 0.0},
        "full_model": {"image_size": 28},
        "lenet5": "lenet5-fashion-mnist",
    },
}
"""what every training of a set has, what its trials have, and what the trainings of the end have beside it"""


def data_of(laboratory: Laboratory, name: str) -> dict[str, Any]:
    """The data of a set; the first 10,000 training pictures of Fashion-MNIST and its test pictures as a file."""
    assert laboratory.directory is not None
    own = dict(SETS[name]["data"])
    if not own["data"].endswith(".npz"):
        return own
    path = laboratory.directory.absolute() / own["data"]
    if not path.is_file():
        source: Any = open_source(where({"data": "$LAMINA_DATA/fashion_mnist"}), options=DataOptions(validation=0.0))
        arrays = {}
        for split, number in (("train", PICTURES), ("test", None)):
            samples = source.splits[split]
            arrays[f"x_{split}"] = samples.images_NCHW[:number].numpy()
            arrays[f"y_{split}"] = samples.targets[:number].numpy()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: np.savez_compressed(file, **arrays))
    return {**own, "data": str(path)}


def opened(laboratory: Laboratory, name: str, budget: float, trials: int, baseline: bool) -> Search:
    """The search of a set with so many trials, begun or gone on with."""
    own, folder = SETS[name], folder_of(laboratory, name, budget)
    options = {
        **data_of(laboratory, name), **own["recipe"], **own["trial"], "accelerator": "cpu", "seed": 0,
        "model": {**MODEL, **own["trial_model"]},
    }  # fmt: skip
    search = SearchOptions(trials=trials, baseline=baseline)
    return begin(
        "nasbench201", options, Space.of(SPACE), STRATEGY, search, name=folder.name, directory=folder.parent,
        resume=True,
    )  # fmt: skip


def folder_of(laboratory: Laboratory, name: str, budget: float) -> Path:
    assert laboratory.directory is not None
    return laboratory.directory / f"search-{name}-{budget:.0f}"


def count(trials: Any) -> int:
    return sum(trial.repeats is None for trial in trials)


def searched(laboratory: Laboratory, name: str, budget: float) -> Values:
    """Trial after trial until the time is spent."""
    folder = folder_of(laboratory, name, budget)
    clock = folder / "cpu_seconds.json"
    spent = float(json.loads(clock.read_text())) if clock.is_file() else 0.0
    found = opened(laboratory, name, budget, 1, baseline=False)
    while spent < budget:
        began = time.process_time()
        before = count(trial for trial in found.trials if trial.state != "running")
        found = opened(laboratory, name, budget, before + 1, baseline=False)
        found.work()
        spent += time.process_time() - began
        clock.write_text(f"{spent:.1f}\n")
        print(f"{name}: {before + 1} trials, {spent:.0f} of {budget:.0f} CPU seconds", flush=True)
    return {"search": spent, **summary(found, found.trials)}


def compared(laboratory: Laboratory, name: str, budget: float, trials: int) -> Values:
    """As many points drawn at random; those that the search drew itself are not trained again."""
    found = opened(laboratory, name, budget, trials, baseline=True)
    found.work()
    return summary(found, found.random)


def best_of(found: Search, trials: Any) -> Any:
    done = [trial for trial in trials if trial.state == "complete"]
    return max(done, key=lambda trial: (found.score(trial), -trial.number))


def summary(found: Search, trials: Any) -> Values:
    """The number of trials, the loss of the best, and its point: operations by their place in EDGE_OPERATIONS."""
    best = best_of(found, trials)
    point = {
        key: float(EDGE_OPERATIONS.index(value) if isinstance(value, str) else value)
        for key, value in best.point.items()
    }
    return {
        "trials": count(trials),
        "failed": sum(trial.state == "failed" for trial in trials),
        "loss": best.values[0],
        **point,
    }


def retrained(laboratory: Laboratory, name: str, budget: float, trials: int, side: str, seed: int) -> Values:
    """The chosen point in full, judged on the test split."""
    found, own = opened(laboratory, name, budget, trials, baseline=True), SETS[name]
    best = best_of(found, found.trials if side == "search" else found.random)
    edges = {key.removeprefix("model."): value for key, value in best.point.items() if key.startswith("model.")}
    rest = {key: value for key, value in best.point.items() if not key.startswith("model.")}
    settings = {
        **data_of(laboratory, name), **own["recipe"], **own["full"], **rest, "seed": seed,
        "model_options": {**MODEL, **own["full_model"], **edges},
    }  # fmt: skip
    run, seconds = laboratory.train("nasbench201", settings)
    return {"error": 1 - run.evaluate("test")["accuracy"], "training": seconds}


def beside(laboratory: Laboratory, name: str, seed: int) -> Values:
    """LeNet-5 by its recipe."""
    own = SETS[name]
    run, seconds = laboratory.train(None, {"config": own["lenet5"], **data_of(laboratory, name), "seed": seed})
    return {"error": 1 - run.evaluate("test")["accuracy"], "training": seconds}


def end_to_end(name: str, budget: float, laboratory: Laboratory) -> Iterator[Row]:
    own = json.loads(json.dumps({**SETS[name], "budget": budget, "space": SPACE, "model": MODEL, **STRATEGY}))
    label = name if budget == BUDGET else f"{name}-short"
    title = f"{name}, {budget / 120:.0f} minutes of two cores"
    measured = laboratory.measured
    search = measured(f"{label}/search", own, partial(searched, laboratory, name, budget))
    trials = int(search["trials"])
    again = {**own, "trials": trials}
    random = measured(f"{label}/random", again, partial(compared, laboratory, name, budget, trials))
    text = (
        f"{search['loss']:.4f}; random {random['loss']:.4f}; {trials} trials each, {search['search']:.0f} CPU seconds"
    )
    yield Row(f"{title}: best validation loss of a trial", text, "-", None)
    errors: dict[str, list[float]] = {"search": [], "random": [], "lenet5": []}
    for seed in SEEDS:
        for side in ("search", "random"):
            measure = partial(retrained, laboratory, name, budget, trials, side, seed)
            errors[side].append(measured(f"{label}/{side}/{seed}", {**again, "seed": seed}, measure)["error"])
        settings = {"recipe": own["lenet5"], **own["data"], "seed": seed}
        errors["lenet5"].append(
            measured(f"{name}/lenet5/{seed}", settings, partial(beside, laboratory, name, seed))["error"]
        )
    mean = {side: statistics.fmean(values) for side, values in errors.items()}
    shown = {side: f"{mean[side]:.2%} ± {statistics.stdev(values):.2%}" for side, values in errors.items()}
    for other, what in (("random", "the best of as many random trials"), ("lenet5", "`lenet5` with its recipe")):
        bar = f"<= {shown[other]}, {what}"
        reached = mean["search"] <= mean[other]
        yield Row(f"{title}, then in full: test error, three seeds", shown["search"], bar, reached)


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    **{f"end-to-end-{name}": partial(end_to_end, name, BUDGET) for name in SETS},
    **{f"end-to-end-{name}-short": partial(end_to_end, name, SHORT) for name in SETS},
}

if __name__ == "__main__":
    main("end_to_end", __doc__ or "", EXPERIMENTS)
