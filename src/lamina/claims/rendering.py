"""Results of claims as a Markdown table and as an HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from lamina.claims.claim import AnyClaim, Bar
from lamina.claims.registry import get_claim
from lamina.claims.running import ClaimResult, reading
from lamina.files import write_whole
from lamina.report.blocks import Chart, Charts, Pairs, Table
from lamina.report.svg import draw
from lamina.report.templates import render
from lamina.report.wording import DASH, number, plain, rounded

BADGES = {"holds": "done", "fails": "wrong", "inconclusive": "open"}


def render_table(results: Sequence[ClaimResult]) -> str:
    """The text of docs/claims.md: one row per claim with its tightest bar, then every bar."""
    lines = [
        "# Claims",
        "",
        "Written by `make claims` from the files in `results/claims/`; no number is typed by hand. Measured: mean over",
        "seeds ± sample standard deviation. A claim *holds* where every seed clears every bar (twice over where the",
        "number was known when the bar was set), *fails* where none does or, for a statement about every case, where",
        "one does not; else it is *inconclusive*. Margin: how many times over the worst seed clears the bar (the ratio",
        "of the two); exact where an error is 0 or a number is just what it must be. Figures: `claims.html` of the",
        "site (`make docs`), or `lamina claims --results results/claims --out claims.html`.",
        "",
        "| claim | sentence | verdict | number | measured | bar | margin | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        bar = tightest(result)
        cells = [
            f"`{result.name}`",
            result.sentence,
            f"**{result.verdict}**",
            get_claim(result.name).names[bar.number],
            spread(result, bar.number),
            str(bar),
            times(result.clearance(bar)),
            result.source,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [
        "",
        "## Every bar",
        "",
        "| claim | number | measured | bar | margin | why this bar |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        names = get_claim(result.name).names
        for bar in result.bars:
            row = [names[bar.number], spread(result, bar.number), str(bar), times(result.clearance(bar)), bar.why]
            lines.append(f"| `{result.name}` | " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"


def render_page(results: Sequence[ClaimResult]) -> str:
    """A self-contained page of results, fresh or read from files; one whose figure was not kept has none."""
    return render(
        "claims.html",
        package="lamina.claims",
        badges=BADGES,
        counts=[(verdict, count) for verdict in BADGES if (count := sum(r.verdict == verdict for r in results))],
        entries=[_entry(get_claim(result.name), result) for result in results],
        environment=Pairs(pairs=[(name, plain(value)) for name, value in results[0].environment.items()]),
    )


def _entry(claim: AnyClaim, result: ClaimResult) -> dict[str, object]:
    """The template's values for one claim."""
    text, figure = reading(claim, result), figure_of(claim, result)
    bar = tightest(result)
    return {
        "result": result,
        "margin": times(result.margin),
        "tightest": f"{claim.names[bar.number]}: {spread(result, bar.number)} ({bar})",
        "reading": text,
        "loose": claim.loose,
        "figure": Charts(charts=[Chart(title="", svg=figure, note=claim.caption)]) if figure else None,
        "numbers": _numbers(claim, result),
        "bars": [f"{claim.names[bar.number]} {bar}: {bar.why}" for bar in result.bars],
        "settings": Pairs(pairs=[(name.replace("_", " "), plain(value)) for name, value in result.settings.items()]),
    }


def figure_of(claim: AnyClaim, result: ClaimResult) -> Markup:
    """The figure of a result as an SVG element: drawn, or as it was kept beside the file; empty where it was not."""
    if result.paint is None:
        return Markup(result.drawn)
    return draw(result.paint, f"{claim.caption}. {reading(claim, result)}", width=claim.width, height=claim.height)


def write_figure(result: ClaimResult, folder: Path) -> None:
    """Write the figure beside the result: ``<folder>/<name>.svg``."""
    data = figure_of(get_claim(result.name), result).encode("utf-8")
    write_whole(folder / f"{result.name}.svg", lambda file: file.write(data))


def _numbers(claim: AnyClaim, result: ClaimResult) -> Table:
    """The table of all numbers, those with bars first, with a column per seed."""
    seeds = result.settings["seeds"]
    barred = {bar.number: [b for b in result.bars if b.number == bar.number] for bar in result.bars}
    rows = []
    for name in [*barred, *(name for name in result.numbers if name not in barred)]:
        bars = barred.get(name, [])
        rows.append(
            [
                claim.names.get(name, name),
                *([spread(result, name)] if len(seeds) > 1 else []),
                " and ".join(map(str, bars)) or DASH,
                times(min(map(result.clearance, bars))) if bars else DASH,
                *(_written(value, 3 if len(seeds) > 1 else 5) for value in result.numbers[name]),
            ]
        )
    many = len(seeds) > 1
    columns = [
        "number",
        *(["mean"] if many else []),
        "bar",
        "margin",
        *(f"seed {seed}" if many else "value" for seed in seeds),
    ]
    return Table(title="", columns=columns, rows=rows)


def tightest(result: ClaimResult) -> Bar:
    """The bar that the worst seed clears by the smallest ratio."""
    return min(result.bars, key=result.clearance)


def spread(result: ClaimResult, name: str) -> str:
    """A number's mean over seeds, ± its sample standard deviation."""
    mean, std = _written(result.mean(name)), result.std(name)
    return mean if len(result.numbers[name]) == 1 or std == 0 or math.isnan(std) else f"{mean} ± {rounded(std, 2)}"


def times(clearance: float) -> str:
    """A margin as text: "2.3×", "exact"."""
    return "exact" if math.isinf(clearance) else f"{rounded(clearance, 2 if clearance < 100 else 1)}×"


def _written(value: float, digits: int = 4) -> str:
    return rounded(value, digits) if math.isfinite(value) else number(value)
