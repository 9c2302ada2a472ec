"""Is the model good that a user gets who names none? `lamina train --data D` as it comes, on twelve data sets.

The rules (`runs/advice.yaml`, `runs/fitting.yaml`) are tuned on imagenette-14, fashion-1000, breast-cancer, diabetes,
sst2-2000 and digits; the other sets judge them. Three seeds, at most three minutes each, one thread. Simple models of
scikit-learn stand beside, on the same splits; a network must not be below the majority or the mean, and not more than
one standard error (of the test split's size) below the linear one. Regret is the distance to the best of five models,
one seed each, of the same three minutes.

    python -m benchmarks.defaults baselines        # first
    python -m benchmarks.defaults iris             # one of the sets: as it comes
    python -m benchmarks.defaults regret-iris      # its other models
    python -m benchmarks.defaults                  # all; what was measured before is not measured again
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.laboratory import Laboratory, Row, UnmeasuredError, Values, main
from benchmarks.series import etth1
from lamina.runs.baselines import baselines

SEEDS = (0, 1, 2)
MINUTES = 3
"""of CPU time for each training; the limit of `lamina train --data D` is as long"""
SLACK = 1.15
"""the limit is a number of steps, from the time of the first ones"""
REGRET = 2.0
"""points, on average over the sets"""
Model = tuple[str, dict[str, Any]]
"""a variant, and options of its own"""
SMALL = [(name, {}) for name in ("lenet5", "resnet20", "mlp", "mobilenet-v3-small", "squeezenet-1.1")]
PHOTOGRAPHS = [(name, {}) for name in ("resnet18", "mobilenet-v3-small", "squeezenet-1.1", "convnext-tiny", "lenet5")]
TABLES = [("mlp", {}), *(("mlp", {"hidden": widths}) for widths in ([], [128], [64, 64], [256, 256]))]
TEXTS = [(f"{name}-classifier", {}) for name in ("lstm", "gru", "rnn", "transformer")]
TEXTS += [("lstm-classifier", {"hidden_size": 64})]
SERIES = [(name, {}) for name in ("dlinear", "nlinear", "mlp-forecaster", "nbeats", "gru-forecaster")]


@dataclass(frozen=True)
class Set:
    """A data set and what stands beside the network on it."""

    options: dict[str, Any]
    metric: str
    simple: str
    """no knowledge"""
    linear: str
    """"" : none has a bar"""
    models: list[Model]
    tuned: bool = False
    """whether the rules have seen it"""


CLASSES = ("accuracy", "most frequent class", "logistic regression")
NUMBERS = ("rmse", "mean", "ridge regression")
IMAGENETTE = "$LAMINA_DATA/imagenette_224_subset/imagenette_224_subset.tar.gz"
FASHION = "$LAMINA_DATA/fashion_mnist"
FACES = "$LAMINA_DATA/orl_faces/att_faces.tar.gz"
SERIES_OPTIONS = {name: etth1.DATA[name] for name in ("data", "time", "target", "rows", "context", "horizon")}
SETS = {
    "iris": Set({"data": "iris"}, *CLASSES, TABLES),
    "wine": Set({"data": "wine"}, *CLASSES, TABLES),
    "breast-cancer": Set({"data": "breast-cancer"}, *CLASSES, TABLES, tuned=True),
    "diabetes": Set({"data": "diabetes"}, *NUMBERS, TABLES, tuned=True),
    "digits": Set({"data": "digits"}, *CLASSES, SMALL, tuned=True),
    "fashion-1000": Set({"data": FASHION, "limit": 1000}, *CLASSES, SMALL, tuned=True),
    "fashion-10000": Set({"data": FASHION, "limit": 10_000}, *CLASSES, SMALL),
    "orl-faces": Set({"data": FACES}, *CLASSES, SMALL),
    "imagenette-14": Set({"data": IMAGENETTE, "limit": 140}, *CLASSES, PHOTOGRAPHS, tuned=True),
    "imagenette": Set({"data": IMAGENETTE}, *CLASSES, PHOTOGRAPHS),
    "sst2-2000": Set(
        {"data": "$LAMINA_DATA/sst2", "limit": 2000}, *CLASSES[:2], "logistic regression of TF-IDF", TEXTS, tuned=True
    ),
    "etth1": Set(SERIES_OPTIONS, "mse", "seasonal mean", "", SERIES),
}
LOWER = ("rmse", "mse")


def beside(laboratory: Laboratory) -> Iterator[Row]:
    """The simple models of every set, on its test split."""
    for name in SETS:
        found = simple_models(laboratory, name)
        text = ", ".join(f"{model} {value:.4f}" for model, value in found.items() if model != "samples")
        yield Row(f"{name}: simple models, {SETS[name].metric} of {found['samples']:,.0f}", text, "-", None)


def simple_models(laboratory: Laboratory, name: str) -> Values:
    """The scores of simple models by name, and "samples", the size of the split they are judged on."""
    of = SETS[name]

    def measure() -> Values:
        run, _ = laboratory.train(None, {**of.options, "steps": 1})
        if of.metric == "mse":
            closed = {model: etth1.closed(model) for model in etth1.BESIDE}
            return {model: values["mse"] for model, values in closed.items()} | {
                "samples": closed[of.simple]["windows"]
            }
        scores = baselines(run, run.final_split)
        size = float(run.source.spec.sizes[run.final_split])
        return {model: values[of.metric] for model, values in scores.items()} | {"samples": size}

    return laboratory.measured(f"beside {name}", of.options, measure)


def scored(laboratory: Laboratory, model: Model | None, of: Set, seed: int) -> Values:
    """The metric of a training on the test split; None: of the model that is advised."""
    name, own = model or (None, {})
    given = {} if model is None else {"minutes": MINUTES, "model_options": own}
    run, seconds = laboratory.train(name, {**of.options, **given, "seed": seed})
    found = run.evaluate(run.final_split)
    return {"score": found[of.metric], "training": seconds, "steps": run.history[-1]["step"]}


def as_it_comes(name: str, laboratory: Laboratory) -> Iterator[Row]:
    """One data set, three seeds."""
    of, simple = SETS[name], simple_models(laboratory, name)
    found = [
        laboratory.measured(f"{name} {seed}", {**of.options, "seed": seed}, partial(scored, laboratory, None, of, seed))
        for seed in SEEDS
    ]
    mean = statistics.fmean(one["score"] for one in found)
    sign = -1 if of.metric in LOWER else 1
    above = sign * (mean - simple[of.simple]) >= 0
    within, error = True, 0.0
    if of.linear:
        value, samples = simple[of.linear], simple["samples"]
        error = value / math.sqrt(2 * samples) if sign < 0 else math.sqrt(value * (1 - value) / samples)
        within = sign * (mean - value) >= -error
    longest = max(one["training"] for one in found) / 60
    each = ", ".join(f"{one['score']:.4f}" for one in found)
    others = ", ".join(f"{model} {value:.4f}" for model, value in simple.items() if model != "samples")
    text = f"{mean:.4f} ({each}); {others}; at most {longest:.1f} CPU minutes"
    bar = f"{of.simple}" + (f", {of.linear} - {error:.4f}" if of.linear else "") + f", {MINUTES} CPU minutes"
    judged = "tuned on" if of.tuned else "judged"
    yield Row(f"{name} ({judged}): {of.metric}", text, bar, above and within and longest <= MINUTES * SLACK)


def regret(name: str, laboratory: Laboratory) -> Iterator[Row]:
    """Five models on one data set, one seed; the advised one's distance to the best, in points."""
    of = SETS[name]
    found = {}
    for model in of.models:
        label = " ".join([model[0], *(f"{key}={value}" for key, value in model[1].items())])
        settings = {**of.options, "model": list(model)}
        measure = partial(scored, laboratory, model, of, 0)
        found[label] = laboratory.measured(f"{name} {label}", settings, measure)["score"]
    settings = {**of.options, "seed": 0}
    advised = laboratory.measured(f"{name} 0", settings, partial(scored, laboratory, None, of, 0))["score"]
    sign = -1 if of.metric in LOWER else 1
    best = max(found.values(), key=lambda value: sign * value)
    points = max(0.0, 100 * sign * (best - advised) / (1.0 if sign > 0 else best))
    text = f"{points:.1f} points: as it comes {advised:.4f}; " + ", ".join(f"{k} {v:.4f}" for k, v in found.items())
    yield Row(f"{name}: regret", text, "-", None)


def mean_regret(laboratory: Laboratory) -> Iterator[Row]:
    """Over the sets that were measured."""
    points = {}
    for name in SETS:
        try:
            (row,) = regret(name, Laboratory(None, laboratory.record))
        except UnmeasuredError:
            continue
        points[name] = float(row.measured.split()[0])
    if not points:
        raise UnmeasuredError("regret")
    text = f"{statistics.fmean(points.values()):.2f} points over {len(points)} of {len(SETS)} sets"
    yield Row("mean regret", text, f"<= {REGRET:g}, of {len(SETS)}", statistics.fmean(points.values()) <= REGRET)


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    "baselines": beside,
    **{name: partial(as_it_comes, name) for name in SETS},
    **{f"regret-{name}": partial(regret, name) for name in SETS},
    "mean-regret": mean_regret,
}

if __name__ == "__main__":
    main("defaults", __doc__ or "", EXPERIMENTS)
