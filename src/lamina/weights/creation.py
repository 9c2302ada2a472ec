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
    name: str,
    *,
    weights: str | Path | None = None,
    entry: str | None = None,
    reset_head: bool = False,
    **overrides: Any,
) -> nn.Module:
    """Build a variant, its config's fields replaced by ``overrides``: ``create_model("lenet5", num_classes=26)``.

        create_model("resnet50", weights="resnet50.pth")
        create_model("resnet18", weights="imagenet", num_classes=10, reset_head=True)
        create_model("resnet18", weights="hf:timm/resnet18.a1_in1k@main")

    ``weights`` is a file of published weights, a run's folder, a name on the model's card, or a place on the hub, from
    which it is fetched (``lamina.weights.hub``); ``entry`` the entry of a checkpoint that holds them; ``reset_head``
    leaves their output layer out. A folder of transformers' GPT-2 also states the options.
    What to mind of a name that is timm's (``resnet50.a1_in1k``) is a warning.
    Raises UsageError for an unknown name or option, and for values the architecture cannot take; what ``load_weights``
    raises for weights that do not fit.
    """
    if "pretrained" in overrides:
        raise UsageError(_instead(name))
    remark = registry.remark(name)
    if remark is not None:
        warnings.warn(f"{name}: {remark}", stacklevel=2)
    for option, given in (("entry", entry is not None), ("reset_head", reset_head)):
        if given and weights is None:
            raise UsageError(f"{option} is of a file of weights: give weights= too")
    if weights is None:
        return registry.create_model(name, **overrides)
    registry.canonical(name)  # a misspelt name is answered without torch

    from lamina.weights.folders import options_beside, stated_options
    from lamina.weights.loading import load_weights
    from lamina.weights.published import built_for

    if isinstance(weights, str):
        weights, overrides = built_for(name, weights, overrides, reset_head=reset_head)
    stated = {option: value for option, value in stated_options(name, weights).items() if option == "vocab_size"}
    model = registry.create_model(name, **(stated | options_beside(name, weights, overrides)))
    load_weights(model, weights, entry=entry, reset_head=reset_head)
    return model


def _instead(name: str) -> str:
    """What to write in place of ``pretrained=True``."""
    entries = registry.card(name).published if registry.is_model(name) else ()
    if entries:
        return (
            f"there is no option 'pretrained': create_model('{name}', weights='{entries[0].name}') has published ones"
        )
    return (
        f"there is no option 'pretrained', and no weights are listed for {name}: give a file, create_model('{name}', "
        "weights='FILE'), or load_weights(model, 'FILE') afterwards"
    )
