"""The CPU twins of the image families, on 10,000 images of Fashion-MNIST: under "auto" (precision and memory format).

Three seeds under "auto", by `lamina reproduce` (`results/`), beside the one in float32 that was committed before. The
mean must not be below that by more than two standard errors of the difference between one seed and the mean of three:
2 * sqrt(1 + 1/3) times the deviation between seeds, which is pooled over the families. A family whose recipe is another
now is compared with the bar of all twins only, .8872. The committed minutes of float32 do not say with how many threads
they were measured; so the seconds of a step are measured both ways, in turn, in one process of one thread, and tell by
how much a training is faster.

    python -m benchmarks.twins steps        # first, on an idle machine
    python -m benchmarks.twins vgg          # one of the families, as `lamina reproduce vgg-fashion-10k`
    python -m benchmarks.twins              # all; what has a result of three seeds is not trained again
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lamina
from benchmarks.laboratory import Laboratory, Row, UnmeasuredError, Values, main
from lamina.reproduction.results import Result, load_results, reproduce, save_result
from lamina.runs.machine import FOUND
from lamina.training import trial

BEFORE = "17105f9"
"""the commit whose results are in float32"""
FAMILIES = (
    *("alexnet", "vgg", "squeezenet", "resnet-cifar", "resnet", "densenet", "mobilenet-v1", "mobilenet-v2"),
    *("mobilenet-v3", "efficientnet", "coatnet", "convnext", "swin"),
)
CHANGED = ("convnext", "swin")
"""their recipes are others now"""
TURNS = 3
"""turns of both ways, of which the fastest counts for each"""
FOLDER = Path(__file__).parent.parent / "results"


def twin(family: str) -> str:
    """The name of a family's recipe."""
    return f"{family}-fashion-10k"


def before(family: str) -> Values:
    """Accuracy and minutes of the seed in float32, as committed."""
    path = f"{BEFORE}:results/{twin(family)}@cpu.json"
    found = json.loads(subprocess.run(["git", "show", path], capture_output=True, text=True, check=True).stdout)
    (accuracy,) = found["values"]
    return {"accuracy": accuracy, "minutes": found["minutes"]}


def steps(family: str) -> Values:
    """Seconds of an optimiser step in float32, and with what "auto" finds."""
    plain: dict[str, Any] = {"precision": "fp32", "channels_last": False}
    with tempfile.TemporaryDirectory() as folder:
        found = lamina.prepare(None, {"accelerator": "cpu"}, config=twin(family), directory=folder).config.recipe
        training = lamina.prepare(None, {"accelerator": "cpu", **plain}, config=twin(family), directory=folder)
        batches = list(islice(training.stream.batches(0), 2))
    parts = training.parts
    seconds = [
        [trial.seconds_a_step(parts.task, parts.model, batches, recipe) for recipe in (training.config.recipe, found)]
        for _ in range(TURNS)
    ]
    float32, auto = (min(times) for times in zip(*seconds, strict=True))
    return {"float32": float32, "auto": auto}


def results() -> dict[str, Result]:
    """Those of three seeds under "auto", by family."""
    known = {result.recipe: result for result in load_results(FOLDER) if result.hardware == "cpu" and result.found}
    return {family: known[twin(family)] for family in FAMILIES if twin(family) in known}


def spread() -> float:
    """Standard deviation between the seeds of a family, pooled over the families."""
    return statistics.fmean([result.std**2 for result in results().values()]) ** 0.5


def faster(laboratory: Laboratory) -> Iterator[Row]:
    """The steps of all families."""
    settings: dict[str, Any] = {"threads": 1, "turns": TURNS, "auto": [*FOUND]}
    for family in FAMILIES:
        found = laboratory.measured(f"{family} step", settings, partial(steps, family))
        auto, float32 = 1000 * found["auto"], 1000 * found["float32"]
        yield Row(f"{family}: a step", f"{float32 / auto:.2f}x faster: {auto:.0f} ms for {float32:.0f}", "-", None)


def compared(family: str, laboratory: Laboratory) -> Iterator[Row]:
    """One family."""
    old = laboratory.measured(f"{family} float32", {"commit": BEFORE}, partial(before, family))
    if family not in results():
        if laboratory.directory is None:
            raise UnmeasuredError(family)
        save_result(reproduce(twin(family)), FOLDER)
    new = results()[family]
    assert new.bar is not None
    each, changed = ", ".join(f"{value:.4f}" for value in new.values), family in CHANGED
    least = new.bar if changed else old["accuracy"] - 2 * (4 / 3) ** 0.5 * spread()
    recipe = " by the recipe of before" if changed else ""
    yield Row(
        f"{family} ({new.machine})",
        f"{new.figure} ({each}), {new.minutes / len(new.values):.1f} minutes a seed; "
        f"float32{recipe} {old['accuracy']:.4f}, {old['minutes']:.1f} minutes",
        f">= {least:.4f}",
        new.mean >= least,
    )


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    "steps": faster,
    **{family: partial(compared, family) for family in FAMILIES},
}

if __name__ == "__main__":
    main("twins", __doc__ or "", EXPERIMENTS)
