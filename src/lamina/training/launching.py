"""Devices, precision and processes of a training: Lightning Fabric, as the recipe has it."""

from __future__ import annotations

import logging

from lightning_fabric import Fabric

from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.training.engine import FABRIC_PRECISION


def launched(recipe: Recipe) -> Fabric:
    """Fabric for the recipe's accelerator, devices and precision; with several devices its processes are started.

    Raises UsageError for devices that there are not.

    Example: ``launched(Recipe(precision="bf16")).device``
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    strategy = "ddp" if recipe.devices > 1 else "auto"
    try:
        fabric = Fabric(
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            strategy=strategy,
            precision=FABRIC_PRECISION[recipe.precision],
        )
    except (RuntimeError, ValueError, AssertionError) as error:
        where = f"accelerator '{recipe.accelerator}' with {recipe.devices} devices"
        raise UsageError(f"cannot train on {where}: {error}") from None
    if recipe.devices > 1:
        fabric.launch()
    return fabric
