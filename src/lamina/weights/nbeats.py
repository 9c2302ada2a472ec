"""Parameter names of N-BEATS in the authors' code."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.nbeats import NBeats
from lamina.weights.layout import Layout


def _authors(model: NBeats) -> Iterable[tuple[str, str]]:
    """ServiceNow/N-BEATS: the blocks of one member of the ensemble; those of a stack repeat the same weights."""
    if model.effect is not None or model.config.normalisation == "revin":  # they have neither
        return
    for index in range(len(model.blocks)):
        yield f"blocks.{index}.layers", f"blocks.{index}.layers"
        yield f"blocks.{index}.basis_parameters", f"blocks.{index}.theta"


LAYOUTS = (Layout(source="ServiceNow/N-BEATS", names=_authors, ignored=(r"blocks\.\d+\.basis_function\.\w+",)),)
