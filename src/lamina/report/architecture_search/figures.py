"""Cells drawn as graphs, and how the weights of operations changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from lamina.report.content import Array
from lamina.report.svg import INK, MUTED, PAGE, SERIES, draw, draw_png, legend, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pairs = Sequence[Sequence[tuple[str, int]]]
"""for each node of a cell the operations and the states that they read"""
DRAWN = (760, 330)


def cell(nodes: Pairs, concat: Sequence[int]) -> Markup:
    """A cell as a graph: its two inputs on the left, its output on the right."""
    words = "; ".join(
        f"node {state} adds {' and '.join(f'{name} of {source}' for name, source in node)}"
        for state, node in enumerate(nodes, start=2)
    )
    return draw(_cell(nodes, concat, SERIES, INK, MUTED, PAGE), f"A cell: {words}; output {list(concat)}", *DRAWN)


def cell_png(nodes: Pairs, concat: Sequence[int]) -> bytes:
    """The same as a PNG file."""
    colours = [f"C{i}" for i in range(8)]
    return draw_png(_cell(nodes, concat, colours, "black", "grey", "white"), *DRAWN)


def _cell(
    nodes: Pairs, concat: Sequence[int], colours: Sequence[str], ink: str, muted: str, page: str
) -> Callable[[Figure], None]:
    kinds = sorted({name for node in nodes for name, _ in node})
    places = {0: (0.0, 0.55), 1: (0.0, -0.55)}
    for state in range(2, 2 + len(nodes)):
        places[state] = (1.5 * (state - 1), 0.75 * (-1) ** state)
    end = (1.5 * (len(nodes) + 1), 0.0)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for state in concat:
            axes.annotate(
                "",
                end,
                places[state],
                arrowprops={"arrowstyle": "-", "color": muted, "linewidth": 0.7, "shrinkA": 13, "shrinkB": 26},
            )
        for state, node in enumerate(nodes, start=2):
            for number, (name, source) in enumerate(node):
                colour = colours[kinds.index(name) % len(colours)]
                bend = 0.12 + 0.1 * number
                style = {
                    "arrowstyle": "-|>",
                    "color": colour,
                    "linewidth": 1.6,
                    "shrinkA": 13,
                    "shrinkB": 13,
                    "connectionstyle": f"arc3,rad={bend}",
                }
                axes.annotate("", places[state], places[source], arrowprops=style)
                (x0, y0), (x1, y1) = places[source], places[state]
                share = 0.42 + 0.16 * number
                x, y = x0 + share * (x1 - x0) + bend * (y1 - y0) / 2, y0 + share * (y1 - y0) - bend * (x1 - x0) / 2
                behind = {"facecolor": page, "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
                axes.text(x, y, name, color=colour, fontsize=8, ha="center", va="center", bbox=behind)
        names = {0: "cell − 2", 1: "cell − 1"}
        for state, (x, y) in places.items():
            axes.plot([x], [y], "o", color=muted, markersize=22, alpha=0.25)
            axes.text(x, y, str(state), color=ink, ha="center", va="center")
            if state in names:
                axes.text(x, y + 0.32, names[state], color=muted, fontsize=8, ha="center")
        axes.text(*end, "output", color=ink, ha="center", va="center")
        axes.set_xlim(-0.5, end[0] + 0.6)
        axes.set_ylim(-1.6, 1.5)
        axes.set_axis_off()

    return paint


def over_training(title: str, epochs: Sequence[int], means_TO: Array, names: Sequence[str]) -> Markup:
    """The weight of each operation, a mean over the edges, by epoch."""
    words = ", ".join(
        f"{name} {first:.3f} to {last:.3f}" for name, first, last in zip(names, *means_TO[[0, -1]], strict=True)
    )
    return draw(_lines(epochs, means_TO, names, SERIES), f"{title}: {words}", 560, 300)


def over_training_png(epochs: Sequence[int], means_TO: Array, names: Sequence[str]) -> bytes:
    """The same as a PNG file."""
    return draw_png(_lines(epochs, means_TO, names, [f"C{i}" for i in range(8)]), 560, 300)


def _lines(
    epochs: Sequence[int], means_TO: Array, names: Sequence[str], colours: Sequence[str]
) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        for number, name in enumerate(names):
            axes.plot(
                epochs,
                means_TO[:, number],
                color=colours[number % len(colours)],
                label=name,
                marker="o" if len(epochs) <= 30 else "",
                markersize=3,
            )
        legend(axes, columns=4)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean weight of an operation")
        readable(axes.xaxis)
        readable(axes.yaxis)

    return paint


def counts(genotypes: Sequence[Mapping[str, int]], names: Sequence[str]) -> Array:
    """How often each operation is in each genotype, (T, O)."""
    return np.array([[float(found.get(name, 0)) for name in names] for found in genotypes])
