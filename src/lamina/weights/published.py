"""Weights by name: what a card lists, where it lies on the hub, and what the files beside it say of images."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina import registry
from lamina.cards import PublishedWeights
from lamina.errors import UsageError
from lamina.weights.hub import MAIN, PREFIX, SPELLING, fetch, is_hub, located

Moments = tuple[tuple[float, ...], tuple[float, ...]]


def published(variant: str, weights: str) -> PublishedWeights | None:
    """The entry of a card that weights are, by its name or as ``hf:``; None for other weights.

        published("resnet18", "imagenet").repository   # "timm/resnet18.a1_in1k"

    Raises UsageError for a name that other models have, and this one has not.
    """
    entries = registry.card(variant).published if registry.is_model(variant) else ()
    if match := SPELLING.fullmatch(weights):
        found = [one for one in entries if one.repository == match["repository"] and not match["inside"]]
        return found[0] if found else None
    name = weights.partition("@")[0]
    for one in entries:
        if one.name == name:
            return one
    if name in _names() and registry.is_model(variant):
        have = f"it has {', '.join(one.name for one in entries)}" if entries else "none are"
        raise UsageError(
            f"no weights called '{name}' are listed for {variant} ({have}): give a file, a run, or "
            "hf:<repository>@<revision>"
        )
    return None


def spelled(variant: str, weights: str) -> str:
    """Weights by name as a place on the hub, ``hf:...@main``; others unchanged.

    spelled("resnet18", "imagenet")   # "hf:timm/resnet18.a1_in1k@main"
    """
    if is_hub(weights):
        return weights
    entry = published(variant, weights)
    if entry is None:
        return weights
    return f"{PREFIX}{entry.repository}@{weights.partition('@')[2] or MAIN}"


def model_options(variant: str, weights: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` options of a variant over those that weights of the hub need: without them it would be another
    function, or have another first layer."""
    entry = published(variant, weights)
    fields = {field.name for field in dataclasses.fields(registry.variant(variant).config)}
    needed = dict(entry.options) if entry is not None else {}
    channels = (stated_image(located(weights).parent) or {}).get("channels")
    if channels is not None and "in_channels" in fields:
        needed["in_channels"] = channels
    return {**needed, **given}


def built_for(
    variant: str, weights: str, given: Mapping[str, Any] | None = None, *, reset_head: bool = False
) -> tuple[str, dict[str, Any]]:
    """Weights by name or of the hub as the place of a commit, fetched, and the options of a model that is built for
    them, the number of classes among them; other weights and ``given`` options as they are.

        built_for("resnet18", "imagenet")   # ("hf:timm/resnet18.a1_in1k@<commit>", {"num_classes": 1000, ...})
    """
    options = dict(given or {})
    place = spelled(variant, weights)
    if not is_hub(place):
        return weights, options
    found = fetch(place)
    entry = published(variant, place)
    classes = (stated_image(found.path.parent) or {}).get("classes") if entry is None else entry.classes
    if classes is not None and not reset_head and has_classes(variant):
        options.setdefault("num_classes", classes)
    return found.spelling, model_options(variant, found.spelling, options)


def has_classes(variant: str) -> bool:
    """Whether a variant has an output layer of classes, which other data have others of."""
    return any(field.name == "num_classes" for field in dataclasses.fields(registry.variant(variant).config))


def stated_image(folder: Path) -> dict[str, Any] | None:
    """What timm's ``config.json`` says of the images that weights were trained with: "channels", "moments" (mean and
    deviation of values from 0 to 1), "classes", their number. None without such a file."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    stated = config.get("pretrained_cfg") if isinstance(config, dict) else None
    if not isinstance(stated, dict):
        return None
    found: dict[str, Any] = {}
    mean, deviation, size = (_numbers(stated.get(key)) for key in ("mean", "std", "input_size"))
    if mean and deviation and len(mean) == len(deviation):
        found["moments"] = mean, deviation
    if len(size) == 3:
        found["channels"] = int(size[0])
    classes = config.get("num_classes", stated.get("num_classes"))
    if isinstance(classes, int) and classes > 0:
        found["classes"] = classes
    return found


def advice(variant: str) -> str:
    """How to start from published weights, as a sentence's end: "--weights imagenet", or a file."""
    entries = registry.card(variant).published if registry.is_model(variant) else ()
    return f"--weights {entries[0].name}" if entries else "--weights FILE"


def _names() -> set[str]:
    return {one.name for name in registry.list_models() for one in registry.card(name).published}


def _numbers(value: object) -> tuple[float, ...]:
    """A list of numbers; empty for anything else."""
    if not isinstance(value, list) or not all(isinstance(one, int | float) for one in value):
        return ()
    return tuple(map(float, value))
