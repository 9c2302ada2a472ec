"""The inspection page of an adversarial network: how its players fared, and what it has copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamina.report.blocks import Pairs, Section, Tiles
from lamina.report.contact_sheet import sheet
from lamina.report.templates import render


@dataclass(frozen=True, kw_only=True)
class AdversarialPage:
    """An inspection with its page."""

    name: str
    """of the run"""
    model: str
    seen: Any
    """the tensors: an ``AdversarialInspection``"""
    sections: Sequence[Section]
    predictions: Sequence[tuple[str, str]]
    """what was found, in words"""
    facts: Mapping[str, str] = field(default_factory=dict)
    what: str = "how generator and discriminator fared, and how near samples are to training data"
    """shown, in a line"""
    target: str = ""
    random: bool = False

    def html(self) -> str:
        """The whole page."""
        found = Section(name="found", title="In numbers", blocks=[Pairs(pairs=list(self.predictions))])
        facts = Section(name="facts", title="Provenance", blocks=[Pairs(pairs=list(self.facts.items()))])
        return render("inspection_adversarial.html", content=self, sections=[found, *self.sections, facts])

    def pictures(self) -> dict[str, bytes]:
        """Its rows of pictures as PNG files, by section."""
        rows = {section.name: [b for b in section.blocks if isinstance(b, Tiles)] for section in self.sections}
        tiles = {name: [tile for block in blocks for tile in block.tiles] for name, blocks in rows.items() if blocks}
        return {name: sheet(found) for name, found in tiles.items()}
