"""Models built by name, with weights where they are asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina import registry
from lamina.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


def create_model(
    name: str, *, weights: str | Path | None = None, entry: str | None = None, **overrides: Any
) -> nn.Module:
    """Build a variant, its config's fields replaced by ``overrides``: ``create_model("lenet5", num_classes=26)``.

    ``weights`` is a file of published weights, or a run's folder: ``create_model("resnet50", weights="resnet50.pth")``;
    ``entry`` the entry of a checkpoint that holds them. A folder of transformers' GPT-2 also states the options.
    What to mind of a name that is timm's (``resnet50.a1_in1k``) is a warning.
    Raises UsageError for an unknown name or option, and for values the architecture cannot take; what ``load_weights``
    raises for weights that do not fit.
    """
    if "pretrained" in overrides:
        raise UsageError(
            f"there is no option 'pretrained': nothing is downloaded. Give a file of published weights, "
            f"create_model('{name}', weights='FILE'), or load_weights(model, 'FILE') afterwards"
        )
    remark = registry.remark(name)
    if remark is not None:
        warnings.warn(f"{name}: {remark}", stacklevel=2)
    if entry is not None and weights is None:
        raise UsageError("entry is of a file of weights: give weights= too")
    if weights is None:
        return registry.create_model(name, **overrides)
    registry.canonical(name)  # a misspelt name is answered without torch

    from lamina.weights.folders import options_beside, stated_options
    from lamina.weights.loading import load_weights

    stated = {option: value for option, value in stated_options(name, weights).items() if option == "vocab_size"}
    model = registry.create_model(name, **(stated | options_beside(name, weights, overrides)))
    load_weights(model, weights, entry=entry)
    return model
