"""The inspection page of an architecture search: what it has found, and how it came to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamina.report.architecture_search import figures
from lamina.report.blocks import Block, Chart, Charts, Command, Pairs, Section, Text
from lamina.report.content import Array
from lamina.report.templates import render


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search by weight sharing has found."""

    genotype: str
    cells: Mapping[str, Any]
    """by name, with ``nodes`` and ``concat``"""
    operations: Sequence[str]
    epochs: Sequence[int]
    genotypes: Sequence[str]
    """by epoch"""
    mixtures: Mapping[str, Array] = field(default_factory=dict)
    """the weights of the operations, (epochs, edges, operations), by kind of cell; empty without alphas"""


@dataclass(frozen=True, kw_only=True)
class SearchPage:
    """A found architecture with the other contents of its page."""

    name: str
    model: str
    seen: Found
    command: str
    """what trains it"""
    facts: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    random: bool = False
    image: str = ""

    @property
    def predictions(self) -> list[tuple[str, str]]:
        return [("genotype", self.seen.genotype)]

    def html(self) -> str:
        """The whole page."""
        facts = Section(name="facts", title="Provenance", blocks=[Pairs(pairs=list(self.facts.items()))])
        return render("inspection.html", content=self, sections=[*sections(self.seen, self.command), facts])

    def pictures(self) -> dict[str, bytes]:
        """Its pictures as PNG files, by name."""
        seen = self.seen
        files = {name: figures.cell_png(cell.nodes, cell.concat) for name, cell in seen.cells.items()}
        for name, mixture_TEO in seen.mixtures.items():
            files[f"alphas-{name}"] = figures.over_training_png(seen.epochs, mixture_TEO.mean(1), seen.operations)
        return files


def sections(seen: Found, command: str) -> list[Section]:
    """The architecture, and the weights of its operations over training."""
    drawn: list[Block] = [
        Charts(charts=[Chart(title=f"{name} cell", svg=figures.cell(cell.nodes, cell.concat))], large=True)
        for name, cell in seen.cells.items()
    ]
    words: list[Block] = [
        Text(text="What was found, as an option of a network that is trained alone:"),
        Command(text=command),
        Pairs(pairs=[("genotype", seen.genotype)]),
    ]
    found = [Section(name="architecture", title="Architecture", blocks=[*drawn, *words])]
    if seen.epochs:
        names = sorted({name for genotype in seen.genotypes for name in names_in(genotype)})
        rows = [{name: names_in(genotype).count(name) for name in names} for genotype in seen.genotypes]
        lines = {f"{name} cell": mixture_TEO.mean(1) for name, mixture_TEO in seen.mixtures.items()}
        operations = seen.operations
        if not lines:
            lines, operations = {"operations of both cells": figures.counts(rows, names)}, names
        charts = [
            Chart(title=title, svg=figures.over_training(title, seen.epochs, means_TO, operations))
            for title, means_TO in lines.items()
        ]
        skips = [row.get("skip_connect", 0) for row in rows]
        note = Text(
            text=f"Skips among the {len(names_in(seen.genotype))} operations of the derived cells: {skips[0]} after "
            f"the first epoch, {skips[-1]} after the last, {max(skips)} at most. DARTS trained long collapses to skips."
        )
        found.append(Section(name="search", title="The search", blocks=[Charts(charts=charts), note]))
    return found


def names_in(genotype: str) -> list[str]:
    """The operations of a genotype as text."""
    return [item.partition("~")[0].split("|")[-1] for item in genotype.split("|") if "~" in item]
