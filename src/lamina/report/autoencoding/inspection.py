"""The inspection page of an autoencoder: one input restored, where it fails, its code, and walks through the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamina.report.autoencoding import figures
from lamina.report.blocks import Block, Chart, Charts, Pairs, Section, Tiles
from lamina.report.contact_sheet import sheet
from lamina.report.content import Array
from lamina.report.image import overlays
from lamina.report.images import Tile, tile
from lamina.report.templates import render

SIDE = 160
STEP = 56


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What one dimension of the code changes."""

    name: str
    pictures: Sequence[Array]


@dataclass(frozen=True, kw_only=True)
class AutoencoderPage:
    """An inspection of one picture with the other contents of its page."""

    name: str
    """of the run"""
    model: str
    image: str
    """its file's name"""
    seen: Any
    """the tensors: an ``AutoencoderInspection``"""
    picture_HWC: Array
    restored_HWC: Array
    error_HW: Array
    """squared error of each pixel, over its maximum"""
    predictions: Sequence[tuple[str, str]]
    """score, threshold, verdict, blame, in words"""
    code: Sequence[tuple[str, float]]
    """the numbers of the code by name"""
    walks: Sequence[Walk]
    facts: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    random: bool = False

    def html(self) -> str:
        """The whole page."""
        sections = [
            Section(name="reconstruction", title="Reconstruction", blocks=_tiles("restored", self._restored())),
            Section(name="verdict", title="Verdict", blocks=[Pairs(pairs=list(self.predictions))]),
            Section(
                name="code",
                title="Code",
                blocks=[Charts(charts=[Chart(title="", svg=figures.bars(self.code, "value", "The code"))])],
            ),
        ]
        if self.walks:
            rows = [block for walk in self.walks for block in _tiles(walk.name, self._steps(walk), walk.name)]
            sections.append(Section(name="walks", title="Walks from here", blocks=rows))
        sections.append(Section(name="facts", title="Provenance", blocks=[Pairs(pairs=list(self.facts.items()))]))
        return render("inspection_restored.html", content=self, sections=sections)

    def pictures(self) -> dict[str, bytes]:
        """Its pictures as PNG files, by name."""
        files = {"reconstruction": sheet(self._restored())}
        return files | {f"walk-{walk.name}": sheet(self._steps(walk)) for walk in self.walks}

    def _restored(self) -> list[Tile]:
        heat = overlays.heat(self.picture_HWC, self.error_HW)
        return [
            tile(overlays.enlarged(self.picture_HWC), SIDE, "the image"),
            tile(overlays.enlarged(self.restored_HWC), SIDE, "restored"),
            tile(heat, SIDE, "squared error"),
        ]

    def _steps(self, walk: Walk) -> list[Tile]:
        return [tile(picture, STEP) for picture in walk.pictures]


def _tiles(alt: str, tiles: Sequence[Tile], title: str = "") -> list[Block]:
    return [Tiles(title=title, alt=alt, tiles=tiles)]
