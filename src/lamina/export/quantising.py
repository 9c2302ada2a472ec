"""An int8 file that is worth having: as accurate as was asked for, and faster than the float model.

All layers are quantised first. If the metric of the validation split falls too far, the layers that alone change the
outputs most stay in float, twice as many at each attempt. A file that is not faster than the float model in bfloat16
(where the engine has none: in float32) is not kept: the float model is, in that precision.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lamina.errors import ExportError
from lamina.export.facts import ExportFacts
from lamina.export.inputs import arrays
from lamina.export.int8 import QUANTISERS, harm_of_layers, layers_of, restate
from lamina.export.onnx import OnnxModel
from lamina.export.openvino import OpenvinoModel, has_bf16
from lamina.export.options import ExportOptions

PROBES = 8
"""samples on which layers are compared one by one"""
ROUNDS, WARM_UP, SECONDS = 30, 3, 2.0
"""timing: at most so many rounds, or about so long"""

Named = Mapping[str, Tensor]
"""inputs of the model by name"""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What quantisation needs of a run.

    Example: ``Trial(samples=images, score=lambda engine: accuracy_of(engine), metric="accuracy")``
    """

    samples: Sequence[Named]
    """of the training split, in batches of one, for the ranges of activations"""
    score: Callable[[Any], float]
    """the metric of an engine, on the validation split"""
    metric: str
    lower_is_better: bool = False
    options: ExportOptions = field(default_factory=lambda: ExportOptions(int8=True))
    renames: bool = False
    """whether a file that is not int8 gets another name than the one that was given"""

    def drop(self, before: float, after: float) -> float:
        """How much was lost: the difference of a metric of which more is better, of others the growth in proportion."""
        if not self.lower_is_better:
            return before - after
        return (after - before) / max(abs(before), 1e-12)


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """What came of it."""

    path: Path
    """the file that is kept"""
    facts: ExportFacts
    note: str = ""
    """why it is not int8"""


def quantise(onnx_file: Path, float_file: Path, facts: ExportFacts, to: str, trial: Trial, what: str) -> Quantised:
    """Quantise ``onnx_file``, the float model, whose file in the format ``to`` is ``float_file``; the result lies in
    a folder beside that file's, under the same name. ``what`` names the file in messages.

    Raises ExportError where too much accuracy is lost, naming the option.
    """
    samples = [arrays(facts, (), sample) for sample in trial.samples]
    opened = open_in(to, float_file)
    before = trial.score(opened)
    path, ranked = float_file.parent.with_name("int8") / float_file.name, list[str]()
    path.parent.mkdir()
    layers, count = layers_of(onnx_file), 0
    found = replace(facts, precision="int8")
    while True:
        kept = ranked[:count]
        QUANTISERS[to](onnx_file, path, found, samples, kept=kept)
        after = trial.score(open_in(to, path))
        if trial.drop(before, after) <= trial.options.drop:
            break
        if count >= len(layers) // 2:
            also = f", also with {count} of {len(layers)} layers in float" if count else ""
            raise ExportError(
                f"{what} is not written: in int8 {trial.metric} on the validation data is {after:.4f}, {before:.4f} "
                f"before{also}; --max-drop {trial.options.drop:g} is allowed (a larger one, or --fp16)"
            )
        ranked = ranked or harm_of_layers(onnx_file, facts, samples, samples[:PROBES])
        count = min(max(1, 2 * count), len(layers) // 2)
    quality = {"metric": trial.metric, "before": before, "after": after, "kept": [layers[name] for name in kept]}
    found = replace(found, quality=quality)
    rival, precision = _rival(to, float_file, trial, before)
    example = [trial.samples[0][one.name] for one in facts.inputs]
    taken = {} if trial.options.even_if_slower else timed({"int8": open_in(to, path), precision: rival}, example)
    if trial.options.even_if_slower or taken["int8"] < taken[precision]:
        restate(path, found)
        return Quantised(path=path, facts=found)
    note = (
        f"int8 is slower here: {taken['int8']:.2f} ms for one sample, {precision} {taken[precision]:.2f} ms; "
        f"{trial.metric} is {after:.4f} in int8, {before:.4f} before: the file is in {precision} (--even-if-slower "
        "writes int8)"
    )
    found = replace(facts, precision=precision)
    restate(float_file, found)
    return Quantised(path=float_file, facts=found, note=note)


def _rival(to: str, float_file: Path, trial: Trial, before: float) -> tuple[Any, str]:
    """The float model that int8 has to beat, and its precision: bfloat16 where the engine has it, and it is accurate
    enough."""
    if to == "openvino" and has_bf16():
        rival = OpenvinoModel(float_file, "bf16")
        if trial.drop(before, trial.score(rival)) <= trial.options.drop:
            return rival, "bf16"
    return open_in(to, float_file), "fp32"


def open_in(to: str, path: Path) -> OnnxModel | OpenvinoModel:
    """A file in the engine of its format."""
    return OnnxModel(path) if to == "onnx" else OpenvinoModel(path)


def timed(engines: Mapping[str, Callable[..., Any]], example: Sequence[Tensor]) -> dict[str, float]:
    """Median milliseconds of each engine for the example, called in turn."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    begun = time.perf_counter()
    for round_ in range(WARM_UP + ROUNDS):
        for name, engine in engines.items():
            start = time.perf_counter()
            engine(*example)
            if round_ >= WARM_UP:
                times[name].append(1000 * (time.perf_counter() - start))
        if round_ > 2 * WARM_UP and time.perf_counter() - begun > SECONDS:
            break
    return {name: statistics.median(taken) for name, taken in times.items()}
