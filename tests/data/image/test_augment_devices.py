"""Images on a device, parameters on the CPU: no change mixes the two. The meta device refuses that as a GPU does."""

from __future__ import annotations

import pytest
import torch

from lamina.data.image.augment.colour import ColourPCA, Erasing
from lamina.data.image.augment.crop import Crop, ResizedCrop
from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.augment.mix import Mix
from lamina.data.image.augment.policy import OPERATIONS, RandAugment, TrivialAugment
from lamina.data.streams import Augment

GREY = (0.5, 0.5, 0.5)
CHANGES: list[Augment] = [
    Geometric(flip=True, shift=1),
    Crop(stored=(12, 12), size=(10, 10)),
    ResizedCrop(stored=(12, 12), size=(8, 8)),
    RandAugment(std=0.5, fill=GREY),
    TrivialAugment(fill=GREY),
    ColourPCA(std=0.1, covariance=(0.1, 0, 0, 0, 0.1, 0, 0, 0, 0.1)),
    Erasing(probability=0.5, size=(12, 12), fill=GREY),
    Mix(classes=5, mixup=0.2),
    Mix(classes=5, cutmix=1.0),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_a_change_stays_on_the_device_of_the_images(change: Augment) -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(3) + torch.ones(3, device="meta")
    image = torch.empty(28, 3, 12, 12, device="meta")
    drawn = change.draw(28, torch.Generator().manual_seed(0))
    assert all(value.device.type == "cpu" and len(value) == 28 for value in drawn.values())
    if "operation" in drawn:
        drawn["operation"] = torch.arange(28)[:, None].expand_as(drawn["operation"]) % len(OPERATIONS)
    out = change.apply({"image": image, "target": torch.empty(28, 5, device="meta")}, drawn)
    assert all(value.device.type == "meta" for value in out.values())
