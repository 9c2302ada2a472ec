"""Cells as strings: ``|op~i|op~j|+|op~i|op~j|``, nodes joined by "+", each a list of operations and what they read."""

from __future__ import annotations

from collections.abc import Collection, Sequence

Node = tuple[tuple[str, int], ...]
"""the operations of a node, each with the number of the node that it reads"""


def parse_nodes(text: str, operations: Collection[str], what: str) -> tuple[Node, ...]:
    """The nodes of a cell, in order. Raises ValueError, in a line that starts with ``what``, for a string that is not
    of this form, an operation that is not among ``operations`` and an input that is not a whole number.

    >>> parse_nodes("|conv~0|+|conv~0|skip~1|", ("conv", "skip"), "cell")
    ((('conv', 0),), (('conv', 0), ('skip', 1)))
    """
    nodes = []
    for number, part in enumerate(text.strip().split("+"), start=1):
        node = part.strip()
        if len(node) < 3 or node[0] != "|" or node[-1] != "|":
            raise ValueError(f"{what} '{text}': node {number} is '{node}', expected |operation~input|...|")
        pairs = []
        for item in node[1:-1].split("|"):
            name, tilde, source = item.partition("~")
            if not tilde or not source.isascii() or not source.isdecimal():
                raise ValueError(f"{what} '{text}': node {number} has '{item}', expected operation~input")
            if name not in operations:
                raise ValueError(f"{what} '{text}': unknown operation '{name}'; known: {', '.join(operations)}")
            pairs.append((name, int(source)))
        nodes.append(tuple(pairs))
    return tuple(nodes)


def format_nodes(nodes: Sequence[Sequence[tuple[str, int]]]) -> str:
    """The inverse of ``parse_nodes``.

    >>> format_nodes([[("conv", 0)], [("conv", 0), ("skip", 1)]])
    '|conv~0|+|conv~0|skip~1|'
    """
    return "+".join("|" + "|".join(f"{name}~{source}" for name, source in node) + "|" for node in nodes)
