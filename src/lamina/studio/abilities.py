"""What a run takes and gives, so that the page shows what fits it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamina.errors import LaminaError
from lamina.runs.run import Run
from lamina.serving.options import served_fields
from lamina.studio.shown import opened


@dataclass(frozen=True, kw_only=True)
class Slider:
    """An option of ``generate`` as a slider; at ``off`` it is not given."""

    label: str
    low: float
    high: float
    step: float
    off: float
    option: Callable[[float], Any]


SLIDERS: Mapping[str, Slider] = {
    "walk": Slider(
        label="Walk along this dimension of the code (-1: draw samples)", low=-1, high=63, step=1, off=-1, option=int
    ),
    "interpolate": Slider(
        label="Walk from the first sample to this one (0: draw)",
        low=0, high=63, step=1, off=0, option=lambda last: (0, int(last)),
    ),
    "style_mix": Slider(
        label="Mix the styles of so many pictures (0: none)",
        low=0, high=6, step=1, off=0, option=lambda side: (int(side), int(side)),
    ),
    "truncation": Slider(label="Truncation (1: none)", low=0, high=1, step=0.05, off=1, option=float),
    "temperature": Slider(label="Temperature", low=0.1, high=2, step=0.1, off=1, option=float),
}  # fmt: skip
"""by the name of the option; a run shows those that it has"""


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What the page offers for a run; nothing for a name that is none."""

    verbs: tuple[str, ...] = ()
    note: str = ""
    """one line: the verbs, or why there are none"""
    pictures: bool = False
    """whether an item may be a picture"""
    prompts: bool = False
    """whether ``generate`` continues a text"""
    example: str = ""
    """an item as it is typed"""
    sliders: frozenset[str] = frozenset()
    options: Mapping[str, str] = field(default_factory=dict)
    """the other options of a verb with their defaults, in a line"""

    @property
    def asks(self) -> str:
        """The verb that answers to an item: "predict", or "style"; "" for a run that only generates."""
        return next((verb for verb in ("predict", "style") if verb in self.verbs), "")


def abilities(runs: Path, name: Any) -> Abilities:
    """What a run of the folder takes and gives."""
    if not name:
        return Abilities(note="No run yet: train one.")
    try:
        run = opened(runs, name)[1]
    except LaminaError as error:
        return Abilities(note=str(error))
    request = run.modality.requests
    example = request.example(run.preprocess) if request is not None else None
    fields = {
        verb: served_fields(run.verb_options(verb)) for verb in run.verbs if verb in ("predict", "generate", "style")
    }
    sliders = frozenset(SLIDERS) & frozenset(fields.get("generate", {}))
    return Abilities(
        verbs=run.verbs, note=f"It has: {', '.join(run.verbs)}.",
        pictures=request is not None and any(kind.startswith("image/") for kind in request.media),
        prompts="generate" in run.verbs and run.view.takes_prompts,
        example="" if example is None else example if isinstance(example, str) else json.dumps(example),
        sliders=sliders,
        options={verb: _line(found, {"seed", "count", "max_new_tokens", *sliders}) for verb, found in fields.items()},
    )  # fmt: skip


def slid(run: Run, values: Mapping[str, float]) -> dict[str, Any]:
    """The options of ``generate`` that sliders give: those that the run has, and that are not off."""
    known = served_fields(run.verb_options("generate"))
    return {
        name: SLIDERS[name].option(value)
        for name, value in values.items()
        if name in known and value != SLIDERS[name].off
    }


def _line(fields: Mapping[str, dataclasses.Field[Any]], shown: set[str]) -> str:
    words = [f"{one.name} ({json.dumps(one.default, default=str)})" for one in fields.values() if one.name not in shown]
    return f"{', '.join(words)}, in JSON" if words else "none"
