"""Reproduced results: a published recipe run over its seeds, saved as a file, rendered as a table."""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from lamina.errors import UsageError
from lamina.options.conversion import typed
from lamina.options.recipe import AUTO
from lamina.reproduction.baselines import BASELINES
from lamina.runs.config import published, published_recipes, published_result
from lamina.runs.machine import FOUND
from lamina.runs.training import train
from lamina.tasks.base import LOWER_IS_BETTER
from lamina.version import __version__

SIGNED = ("bleu", "chrf")
"""metrics that are comparable only with sacrebleu's signature"""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The section "result" of a recipe: the goal, fixed before it is run."""

    seeds: tuple[int, ...] = (0,)
    split_seeds: tuple[int, ...] = ()
    """one division of the data for each seed; empty: the recipe's for all"""
    split: str = "test"
    metric: str = "accuracy"
    bar: float | None = None
    """the mean over seeds must reach it"""
    baseline: Literal["ridge", "kneser-ney"] | None = None
    """takes the place of a bar: ridge regression on the same rows, a 5-gram on the same tokens"""
    margin: float = 0.0
    """by how much the mean may be worse than the baseline"""
    beside: tuple[Literal["bz2", "bz2-after-train"], ...] = ()
    """reported for comparison, without a bar: the bits that bz2 needs for each character"""
    beam: int = 1
    """width of the beam search"""
    paper: float | None = None
    paper_source: str = ""
    accelerator: bool = False
    """too long for a CPU: all recipes are run without it where there is none"""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a recipe on one kind of machine."""

    recipe: str
    expected: Expected
    values: tuple[float, ...]
    """the metric for each seed"""
    bar: float | None
    minutes: float
    hardware: str
    command: str
    versions: dict[str, str]
    beside: dict[str, float] = field(default_factory=dict)
    threads: int | None = None
    """of a CPU; None: not recorded"""
    found: dict[str, Any] = field(default_factory=dict)
    """the options that are "auto" in the recipe, as the trial on this machine decided them; the same for all seeds"""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds; 0 for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def figure(self) -> str:
        """The mean, and the deviation where there is one."""
        return f"{self.mean:.4f}" + (f" ± {self.std:.4f}" if len(self.values) > 1 else "")

    @property
    def machine(self) -> str:
        """The hardware, its threads where they are known, and what was found to be fast on it."""
        threads = [] if self.threads is None else [f"{self.threads} thread" + ("s" if self.threads > 1 else "")]
        found = [name if value is True else str(value) for name, value in self.found.items() if value is not False]
        return ", ".join([self.hardware, *threads, *found])

    @property
    def reached(self) -> bool | None:
        """None where there is no bar."""
        if self.bar is None:
            return None
        return self.mean <= self.bar if self.expected.metric in LOWER_IS_BETTER else self.mean >= self.bar


def results_expected() -> list[str]:
    """The published recipes that state a result."""
    return [name for name in published_recipes() if published_result(name) is not None]


def within_reach() -> tuple[list[str], list[str]]:
    """The recipes that state a result: those that run on this machine, and those that need an accelerator."""
    names = results_expected()
    out = [] if torch.cuda.is_available() else [name for name in names if expected(name).accelerator]
    return [name for name in names if name not in out], out


def expected(recipe: str) -> Expected:
    """Raises UsageError for an unknown recipe and for one that states no result."""
    section = published_result(recipe)
    if section is None:
        raise UsageError(f"recipe '{recipe}' states no result to reproduce; these do: {', '.join(results_expected())}")
    return Expected(**typed(Expected, section, "result option"))


def goal_of(recipe: str) -> tuple[str, str, str]:
    """(recipe, data, goal)."""
    criteria = expected(recipe)
    sign = "<=" if criteria.metric in LOWER_IS_BETTER else ">="
    goal = _baseline_goal(criteria) if criteria.baseline else f"{criteria.bar}"
    return recipe, str(published(recipe)["data"]), f"{criteria.split} {criteria.metric} {sign} {goal}"


def _baseline_goal(criteria: Expected) -> str:
    sign = "+" if criteria.metric in LOWER_IS_BETTER else "-"
    return f"{criteria.baseline} {sign} {criteria.margin:g}" if criteria.margin else f"{criteria.baseline}"


def describe_outcome(result: Result) -> str:
    """The result, and whether it reaches the bar."""
    known = {True: "reached", False: "NOT reached", None: ""}[result.reached]
    bar = "no bar" if result.bar is None else f"bar {result.bar:.4f} {known}"
    beside = "".join(f", {name} {value:.4f}" for name, value in result.beside.items())
    seeds = "seed" if len(result.values) == 1 else "seeds"
    return f"{result.figure} over {len(result.values)} {seeds}, {bar}{beside}"


def reproduce(recipe: str, *, log: Callable[[str], None] = print) -> Result:
    """Train a recipe once for each of its seeds and evaluate: ``reproduce("lenet5-digits").mean``.

    ``log`` receives a line for each seed. Raises UsageError for a recipe without a result, and what ``train`` raises.
    """
    criteria = expected(recipe)
    values, bars, seconds = [], [], 0.0
    beside: dict[str, list[float]] = {name: [] for name in criteria.beside}
    requested = [name for name in FOUND if published(recipe).get(name) == AUTO]
    found: dict[str, Any] = {}
    worse = 1 if criteria.metric in LOWER_IS_BETTER else -1
    with tempfile.TemporaryDirectory() as folder:
        for i, seed in enumerate(criteria.seeds):
            options: dict[str, Any] = {"split_seed": criteria.split_seeds[i]} if criteria.split_seeds else {}
            # what the trial finds for the first seed holds for all
            run = train(config=recipe, directory=folder, seed=seed, report=False, **options, **found)
            search: dict[str, Any] = {} if criteria.beam == 1 else {"beam": criteria.beam}
            value = run.evaluate(criteria.split, **search)[criteria.metric]
            values.append(value)
            seconds += run.directory.status()["seconds"]
            if criteria.baseline is not None:
                bars.append(BASELINES[criteria.baseline](run, criteria.split) + worse * criteria.margin)
            for name, each in beside.items():
                each.append(BASELINES[name](run, criteria.split))
            found = {name: run.directory.read("config.yaml")[name] for name in requested}
            log(f"{recipe} seed {seed}: {criteria.split} {criteria.metric} {value:.4f}")
    versions = {"lamina": __version__, "torch": torch.__version__, "python": platform.python_version()}
    if criteria.metric in SIGNED:
        versions["sacrebleu"] = run.view.signatures()[criteria.metric]
    return Result(
        recipe=recipe,
        expected=criteria,
        values=tuple(values),
        bar=statistics.fmean(bars) if bars else criteria.bar,
        minutes=round(seconds / 60, 2),
        hardware=hardware(),
        command=f"lamina reproduce {recipe}",
        versions=versions,
        beside={name: statistics.fmean(each) for name, each in beside.items()},
        threads=None if torch.cuda.is_available() else torch.get_num_threads(),
        found=found,
    )


def hardware() -> str:
    """A short name of the machine's kind, fit for a file name: "cpu" or the accelerator's."""
    if torch.cuda.is_available():
        return "".join(c if c.isalnum() else "-" for c in torch.cuda.get_device_name().lower())
    return "cpu"


def save_result(result: Result, folder: Path) -> Path:
    """``<recipe>@<hardware>.json``: a machine's result never replaces another kind's."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.recipe}@{result.hardware}.json"
    path.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return path


def load_results(folder: Path) -> list[Result]:
    """The results in a folder, in order of recipe and hardware."""
    found = []
    for path in sorted(folder.glob("*@*.json")):
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["expected"] = Expected(**typed(Expected, content["expected"], f"{path.name}: result option"))
        found.append(Result(**{**content, "values": tuple(content["values"])}))
    return found


def render_results(results: Sequence[Result]) -> str:
    """The text of RESULTS.md."""
    lines = [
        "# Results",
        "",
        "Written by `lamina reproduce --render` from the files in `results/`; no number is typed by hand.",
        "Mean over seeds, ± sample standard deviation where there are several.",
        "A row that falls short of its bar stays and says so.",
        "",
        "| recipe | what | paper | ours | bar | reached | seeds | minutes | hardware | command |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        criteria = result.expected
        paper = "-" if criteria.paper is None else f"{criteria.paper:.4g}"
        bar = "-" if result.bar is None else f"{result.bar:.4f}"
        if criteria.baseline:
            bar += f" ({_baseline_goal(criteria)})"
        bar += "".join(f"; {name} {value:.4f}" for name, value in result.beside.items())
        reached = {True: "yes", False: "**no**", None: "-"}[result.reached]
        lines.append(
            f"| {result.recipe} | {criteria.split} {criteria.metric} | {paper} | {result.figure} | {bar} | {reached} "
            f"| {len(result.values)} | {result.minutes:.1f} | {result.machine} | `{result.command}` |"
        )
    sources = [f"- {r.recipe}: {r.expected.paper_source}" for r in results if r.expected.paper_source]
    signed = [f"- {r.recipe}: `{r.versions['sacrebleu']}`" for r in results if "sacrebleu" in r.versions]
    if sources:
        lines += ["", "What the paper column says:", "", *dict.fromkeys(sources)]
    if signed:
        lines += ["", "How BLEU and chrF are calculated (sacrebleu's signatures):", "", *dict.fromkeys(signed)]
    return "\n".join(lines) + "\n"
