"""Weights whose names fit, but of another function: timm's ``tf_`` models, with TensorFlow's padding."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lamina.cards.timm_names import TENSORFLOW
from lamina.errors import UsageError
from lamina.weights.reading import StateDict

MARK = re.compile(r"(^|[/._-])tf_(efficientnet|mobilenet|mixnet)", re.IGNORECASE)


def expect_same_function(source: str, state: StateDict, model: Any) -> None:
    """Raise UsageError for a file in timm's layout that its name, its folder's or ``config.json`` call ``tf_...``,
    where the model has not that padding and epsilon.

    The tensors themselves carry no mark of their padding.
    """
    if source != "timm" or state.path is None:
        return
    config = getattr(model, "config", None)
    if (getattr(config, "padding", ""), getattr(config, "eps", 0.0)) == ("tensorflow", 1e-3):
        return
    for name in _names(state.path):
        if MARK.search(name):
            what = type(model).__name__
            raise UsageError(f"{state.path} holds timm's {name}, which is not this {what}: {TENSORFLOW}")


def _names(path: Path) -> Iterator[str]:
    yield path.stem
    yield path.absolute().parent.name
    try:
        config = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(config, dict):
        yield str(config.get("architecture", ""))


def with_timms_epsilon() -> Callable[[Any], str | None]:
    """A layout's remark on a model whose batch norm has another epsilon than timm's 1e-5."""

    def remark(model: Any) -> str | None:
        eps = model.config.eps
        if eps == 1e-5:
            return None
        return f"timm's batch norm has epsilon 1e-05, this model {eps:g}: build it with eps=1e-5"

    return remark
