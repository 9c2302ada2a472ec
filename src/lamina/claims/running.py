"""Running claims over their seeds, and storing the results."""

from __future__ import annotations

import contextlib
import json
import math
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lamina.claims.claim import AnyClaim, Bar, Settings, Verdict, clearances, judge
from lamina.claims.registry import NAMES, get_claim
from lamina.errors import DataError
from lamina.files import write_whole
from lamina.report.wording import plain, rounded
from lamina.runs.views.report import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1
DIGITS = 8
"""significant digits to which numbers are rounded before they are stored and judged"""


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """The result of a claim, with everything that its verdict depends on."""

    name: str
    sentence: str
    source: str
    settings: dict[str, Any]
    bars: tuple[Bar, ...]
    margin_asked: float
    """the required margin: the ratio by which every seed must clear every bar"""
    numbers: dict[str, tuple[float, ...]]
    """by name, one per seed"""
    verdict: Verdict
    margin: float
    """the smallest ratio by which a seed clears a bar; infinite if all are exact"""
    seconds: float
    environment: dict[str, Any]
    paint: Callable[[Figure], None] | None = field(default=None, compare=False, repr=False)
    """plots the figure; None for a result read from a file, which holds no arrays"""
    drawn: str = field(default="", compare=False, repr=False)
    """the figure as it was kept beside a file, an SVG element; empty where there is none"""

    def mean(self, number: str) -> float:
        """A number's mean over seeds."""
        return statistics.fmean(self.numbers[number])

    def std(self, number: str) -> float:
        """A number's sample standard deviation over seeds; 0 for a single seed, NaN if a value is not finite."""
        values = self.numbers[number]
        if not all(map(math.isfinite, values)):
            return math.nan
        return statistics.stdev(values) if len(values) > 1 else 0.0

    def clearance(self, bar: Bar) -> float:
        """The ratio by which the worst seed clears a bar."""
        return min(clearances([bar], self.numbers))


def run_claim(name: str, settings: Settings | None = None) -> ClaimResult:
    """Run the experiment of a claim for every seed and judge it.

    ``settings`` replaces the claim's own; the verdict then holds for these. Raises UsageError for an unknown name.
    """
    return run(get_claim(name), settings)


def run(claim: AnyClaim, settings: Settings | None = None) -> ClaimResult:
    """Run a ``Claim`` object, which need not be registered; see ``run_claim``."""
    chosen = claim.settings if settings is None else settings
    start = time.perf_counter()
    with _one_thread():
        measured = [claim.measure(chosen, seed) for seed in chosen.seeds]
        where = environment()
    seconds = time.perf_counter() - start
    numbers = {
        name: tuple(float(f"{one.numbers[name]:.{DIGITS}g}") for one in measured) for name in measured[0].numbers
    }
    return ClaimResult(
        name=claim.name,
        sentence=claim.sentence,
        source=claim.source + (f", arXiv {claim.arxiv}" if claim.arxiv else ""),
        settings=as_plain(chosen),
        bars=claim.bars,
        margin_asked=claim.margin,
        numbers=numbers,
        verdict=judge(claim.bars, numbers, universal=claim.universal, margin=claim.margin),
        margin=min(clearances(claim.bars, numbers)),
        seconds=round(seconds, 2),
        environment=where,
        paint=lambda sheet: claim.figure(sheet, chosen, measured),
    )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread inside the block: sums do not depend on the number of cores, and models this small run fastest."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def as_plain(settings: Settings) -> dict[str, Any]:
    """The settings as after a round trip through JSON: tuples are lists."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return values


def reading(claim: AnyClaim, result: ClaimResult) -> str:
    """The claim's ``reading`` with values filled in: ``{name}`` is a number's mean to three digits, ``{name:5}`` to
    five, ``{setting.name}`` a setting. Raises KeyError for an unknown name.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith("setting."):
            return plain(result.settings[name.removeprefix("setting.")])
        mean = result.mean(name)
        return rounded(mean, int(found[2] or 3)) if math.isfinite(mean) else plain(mean)

    return re.sub(r"\{([\w.]+)(?::(\d))?\}", value, claim.reading)


def content(result: ClaimResult) -> dict[str, Any]:
    """The result as plain values, with each number's mean and standard deviation, without the figure."""
    kept: dict[str, Any] = {"format": FORMAT}
    kept |= {one.name: getattr(result, one.name) for one in fields(result) if one.name not in ("paint", "drawn")}
    kept["bars"] = [{key: value for key, value in asdict(bar).items() if value is not None} for bar in result.bars]
    return {**kept, "summary": {name: {"mean": result.mean(name), "std": result.std(name)} for name in result.numbers}}


def write_result(result: ClaimResult, folder: Path) -> Path:
    """Write ``<folder>/<name>.json`` and return its path. Raises RunError if it cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_storable(content(result)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path = folder / f"{result.name}.json"
    write_whole(path, lambda file: file.write(text.encode()))
    return path


def read_result(path: Path) -> ClaimResult:
    """Read a result, with the figure beside it. Raises DataError for a file that is not a result of this format."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.pop("format") != FORMAT:
            raise ValueError("another format")
        del kept["summary"]
        kept["bars"] = tuple(Bar(**bar) for bar in kept["bars"])
        kept["numbers"] = {name: tuple(float(value) for value in values) for name, values in kept["numbers"].items()}
        kept["margin"] = float(kept["margin"])
        figure = path.with_suffix(".svg")
        return ClaimResult(**kept, drawn=figure.read_text(encoding="utf-8") if figure.is_file() else "")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not the result of a claim: {error}") from None


def read_results(folder: Path) -> list[ClaimResult]:
    """The results in a folder, in the order of the page."""
    return [read_result(folder / f"{name}.json") for name in NAMES if (folder / f"{name}.json").is_file()]


def write_verdicts(folder: Path) -> None:
    """Write the verdicts of the results in a folder into the package, for ``lamina claims``: ``make claims`` does."""
    from importlib import resources

    verdicts = {result.name: result.verdict for result in sorted(read_results(folder), key=lambda one: one.name)}
    text = json.dumps(verdicts, indent=1) + "\n"
    write_whole(Path(str(resources.files("lamina.claims") / "verdicts.json")), lambda file: file.write(text.encode()))


def _storable(value: Any) -> Any:
    """JSON has no infinity: "inf", "-inf" and "nan" are stored as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
