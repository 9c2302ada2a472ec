"""Metrics of generated samples: which samples are compared, and what the metrics are called.

A metric's name says what it was measured with: ``FID[lenet5-fashion@1a2b, n=10000]`` is the distance of 10,000
generated samples from 10,000 real ones before the output layer of that network; figures of other names are no figures
to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from lamina.data.protocols import BatchOptions, Preprocess
from lamina.data.source import Source
from lamina.errors import UsageError, unknown
from lamina.options.recipe import Recipe
from lamina.randomness import derive
from lamina.runs.build import Parts
from lamina.runs.opened import Opened, final_split
from lamina.runs.sample_metrics.network import MetricNetwork, Seen, open_network
from lamina.tasks.base import Task
from lamina.tasks.sample_metrics.options import SampleMetricOptions
from lamina.tasks.sample_metrics.scores import (
    NEIGHBOURS,
    frechet_distance,
    kernel_distance,
    modes_covered,
    precision_recall,
    recognised,
)

MOST = 10_000
"""samples that are compared unless another number is asked for"""
TOY_SAMPLES = 4000
Draw = Callable[[int], Sequence[Any]]
"""generates so many samples, as ``Preprocess.undo`` makes them"""


@dataclass(frozen=True)
class Judge:
    """Judges samples by a network against real samples of a split."""

    network: MetricNetwork
    options: SampleMetricOptions
    preprocess: Preprocess
    source: Source
    split: str
    batches: BatchOptions
    seed: int

    def __post_init__(self) -> None:
        """Raises UsageError for fewer real samples than asked for, and for a network of other data."""
        self.network.resized(self.preprocess)
        if self.samples > self.size:
            others = [name for name, size in self.source.spec.sizes.items() if size >= self.samples]
            hint = f"or --split {others[0]}" if others else "its splits have no more"
            raise UsageError(
                f"metric_samples={self.samples}: the {self.split} split has {self.size} samples to compare with: "
                f"--metric-samples {self.size} or less, {hint}"
            )

    @property
    def size(self) -> int:
        return len(self.source.splits[self.split])

    @property
    def samples(self) -> int:
        """How many samples are compared."""
        return min(self.size, MOST) if self.options.metric_samples is None else self.options.metric_samples

    def judge(self, draw: Draw) -> dict[str, float]:
        """The metrics of what ``draw`` generates. Raises UsageError for too few samples."""
        self.expect_enough(self.real)  # before anything is generated
        return self._compare(self.real, self.network.see(draw(self.samples)))

    def real_against_real(self) -> dict[str, float]:
        """The same metrics of other real samples, of as many; empty where there are not enough. What a generator could
        reach at best."""
        others = self._others()
        if others is None:
            return {}
        return {f"real_{name}": value for name, value in self._compare(self.real, self.network.see(others)).items()}

    @cached_property
    def real(self) -> Seen:
        """The real samples of the split, drawn at random."""
        return self.network.see(list(self._items(self.split, self._order(self.split)[: self.samples])))

    def _compare(self, real: Seen, made: Seen) -> dict[str, float]:
        pair, asked = (real.features_ND, made.features_ND), self.options.sample_metrics
        found: dict[str, float] = {}
        if not asked or "fid" in asked:
            found["FID"] = frechet_distance(*pair)
        if not asked or "kid" in asked:
            found["KID"] = kernel_distance(*pair)
        if not asked or "precision-recall" in asked:
            found |= dict(zip(("precision", "recall"), precision_recall(*pair), strict=True))
        if made.probabilities_NK is not None and (not asked or "recognised" in asked):
            found |= dict(zip(("recognised", "rarest_class"), recognised(made.probabilities_NK), strict=True))
        return {f"{name}[{self._protocol}]": value for name, value in found.items()}

    @property
    def _protocol(self) -> str:
        parts = (self.network.label, self.network.resized(self.preprocess), f"n={self.samples}")
        return ", ".join(part for part in parts if part)

    def expect_enough(self, real: Seen) -> None:
        """Raise UsageError for a metric that cannot be had of so many samples, or of this network."""
        asked, features, label = self.options.sample_metrics, real.features_ND.shape[1], self.network.label
        if (not asked or "fid" in asked) and self.samples < features:
            more = f"--metric-samples {features} or more" if self.size >= features else "a split of more samples"
            raise UsageError(
                f"FID: {self.samples} samples are too few for the {features} features of {label} (their covariance "
                f"would be singular): {more}, a network or --metric-layer of fewer features, or the metrics without "
                "it, --sample-metrics kid,precision-recall"
            )
        if (not asked or "precision-recall" in asked) and self.samples <= NEIGHBOURS:
            least = NEIGHBOURS + 1
            raise UsageError(f"precision and recall need {least} samples, got {self.samples}: --metric-samples {least}")
        if "recognised" in asked and real.probabilities_NK is None:
            raise UsageError(f"recognised is by a classifier, but the metric network {label} is none")

    def _others(self) -> list[Any] | None:
        """Real samples that are not among those compared with: of the training split, or else the rest of this one."""
        name = "train" if self.split != "train" else self.split
        order = self._order(name)[0 if name != self.split else self.samples :][: self.samples]
        return list(self._items(name, order)) if len(order) == self.samples else None

    def _order(self, split: str) -> list[int]:
        generator = torch.Generator().manual_seed(derive(self.seed, "metric", split))
        return torch.randperm(len(self.source.splits[split]), generator=generator).tolist()

    def _items(self, split: str, index: Sequence[int]) -> Iterator[Any]:
        """Samples as the model is trained on them, of its size and channels."""
        some: Any = self.source.splits[split]
        samples = self.preprocess.encode(some.subset(sorted(index)), hold=False)
        for batch in self.preprocess.evaluation_batches(samples, self.batches):
            yield from (self.preprocess.undo(value) for value in self.preprocess.call(batch)[0][0])


class Generates(Protocol):
    """A view of a run that generates samples."""

    @property
    def run(self) -> Opened: ...

    def drawn(
        self, task: Task, preprocess: Preprocess, model: nn.Module, count: int, seed: int
    ) -> list[Any] | None: ...


def judged_samples(view: Generates, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
    """The metrics of a run's samples by the network that the options of evaluate name, and those of real samples; of
    toy data those by their modes. Raises UsageError."""
    run = view.run
    source = run.source if source is None else source

    def draw(count: int) -> list[Any]:
        return view.drawn(run.task, run.preprocess, run.model, count, run.config.recipe.seed) or []

    found = mode_metrics(source, draw)
    if options.metric_network is None:
        return found
    split = final_split(source) if split is None else split
    if split not in source.splits:
        raise unknown("split", split, source.splits)
    network = open_network(options.metric_network, options.metric_layer, run.path.parent)
    judge = Judge(network, options, run.preprocess, source, split, run.batch_options, run.config.recipe.seed)
    return found | judge.judge(draw) | judge.real_against_real()


class Drawing(Protocol):
    """A view whose runs may generate samples."""

    @classmethod
    def drawn(cls, task: Task, preprocess: Preprocess, model: nn.Module, count: int, seed: int) -> list[Any] | None: ...


def sample_metrics(
    view: type[Drawing], parts: Parts, recipe: Recipe, source: Source, runs: Path, batches: BatchOptions
) -> Callable[[], dict[str, float]]:
    """Judges the model in training by the recipe's metric network; without one nothing.

    Raises UsageError for a model that generates nothing, and without validation data.
    """
    given = {field.name: getattr(recipe, field.name) for field in fields(SampleMetricOptions)}
    options = SampleMetricOptions(**given)
    if options.metric_network is None:
        return dict

    def draw(count: int) -> list[Any]:
        found = view.drawn(parts.task, parts.preprocess, parts.model, count, recipe.seed)
        if found is None:
            raise UsageError("metric_network judges samples that a model generates, but this one generates none")
        return found

    draw(1)
    if "validation" not in source.splits:
        raise UsageError("metric_network compares with validation data after each epoch: set --validation above 0")
    network = open_network(options.metric_network, options.metric_layer, runs)
    judge = Judge(network, options, parts.preprocess, source, "validation", batches, recipe.seed)
    judge.expect_enough(judge.real)
    return lambda: judge.judge(draw)


def mode_metrics(source: Source, draw: Draw) -> dict[str, float]:
    """ "modes_covered" and "good_samples" of toy data, whose centres are known; empty for other data."""
    if not source.spec.centres:
        return {}
    names = [column.name for column in source.spec.columns]
    rows = [[float(row[name]) for name in names] for row in draw(TOY_SAMPLES)]
    covered, good = modes_covered(torch.tensor(rows), torch.tensor(source.spec.centres))
    return {"modes_covered": covered, "good_samples": good}
