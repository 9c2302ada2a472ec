"""The inspection page of a forecaster: one history, its forecast, what of the past it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamina.report.blocks import Block, Chart, Charts, Pairs, Section
from lamina.report.series import figures
from lamina.report.series.figures import Fan
from lamina.report.statistics import Floats
from lamina.report.templates import render


@dataclass(frozen=True, kw_only=True)
class ForecasterPage:
    """An inspection of one history with the other contents of its page."""

    name: str
    """of the run"""
    model: str
    image: str
    """the history's name"""
    seen: Any
    """the tensors: a ``ForecasterInspection``"""
    fans: Sequence[Fan]
    importance: Mapping[str, Floats]
    """change of the forecast by step of the past (L,), by what is replaced"""
    inputs: Sequence[tuple[str, float]]
    """change of the forecast where a whole input is replaced by its mean, by name"""
    maps: Mapping[str, Floats]
    """matrices (H, L) of linear models, by name"""
    components: Mapping[str, Sequence[Fan]] = field(default_factory=dict)
    """parts of the forecast that add up to it, by name of the target"""
    attention: Mapping[str, Floats] = field(default_factory=dict)
    """attention over patches (query, key), by layer"""
    predictions: Sequence[tuple[str, str]]
    facts: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    random: bool = False

    def html(self) -> str:
        """The whole page."""
        charts = [Chart(title=one.title, svg=figures.fan(one)) for one in self.fans]
        sections = [Section(name="forecast", title="Forecast", blocks=[Charts(charts=charts, large=False)])]
        blocks: list[Block] = [
            Charts(charts=[Chart(title=name, svg=figures.importance_of_past(one, name))])
            for name, one in self.importance.items()
        ]
        if len(self.inputs) > 1:
            blocks.append(Pairs(pairs=[(name, f"{value:.4g}") for name, value in self.inputs]))
        sections.append(Section(name="importance", title="What the forecast depends on", blocks=blocks))
        for name, fans in self.components.items():
            parts = Charts(charts=[Chart(title=one.title, svg=figures.fan(one)) for one in fans])
            sections.append(Section(name=f"parts-{len(sections)}", title=f"Parts of {name}", blocks=[parts]))
        for title, matrices, draw in (
            ("Weights", self.maps, figures.weights),
            ("Attention over patches", self.attention, figures.attention),
        ):
            if matrices:
                drawn = [Chart(title=name, svg=draw(one, name)) for name, one in matrices.items()]
                sections.append(Section(name=title.split()[0].lower(), title=title, blocks=[Charts(charts=drawn)]))
        sections.append(Section(name="facts", title="Provenance", blocks=[Pairs(pairs=list(self.facts.items()))]))
        return render("inspection_forecast.html", content=self, sections=sections)

    def pictures(self) -> dict[str, bytes]:
        """Its pictures as PNG files, by name."""
        files = {"forecast": figures.fan_png(list(self.fans))}
        for k, one in enumerate(self.importance.values()):
            files[f"importance-{k}" if k else "importance"] = figures.importance_png(one)
        return files | {f"weights-{name}": figures.weights_png(one) for name, one in self.maps.items()}
