"""Recipes that fit the data: options that are "auto" become plain numbers before training.

A recipe is made for the data of its paper. On 105 rows its batches of 64 make one step an epoch, on 140 photographs a
rate of 0.1 diverges. ``fit_recipe`` is a pure function of the configuration and of a few facts about the data; what it
finds is in the run's ``config.yaml``, which trains the same again, and why is told once and in the report.

    config, reasons = fit_recipe(config, Facts(kind="table", samples=105))
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from lamina import registry
from lamina.data.modality import MODALITIES
from lamina.data.source import Source
from lamina.options.recipe import Recipe
from lamina.runs.config import TrainConfig

FLATTENED = 64 * 64 * 3
"""values of an image above which a fully connected network gets it smaller"""
REDUCED = 32
"""the side that it gets"""
STRIDE = 32
"""what the sides of images given to convolutional networks are multiples of"""
SMALL_IMAGE = 64
"""sides up to which a network's stem keeps the resolution, where it can"""
FEW_IMAGES = 10_000
CROPS = (0.35, 1.0)
"""areas of random crops of photographs, as shares of the whole"""
PLAIN_SIDE = 32
"""grey images up to this side are taken for symbols, whose mirror image is another"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a recipe is fitted to.

    Example: ``Facts(kind="image", samples=140, height=224, width=224, channels=3, augments=True)``
    """

    kind: str
    """the modality"""
    samples: int | None
    """training samples; None for data that are not counted in samples, as running text"""
    height: int | None = None
    width: int | None = None
    """pixels; None for other data, and images of different sizes"""
    channels: int | None = None
    augments: bool = False
    """whether the data are images, which can be augmented"""
    validation: bool = True
    """whether there is a validation split"""
    world: int = 1
    """processes"""
    pretrained: bool = False
    """whether training starts from given weights"""


def facts_of(source: Source, config: TrainConfig) -> Facts:
    """The facts of a source that is trained on with a configuration."""
    spec = source.spec
    counted = all(len(split) == spec.sizes.get(name) for name, split in source.splits.items())
    return Facts(
        kind=spec.kind,
        samples=spec.sizes.get("train") if counted else None,
        height=spec.height,
        width=spec.width,
        channels=spec.channels,
        augments=MODALITIES[spec.kind].augments,
        validation="validation" in source.splits,
        world=config.recipe.processes,
        pretrained=config.weights is not None,
    )


def fit_recipe(config: TrainConfig, facts: Facts) -> tuple[TrainConfig, dict[str, str]]:
    """The configuration with numbers in place of "auto", and the reason for each that is not the recipe's own.

    Precision and memory format are left: they are measured (``runs.machine``).
    """
    recipe, reasons = _batches(config, facts)
    recipe, more = _length(recipe, config.auto, facts)
    reasons |= more
    recipe, more = _augmentation(recipe, config.auto, facts)
    reasons |= more
    model, more = _image_size(config, facts)
    reasons |= more
    left = config.auto & {"precision", "channels_last"}
    return dataclasses.replace(config, recipe=recipe, model=model, auto=left), reasons


def fitted_notes(reasons: Mapping[str, str], name: str) -> list[str]:
    """One note on what was found, and how the recipe is trained as it was published."""
    if not reasons:
        return []
    found = "; ".join(f"{option} {reason}" for option, reason in reasons.items())
    published = f" (--config {registry.card(name).recipe}: the recipe as it stands)" if registry.is_model(name) else ""
    return [f"fitted to the data: {found}{published}"]


def _batches(config: TrainConfig, facts: Facts) -> tuple[Recipe, dict[str, str]]:
    """A batch size that gives an epoch its least number of batches, and a learning rate for it."""
    recipe, limits = config.recipe, _limits(facts.kind)
    size = recipe.batch_size
    if "batch_size" in config.auto and size % facts.world:
        size = max(size // facts.world, 1) * facts.world
        recipe = dataclasses.replace(recipe, batch_size=size)
        reasons = {"batch_size": f"{size}: the same share for each of {facts.world} processes"}
    else:
        reasons = {}
    if facts.samples is None or "batch_size" not in config.auto or facts.samples // size >= limits["batches"]:
        return recipe, reasons
    wanted = 2 ** int(math.log2(max(1, facts.samples / limits["batches"])))
    least = math.lcm(2, facts.world) if facts.world > 1 else 1
    smaller = max(min(size, max(wanted, limits["smallest"])) // least * least, least)
    smaller = min(smaller, max(least, facts.samples // least * least))
    if smaller >= size:
        return recipe, reasons
    reasons = {"batch_size": f"{smaller}: {facts.samples:,} samples are {facts.samples // size} batches of {size}"}
    if "lr" not in config.auto or recipe.optimizer != "sgd":  # the steps of Adam hardly depend on the batch size
        return dataclasses.replace(recipe, batch_size=smaller), reasons
    rate = float(f"{recipe.lr * smaller / size:.2g}")
    reasons["lr"] = f"{rate:g}: in proportion to the batch size"
    return dataclasses.replace(recipe, batch_size=smaller, lr=rate), reasons


def _length(recipe: Recipe, auto: frozenset[str], facts: Facts) -> tuple[Recipe, dict[str, str]]:
    """Epochs enough for the least number of steps; early stopping."""
    unit, amount = recipe.length
    if facts.samples is None or "epochs" not in auto or unit != "epochs":
        return recipe, {}
    steps = max(1, facts.samples // recipe.batch_size) / recipe.accumulate
    least, reasons = _limits(facts.kind)["steps"], {}
    epochs = max(amount, math.ceil(least / steps))
    if epochs > amount:
        reasons["epochs"] = f"{epochs}: {amount} would be {int(amount * steps):,} steps"
    patience = recipe.patience
    if "patience" in auto and facts.validation and patience is None:
        patience = max(10, epochs // 4)
        if patience < epochs:
            reasons["patience"] = f"{patience}: stops when validation does not improve for a quarter of the epochs"
        else:
            patience = None
    return dataclasses.replace(recipe, epochs=epochs, patience=patience), reasons


def _augmentation(recipe: Recipe, auto: frozenset[str], facts: Facts) -> tuple[Recipe, dict[str, str]]:
    """Symbols are not mirrored; few photographs are cropped at random."""
    if "augmentation" not in auto or not facts.augments:
        return recipe, {}
    given, few = recipe.augmentation, facts.samples is not None and facts.samples < FEW_IMAGES
    side = max(facts.height or STRIDE * 8, facts.width or STRIDE * 8)
    if facts.channels == 1 and side <= PLAIN_SIDE:
        if not given.flip:
            return recipe, {}
        made = dataclasses.replace(given, flip=False, shift=max(2, given.shift))
        reason = "shifted, not mirrored: small grey images may be symbols"
    elif given.flip and few and side > SMALL_IMAGE and given.resized_crop is None and not facts.pretrained:
        made = dataclasses.replace(given, resized_crop=CROPS)
        reason = f"random crops of {CROPS[0]:g} to 1 of the area: {facts.samples:,} photographs are few"
    else:
        return recipe, {}
    return dataclasses.replace(recipe, augmentation=made), {"augmentation": reason}


def _image_size(config: TrainConfig, facts: Facts) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Images not enlarged beyond what they are, and small ones for fully connected networks."""
    if "image_size" not in config.auto or not facts.augments or facts.pretrained or not registry.is_model(config.name):
        return config.model, {}
    usual = registry.variant(config.name).config
    if not hasattr(usual, "image_size"):
        return config.model, {}
    size, given = usual.image_size, dict(config.model)
    values = None if facts.height is None else facts.height * (facts.width or 1) * (facts.channels or 1)
    if size is None and hasattr(usual, "in_features") and (values is None or values > FLATTENED):
        reason = f"{REDUCED}: every pixel is an input of the first layer"
        return given | {"image_size": REDUCED}, {"image_size": reason}
    if not isinstance(size, int) or size < 4 * STRIDE or facts.height is None or facts.width is None:
        return config.model, {}
    enough = math.ceil(max(facts.height, facts.width) / STRIDE) * STRIDE
    if enough >= size:
        return config.model, {}
    given["image_size"] = enough
    if enough <= SMALL_IMAGE and hasattr(usual, "stem"):
        given.setdefault("stem", "small")
    return given, {"image_size": f"{enough}: the images have {facts.height} x {facts.width} pixels"}


@cache
def _limits(kind: str) -> dict[str, int]:
    every = yaml.safe_load(resources.files("lamina.runs").joinpath("fitting.yaml").read_text(encoding="utf-8"))
    return {**every["*"], **every.get(kind, {})}
