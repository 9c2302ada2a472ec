"""Genotypes: a normal and a reduction cell, as in DARTS.

A cell has two inputs, the outputs of the cells before the last and of the last, numbered 0 and 1. Each of its nodes,
numbered from 2, adds two operations on earlier states; the states in ``concat`` side by side are the cell's output.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.layers.cells.strings import format_nodes, parse_nodes

GENOTYPE_OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
INPUTS = 2


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Pairs of (operation, state that it reads), two for each node, and the states in the output.

    >>> Cell.parse("|sep_conv_3x3~0|skip_connect~1|+|max_pool_3x3~2|skip_connect~0|", "normal").concat
    (2, 3)
    """

    nodes: tuple[tuple[tuple[str, int], ...], ...]
    concat: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, what: str) -> Cell:
        """From ``|op~i|op~j|+|op~i|op~j|``, followed by ``>2,3`` where not all nodes are in the output. Raises
        ValueError."""
        body, arrow, listed = text.strip().partition(">")
        nodes = parse_nodes(body, GENOTYPE_OPERATIONS, f"{what} cell")
        if not arrow:
            return cls.checked(nodes, range(INPUTS, INPUTS + len(nodes)), what)
        states = [one.strip() for one in listed.split(",")]
        if not all(one.isascii() and one.isdecimal() for one in states):
            raise ValueError(f"{what} cell '{text}': expected states after '>', as in >2,3,4, got '{listed}'")
        return cls.checked(nodes, [int(one) for one in states], what)

    @classmethod
    def checked(cls, nodes: Sequence[Sequence[tuple[str, int]]], concat: Sequence[int], what: str) -> Cell:
        """A cell whose nodes read earlier states only. Raises ValueError."""
        for state, node in enumerate(nodes, start=INPUTS):
            if len(node) != 2:
                raise ValueError(f"{what} cell: node {state} adds two operations, got {len(node)}")
            for name, source in node:
                if not 0 <= source < state:
                    raise ValueError(f"{what} cell: node {state} reads earlier states, 0 to {state - 1}, got {source}")
                if name not in GENOTYPE_OPERATIONS:
                    known = ", ".join(GENOTYPE_OPERATIONS)
                    raise ValueError(f"{what} cell: unknown operation '{name}'; known: {known}")
        last = INPUTS + len(nodes) - 1
        if not concat or len(set(concat)) != len(concat) or not all(0 <= state <= last for state in concat):
            listed = ",".join(map(str, concat))
            raise ValueError(f"{what} cell: the output joins different states, 0 to {last}, got '{listed}'")
        if max(concat) < INPUTS:
            raise ValueError(f"{what} cell: its output has none of its nodes")
        if what == "reduce" and min(concat) < INPUTS:
            raise ValueError("reduce cell: its output cannot join its inputs, which are larger than its nodes")
        return cls(nodes=tuple(tuple(node) for node in nodes), concat=tuple(concat))

    @property
    def pairs(self) -> tuple[tuple[str, int], ...]:
        """All pairs in one list, as in the released code of DARTS."""
        return tuple(pair for node in self.nodes for pair in node)

    def __str__(self) -> str:
        everything = tuple(range(INPUTS, INPUTS + len(self.nodes)))
        listed = "" if self.concat == everything else ">" + ",".join(map(str, self.concat))
        return format_nodes(self.nodes) + listed


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """Two cells. As text ``normal / reduce``; ``parse`` also reads what the released code of DARTS prints.

    >>> text = "|sep_conv_3x3~0|skip_connect~1| / |max_pool_3x3~0|max_pool_3x3~1|"
    >>> str(Genotype.parse(text)) == text
    True
    """

    normal: Cell
    reduce: Cell

    @classmethod
    def parse(cls, text: str) -> Genotype:
        """Raises ValueError, in one line, for what is no genotype."""
        text = " ".join(text.split())
        if text in GENOTYPES:
            return cls.parse(GENOTYPES[text])
        if text.startswith("Genotype("):
            return cls._released(text)
        cells = text.split("/")
        if len(cells) != 2 or "|" not in text:
            raise ValueError(
                f"genotype '{text}': expected a normal and a reduction cell, |op~i|op~j|+... / |op~i|op~j|+..., or one "
                f"of {', '.join(GENOTYPES)}"
            )
        return cls(normal=Cell.parse(cells[0], "normal"), reduce=Cell.parse(cells[1], "reduce"))

    @classmethod
    def _released(cls, text: str) -> Genotype:
        """From ``Genotype(normal=[('skip_connect', 0), ...], normal_concat=range(2, 6), reduce=..., ...)``."""
        wrong = ValueError(
            f"genotype '{text}': expected Genotype(normal=[...], normal_concat=[...], reduce=[...], "
            "reduce_concat=[...])"
        )
        try:
            call = ast.parse(text, mode="eval").body
            if not isinstance(call, ast.Call) or call.args:
                raise wrong
            given = {str(word.arg): _literal(word.value) for word in call.keywords}
            if set(given) != {"normal", "normal_concat", "reduce", "reduce_concat"}:
                raise wrong
            pairs = {name: [(str(op), int(source)) for op, source in given[name]] for name in ("normal", "reduce")}
            concats = {name: [int(state) for state in given[f"{name}_concat"]] for name in ("normal", "reduce")}
        except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
            raise wrong from None
        cells = {}
        for name, listed in pairs.items():
            nodes = [listed[at : at + 2] for at in range(0, len(listed), 2)]
            cells[name] = Cell.checked(nodes, concats[name], name)
        return cls(**cells)

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of all operations of both cells."""
        return tuple(name for cell in (self.normal, self.reduce) for name, _ in cell.pairs)

    def __str__(self) -> str:
        return f"{self.normal} / {self.reduce}"


def _literal(node: ast.expr) -> Any:
    """A literal, or ``range(2, 6)``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range" and not node.keywords:
        start, stop = (int(ast.literal_eval(argument)) for argument in node.args)
        return range(start, min(stop, start + 1000))
    return ast.literal_eval(node)


GENOTYPES: Mapping[str, str] = {
    "darts-v1": (
        "|sep_conv_3x3~1|sep_conv_3x3~0|+|skip_connect~0|sep_conv_3x3~1|+|skip_connect~0|sep_conv_3x3~1|"
        "+|sep_conv_3x3~0|skip_connect~2| / "
        "|max_pool_3x3~0|max_pool_3x3~1|+|skip_connect~2|max_pool_3x3~0|+|max_pool_3x3~0|skip_connect~2|"
        "+|skip_connect~2|avg_pool_3x3~0|"
    ),
    "darts-v2": (
        "|sep_conv_3x3~0|sep_conv_3x3~1|+|sep_conv_3x3~0|sep_conv_3x3~1|+|sep_conv_3x3~1|skip_connect~0|"
        "+|skip_connect~0|dil_conv_3x3~2| / "
        "|max_pool_3x3~0|max_pool_3x3~1|+|skip_connect~2|max_pool_3x3~1|+|max_pool_3x3~0|skip_connect~2|"
        "+|skip_connect~2|max_pool_3x3~1|"
    ),
    "nasnet-a": (
        "|sep_conv_5x5~1|sep_conv_3x3~0|+|sep_conv_5x5~0|sep_conv_3x3~0|+|avg_pool_3x3~1|skip_connect~0|"
        "+|avg_pool_3x3~0|avg_pool_3x3~0|+|sep_conv_3x3~1|skip_connect~1|>0,2,3,4,5,6 / "
        "|sep_conv_5x5~1|sep_conv_7x7~0|+|max_pool_3x3~1|sep_conv_7x7~0|+|avg_pool_3x3~1|sep_conv_5x5~0|"
        "+|skip_connect~3|avg_pool_3x3~2|+|sep_conv_3x3~2|max_pool_3x3~1|>3,4,5,6"
    ),
}
"""published genotypes"""
