"""Recipes for training from published weights, and what is said where images are few and there are none."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from lamina.cards import Card
from lamina.data.modality import MODALITIES
from lamina.data.spec import DataSpec
from lamina.options.recipe import Augmentation, Recipe
from lamina.weights.published import advice

FEW_A_CLASS = 20
"""below this many samples a class only the output layer is trained"""
STEPS = 600
"""steps that fine-tuning takes, within ``EPOCHS``"""
EPOCHS = (5, 30)
EPOCHS_OF_HEAD = (5, 100)
"""an epoch of the output layer alone is cheap"""
OWN_SCHEDULE = (
    "ema",
    "label_smoothing",
    "milestones",
    "gamma",
    "clip",
    "patience",
    "nesterov",
    "eps",
    "beta1",
    "beta2",
)
"""options of a recipe for random weights that are set back to their defaults"""
STRONG = ("rand_augment", "trivial_augment", "mixup", "cutmix", "erasing", "colour_pca", "resized_crop")
"""augmentation that hundreds of epochs need, and few do not pay for"""


def fine_tuned(recipe: Recipe, given: Collection[str], spec: DataSpec) -> tuple[Recipe, str]:
    """A recipe for weights that are trained already, and what to say of it: few epochs, a low rate that falls from the
    output layer to the input, and with few samples a class only the output layer.

    Options that the user gave stay (``given``, by name). Pure: of the same arguments always the same.

        fine_tuned(Recipe(), (), DataSpec(name="", kind="image", task="classification", sizes={"train": 140}))
    """
    samples, classes = spec.sizes.get("train", 0), max(len(spec.classes), 1)
    head_only = bool(spec.classes) and samples < FEW_A_CLASS * classes and "layer_decay" not in given
    batch = recipe.batch_size if "batch_size" in given else min(16, max(samples, 1)) if samples < 640 else 32
    steps_an_epoch = max(samples // batch, 1)
    least, most = EPOCHS_OF_HEAD if head_only else EPOCHS
    epochs = min(max(-(-STEPS // steps_an_epoch), least), most)
    wanted: dict[str, Any] = {
        "optimizer": "adamw",
        "lr": 1e-2 if head_only else 5e-4,
        "weight_decay": 0.05,
        "decay_norm_and_bias": False,
        "schedule": "cosine",
        "warmup": 0.1,
        "final_lr": 0.0,
        "batch_size": batch,
        "freeze": ("body",) if head_only else (),
        "layer_decay": 1.0 if head_only else 0.7,
        **{name: getattr(Recipe(), name) for name in OWN_SCHEDULE},
    }
    if not {"epochs", "steps", "images"} & set(given):
        wanted |= {"epochs": epochs, "steps": None, "images": None}
    if "freeze" in given and "layer_decay" not in given:
        wanted["lr"], wanted["layer_decay"] = 1e-3, 1.0
    mild = {name: getattr(Augmentation(), name) for name in STRONG if name not in given}
    augmentation = dataclasses.replace(recipe.augmentation, **mild)
    chosen = {name: value for name, value in wanted.items() if name not in given}
    tuned = dataclasses.replace(recipe, **chosen, augmentation=augmentation)
    what = (
        f"{samples / classes:.0f} samples a class, so only the output layer is trained"
        if head_only
        else (
            f"all layers are trained, each at {tuned.layer_decay:g} of the rate of the next"
            if tuned.layer_decay < 1
            else "all layers but the frozen ones are trained"
        )
    )
    unit, amount = tuned.length
    return tuned, (
        f"fine-tuning: {what}: {tuned.optimizer} at {tuned.lr:g}, {amount:,} {unit} of batches of {tuned.batch_size} "
        "(--lr, --freeze, --layer-decay, --epochs say otherwise)"
    )


def scarce(card: Card | None, name: str, spec: DataSpec, parameters: int) -> str | None:
    """What to say where a large net is trained from nothing on few samples; None where they are not few."""
    enough = MODALITIES[spec.kind].enough
    samples = spec.sizes.get("train", 0)
    if enough is None or samples >= enough or card is None or parameters < LARGE:
        return None
    help_ = f"{advice(name)} starts from published weights" if card.published else "weights of another run (--weights)"
    return (
        f"{samples:,} {spec.counted} are few to train the {parameters:,} parameters of {name} from nothing: the "
        f"result will be poor; {help_}, more data or a smaller model would help"
    )


LARGE = 1_000_000
"""parameters from which a net needs many samples"""
