"""Strategies on the table of NAS-Bench-201: test accuracies after 200 epochs of all 15,625 cells.

``python -m benchmarks.architecture_search.table choose`` compares candidates on CIFAR-10's column alone, on seeds of
their own, and writes the best into ``benchmarks/results/nasbench201_chosen.json``; ``... measure`` runs the four
strategies of the library with the settings below, and the chosen one, on all three columns, 200 seeds, and writes a
row for each seed; ``... report`` writes the means. LAMINA_DATA names the folder with nas_bench_201/. What is measured
is not measured again.

Protocol "table": the objective is the column itself, 100 distinct cells are asked for, repeats are free; the result is
the best of them. Protocol "noisy": each cell's value has noise of its own, of standard deviation 0.5, 1.0 and 1.2, the
same whenever it is asked for; the result is the true value of the cell that seemed best. Protocol "transfer": the
objective is CIFAR-10's column, the result the found cell's value in all three. The table holds one number for each cell
and column, on the test sets: no validation column, no seeds, no times.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from lamina.layers.cells.nasbench import EDGE_OPERATIONS, format_architecture, parse_architecture
from lamina.randomness import derive
from lamina.search.space import Space
from lamina.search.strategies import Strategy, drive, strategy_named

RESULTS = Path(__file__).parents[1] / "results"
CHOSEN, ROWS = RESULTS / "nasbench201_chosen.json", RESULTS / "nasbench201_rows.csv"
COLUMNS = {
    "cifar10": "CIFAR10TestAccuracy200Epochs",
    "cifar100": "CIFAR100TestAccuracy200Epochs",
    "imagenet16": "ImageNetTestAccuracy200Epochs",
}
NOISE = {"cifar10": 0.5, "cifar100": 1.0, "imagenet16": 1.2}
QUERIES, SEEDS = 100, 200
CHOOSING_SEEDS = range(10_000, 10_100)
EDGES = ("edge_01", "edge_02", "edge_12", "edge_03", "edge_13", "edge_23")

# Committed before any of it was run. The first four are measured whatever is chosen.
SETTINGS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "evolution": ("evolution", {"population": 10, "tournament": 10}),
    "reinforce": ("reinforce", {"rate": 0.1}),
    "local": ("local", {}),
}
CANDIDATES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "evolution, 10 of 10": ("evolution", {"population": 10, "tournament": 10}),
    "evolution, 10 of 20": ("evolution", {"population": 20, "tournament": 10}),
    "evolution, 5 of 10": ("evolution", {"population": 10, "tournament": 5}),
    "evolution without ageing, 10 of 10": ("evolution", {"population": 10, "tournament": 10, "ageing": False}),
    "reinforce, 0.1": ("reinforce", {"rate": 0.1}),
    "reinforce, 0.2": ("reinforce", {"rate": 0.2}),
    "evolution, 20 of 20": ("evolution", {"population": 20, "tournament": 20}),
    "evolution, 20 of 10": ("evolution", {"population": 10, "tournament": 20}),
    "local": ("local", {}),
    "tpe": ("tpe", {}),
}


def table_file() -> Path:
    return Path(os.environ["LAMINA_DATA"]) / "nas_bench_201" / "nats_bench.csv"


@cache
def table() -> dict[str, dict[str, float]]:
    """Accuracies by cell and column."""
    with table_file().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {row["ArchitectureString"]: {name: float(row[key]) for name, key in COLUMNS.items()} for row in rows}
    assert len(found) == len(rows) == len(EDGE_OPERATIONS) ** len(EDGES)
    return found


def space() -> Space:
    """Each edge's operation, as options of the model ``nasbench201``."""
    return Space.of({f"model.{edge}": list(EDGE_OPERATIONS) for edge in EDGES})


def cell_of(point: Mapping[str, Any]) -> str:
    """The cell of a point, as a string."""
    return format_architecture([point[f"model.{edge}"] for edge in EDGES])


def point_of(cell: str) -> dict[str, str]:
    """The inverse of ``cell_of``."""
    return {f"model.{edge}": name for edge, name in zip(EDGES, parse_architecture(cell), strict=True)}


def search(strategy: Strategy, column: str, seed: int, noise: float = 0.0, queries: int = QUERIES) -> tuple[str, int]:
    """The cell that seemed best, and the number of trials with repeats."""

    def value(point: Mapping[str, Any]) -> float:
        cell = cell_of(point)
        jitter = Random(derive(seed, "noise", cell)).gauss(0, noise) if noise else 0.0
        return table()[cell][column] + jitter

    finished = drive(strategy, space(), value, trials=queries, seed=seed)
    best = max(finished, key=lambda trial: trial.scores or ())
    return cell_of(best.point), len(finished)


def choose() -> None:
    """Compare the candidates on CIFAR-10's column alone."""
    known = json.loads(CHOSEN.read_text(encoding="utf-8")) if CHOSEN.is_file() else {}
    means: dict[str, float] = known.get("means", {})
    for name, (strategy, options) in CANDIDATES.items():
        if name not in means:
            began = time.process_time()
            found = [search(strategy_named(strategy, options), "cifar10", seed)[0] for seed in CHOOSING_SEEDS]
            means[name] = round(statistics.fmean(table()[cell]["cifar10"] for cell in found), 4)
            print(f"{name}: {means[name]:.3f} ({time.process_time() - began:.0f} s of CPU)", flush=True)
            best = max(means, key=means.__getitem__)
            strategy, options = CANDIDATES[best]
            text = {"chosen": best, "strategy": strategy, "options": options, "column": "cifar10", "means": means}
            CHOSEN.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


HEAD = ("strategy", "protocol", "column", "seed", "cell", "cifar10", "cifar100", "imagenet16", "trials")


def read_rows(path: Path = ROWS) -> list[dict[str, str]]:
    """A row for each strategy, protocol, column and seed; ``cell`` is what was found."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def measure() -> None:
    """All settings, columns and seeds."""
    chosen = json.loads(CHOSEN.read_text(encoding="utf-8"))
    settings = dict(SETTINGS)
    if (chosen["strategy"], chosen["options"]) not in settings.values():
        settings["chosen"] = (chosen["strategy"], chosen["options"])
    done = {(row["strategy"], row["protocol"], row["column"]) for row in read_rows()}
    if not ROWS.is_file():
        ROWS.write_text(",".join(HEAD) + "\n", encoding="utf-8")
    for protocol in ("table", "noisy"):
        for name, (strategy, options) in settings.items():
            for column in COLUMNS:
                if (name, protocol, column) in done:
                    continue
                lines = []
                for seed in range(SEEDS):
                    noise = NOISE[column] if protocol == "noisy" else 0.0
                    cell, trials = search(strategy_named(strategy, options), column, seed, noise)
                    values = [f"{value:.4f}" for value in table()[cell].values()]
                    lines.append([name, protocol, column, str(seed), cell, *values, str(trials)])
                with ROWS.open("a", newline="", encoding="utf-8") as file:
                    csv.writer(file, lineterminator="\n").writerows(lines)
                print(f"{name}, {protocol}, {column}: {time.process_time():.0f} s of CPU", flush=True)


BARS = {
    ("table", "evolution"): (94.25, 73.1, 46.75),
    ("table", "reinforce"): (94.0, 72.3, 46.2),
    ("table", "chosen"): (94.30, 73.2, 46.7),
    ("noisy", "evolution"): (93.80, 72.1, 45.65),
}
MOONSHOT = (94.34, 73.4, 47.0)


def expected_best(column: str, queries: int = QUERIES) -> tuple[float, float]:
    """Mean and standard deviation of the best of so many distinct cells drawn at random, in closed form."""
    values = sorted(cell[column] for cell in table().values())
    count = len(values)
    chances, left = [], 1.0  # that the best is the i-th from the top
    for rank in range(count - queries + 1):
        here = left * queries / (count - rank)
        chances.append(here)
        left -= here
    top = values[::-1]
    mean = sum(p * value for p, value in zip(chances, top, strict=False))
    return mean, sum(p * (value - mean) ** 2 for p, value in zip(chances, top, strict=False)) ** 0.5


def parameters(cell: str) -> int:
    """Weights of a cell's operations, in all three stages."""
    each = {"nor_conv_1x1": 1, "nor_conv_3x3": 9}
    return sum(
        5 * (each[name] * c * c + 2 * c) for name in parse_architecture(cell) if name in each for c in (16, 32, 64)
    )


def largest(queries: int = QUERIES, draws: int = 200) -> dict[str, float]:
    """The best among the largest cells, those of equal size drawn by lot: a mean over draws."""
    totals = dict.fromkeys(COLUMNS, 0.0)
    for draw in range(draws):
        lot = Random(draw)
        order = sorted(table(), key=lambda cell: (-parameters(cell), lot.random()))[:queries]
        for column in COLUMNS:
            totals[column] += max(table()[cell][column] for cell in order) / draws
    return totals


def report() -> None:
    """Write the means as Markdown."""
    chosen = json.loads(CHOSEN.read_text(encoding="utf-8"))
    same = next((name for name, own in SETTINGS.items() if own == (chosen["strategy"], chosen["options"])), "chosen")
    rows = read_rows()
    names = list(COLUMNS)
    lines = [
        "# NAS-Bench-201: strategies on the table",
        "",
        f"`python -m benchmarks.architecture_search.table choose`, `measure`, `report`. {QUERIES} distinct cells, "
        f"{SEEDS} seeds, mean ± standard deviation of test accuracy in percent: CIFAR-10, CIFAR-100, ImageNet16-120. "
        "Every row is in nasbench201_rows.csv; the settings were committed before they were run.",
        "",
        f"Chosen on CIFAR-10's column alone, on {len(CHOOSING_SEEDS)} other seeds, before the other two were looked "
        f"at: **{chosen['chosen']}** ({', '.join(f'{name} {value:.3f}' for name, value in chosen['means'].items())}).",
        "",
        "| protocol | strategy | CIFAR-10 | CIFAR-100 | ImageNet16-120 | bar | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for protocol in ("table", "noisy", "transfer"):
        for name in dict.fromkeys(row["strategy"] for row in rows):
            cells, means = [], []
            for column in names:
                seen = "cifar10" if protocol == "transfer" else column
                source = "table" if protocol == "transfer" else protocol
                values = [
                    float(row[column])
                    for row in rows
                    if (row["strategy"], row["protocol"], row["column"]) == (name, source, seen)
                ]
                means.append(statistics.fmean(values))
                cells.append(f"{means[-1]:.2f} ± {statistics.stdev(values):.2f}")
            for label in (name, "chosen") if name == same != "chosen" else (name,):
                bar = BARS.get((protocol, label))
                text = "" if bar is None else " / ".join(f"{value:g}" for value in bar)
                reached = "" if bar is None else "yes" if all(m >= b for m, b in zip(means, bar, strict=True)) else "no"
                shown = f"chosen: {same}" if label == "chosen" else label
                lines.append(f"| {protocol} | {shown} | {' | '.join(cells)} | {text} | {reached} |")
                if (protocol, label) == ("table", "chosen"):
                    moon = "yes" if all(m >= b for m, b in zip(means, MOONSHOT, strict=True)) else "no"
                    goal = " / ".join(f"{value:g}" for value in MOONSHOT)
                    lines.append(f"| {protocol} | {shown} | | | | moonshot {goal} | {moon} |")
                if (protocol, label) == ("table", "random"):
                    exact = [expected_best(column) for column in names]
                    far = [abs(m - mean) / (std / SEEDS**0.5) for m, (mean, std) in zip(means, exact, strict=True)]
                    closed = " | ".join(f"{mean:.2f} ± {std:.2f}" for mean, std in exact)
                    verdict = "yes" if max(far) <= 4 else "no"
                    errors = ", ".join(f"{value:.1f}" for value in far)
                    goal = f"within 4 standard errors: {errors}"
                    lines.append(f"| {protocol} | random, closed form | {closed} | {goal} | {verdict} |")
    big = largest()
    lines.append(f"| table | the {QUERIES} largest cells | {' | '.join(f'{big[name]:.2f}' for name in names)} | | |")
    lines += [
        "",
        "Noisy: each cell's value with noise of 0.5, 1.0 and 1.2, the same whenever it is asked for; the true value of "
        "the cell that seemed best. Transfer: searched on CIFAR-10, the found cell's value in all three. The protocols "
        "are ours; the paper's selects on validation accuracy after 12 epochs under a simulated budget of time, which "
        "the table does not hold.",
        "",
    ]
    (RESULTS / "nasbench201_cpu1_2026-11-30.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    {"choose": choose, "measure": measure, "report": report}[sys.argv[1]]()
