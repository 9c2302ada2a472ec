"""Strategies on the table of NAS-Bench-201: test accuracies after 200 epochs of all 15,625 cells.

``python -m benchmarks.architecture_search.table choose`` compares candidates on CIFAR-10's column alone, on seeds of
their own, and writes the best into ``benchmarks/results/nasbench201_chosen.json``; ``... measure`` runs the four
strategies of the library with the settings below, and the chosen one, on all three columns, 200 seeds, and writes a
row for each seed and the means. LAMINA_DATA names the folder with nas_bench_201/. What is measured is not measured
again.

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
    settings = {**SETTINGS, "chosen": (chosen["strategy"], chosen["options"])}
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


if __name__ == "__main__":
    {"choose": choose, "measure": measure}[sys.argv[1]]()
