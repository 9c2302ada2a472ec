"""Cells of NAS-Bench-201: nodes that each add one operation on every earlier node.

The first node is the cell's input, the last its output. ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`` is a cell of four.
"""

from __future__ import annotations

from collections.abc import Sequence

from lamina.layers.cells.strings import format_nodes, parse_nodes

EDGE_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""in the order of the paper"""


def edges(nodes: int) -> list[tuple[int, int]]:
    """The edges (from, to) in the order of the string: (0, 1), (0, 2), (1, 2), ..."""
    return [(source, node) for node in range(1, nodes) for source in range(node)]


def parse_architecture(text: str, nodes: int = 4) -> tuple[str, ...]:
    """The operations of the edges, in order. Raises ValueError for a string of another form, of another number of
    nodes, or whose nodes do not read every earlier node once, in order.

    >>> parse_architecture("|none~0|+|skip_connect~0|nor_conv_3x3~1|", nodes=3)
    ('none', 'skip_connect', 'nor_conv_3x3')
    """
    found = parse_nodes(text, EDGE_OPERATIONS, "architecture")
    if len(found) != nodes - 1:
        raise ValueError(
            f"architecture '{text}': a cell of {nodes} nodes has {nodes - 1} besides its input, got {len(found)}"
        )
    for number, node in enumerate(found, start=1):
        sources = [source for _, source in node]
        if sources != list(range(number)):
            expected = ", ".join(map(str, range(number)))
            got = ", ".join(map(str, sources))
            raise ValueError(f"architecture '{text}': node {number} reads nodes {expected} in this order, got {got}")
    return tuple(name for node in found for name, _ in node)


def format_architecture(operations: Sequence[str]) -> str:
    """The inverse of ``parse_architecture``.

    >>> format_architecture(["none", "skip_connect", "nor_conv_3x3"])
    '|none~0|+|skip_connect~0|nor_conv_3x3~1|'
    """
    return format_nodes(_by_node(operations))


def is_cut_off(operations: Sequence[str]) -> bool:
    """Whether no path of operations other than "none" leads from the input to the output.

    >>> is_cut_off(["nor_conv_3x3", "none", "none"])
    True
    """
    reached = [True]
    for node in _by_node(operations):
        reached.append(any(name != "none" and reached[source] for name, source in node))
    return not reached[-1]


def unique_form(operations: Sequence[str]) -> str:
    """A string that is the same for cells of the same function: skips and what "none" cuts off are left out, sums are
    sorted. It is the one of the tables of NATS-Bench, which see one dead edge at a time, not a node all dead.

    >>> unique_form(["nor_conv_3x3", "skip_connect", "skip_connect"])
    '(0)@nor_conv_3x3+0'
    """
    nodes = ["0"]
    for node in _by_node(operations):
        terms = []
        for name, source in node:
            if name == "none" or nodes[source] == "#":
                terms.append("#")
            else:
                terms.append(nodes[source] if name == "skip_connect" else f"({nodes[source]})@{name}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _by_node(operations: Sequence[str]) -> list[list[tuple[str, int]]]:
    nodes: list[list[tuple[str, int]]] = []
    rest = list(operations)
    while rest:
        count = len(nodes) + 1
        nodes.append([(name, source) for source, name in enumerate(rest[:count])])
        rest = rest[count:]
    return nodes
