"""A small space of architectures trained in full: 125 cells of three nodes, on handwritten digits, from three seeds.

The table is of ``benchmarks/architecture_search/tiny_space.py``: networks of one cell of 8 channels, 600 digits to
train on, 1,197 to judge by.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources
from statistics import fmean

import numpy as np

from lamina.layers.cells.nasbench import EDGE_OPERATIONS, format_architecture, parse_architecture
from lamina.search.space import Point, Space

EDGES = ("model.edge_01", "model.edge_02", "model.edge_12")
WIDTH = 8


@cache
def accuracies() -> dict[str, float]:
    """The accuracy of each cell, the mean of its seeds."""
    text = resources.files("lamina.claims").joinpath("tiny_space.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return {row.pop("architecture"): fmean(map(float, row.values())) for row in rows}


def space() -> Space:
    """The operations of the three edges."""
    return Space.of({edge: list(EDGE_OPERATIONS) for edge in EDGES})


def accuracy(point: Point) -> float:
    """That of a point of the space."""
    return accuracies()[format_architecture([point[edge] for edge in EDGES])]


def parameters(cell: str) -> int:
    """Weights of the operations of a cell."""
    each = {"nor_conv_1x1": WIDTH**2 + 2 * WIDTH, "nor_conv_3x3": 9 * WIDTH**2 + 2 * WIDTH}
    return sum(each.get(name, 0) for name in parse_architecture(cell, nodes=3))


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """The correlation of ranks; of equal values the mean rank.

    Example: ``spearman([1, 2, 3], [1, 4, 9])`` is 1.
    """
    ranks = [(x[:, None] > x).sum(1) + ((x[:, None] == x).sum(1) - 1) / 2 for x in (np.array(a), np.array(b))]
    return float(np.corrcoef(*ranks)[0, 1])


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-b: of the pairs the share in equal order less that in opposite order, corrected for equal values.

    Example: ``kendall([1, 2, 3], [1, 3, 2])`` is 1/3.
    """
    signs = [np.sign(x[:, None] - x) for x in (np.array(a), np.array(b))]
    return float((signs[0] * signs[1]).sum() / np.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))
