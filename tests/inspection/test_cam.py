"""Grad-CAM: its formula by hand, the layer of every family, and that it finds what the class is told by."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.inspection import feature_maps, grad_cam

SIDE, PATCH, CLASSES = 32, 10, 3
SMALL: dict[str, Any] = {"num_classes": CLASSES, "image_size": SIDE, "in_channels": 1}

# A tiny net of each family, whose last maps are 4 x 4 at least.
FAMILIES: dict[str, dict[str, Any]] = {
    "lenet5": {},
    "lenet5-1998": {},
    "alexnet": {"stem": "small", "widths": (16, 24, 32, 24, 24), "hidden": 32, "pooled": 4, "dropout": 0.0},
    "vgg11-bn": {
        "stem": "small",
        "depths": (1, 1, 1, 1),
        "widths": (8, 16, 16, 24),
        "hidden": 32,
        "pooled": 4,
        "dropout": 0.0,
    },
    "resnet18": {"stem": "small", "blocks": (1, 1, 1), "widths": (8, 16, 24)},
    "resnet20": {"blocks": (1, 1, 1), "widths": (8, 16, 24)},
    "densenet121": {"stem": "small", "blocks": (2, 2, 2), "growth_rate": 8, "stem_channels": 12},
    "squeezenet1-1": {"stem": "small", "stem_width": 16, "depths": (2, 2), "base_e": 16, "incr_e": 16, "squeeze_ratio": 0.5, "dropout": 0.0},
    "mobilenet-v1": {"stem": "small", "stem_width": 8, "widths": (16, 24, 32), "depths": (1, 1, 1)},
    "mobilenet-v2": {"stem": "small", "stem_width": 8, "widths": (8, 12, 16, 24, 24, 24, 24), "depths": (1, 1, 1, 1, 1, 1, 1), "head_width": 48, "dropout": 0.0},
    "convnext-tiny": {"stem": "small", "depths": (1, 1, 1), "widths": (12, 24, 32), "layer_scale": 0.1, "stochastic_depth": 0.0},
    "swin-tiny": {"stem": "small", "width": 16, "depths": (2, 2), "heads": (2, 4), "window": 4, "stochastic_depth": 0.0},
    "coatnet-0": {"stem": "small", "stem_width": 8, "widths": (12, 16, 24, 32), "depths": (1, 1, 1, 1), "head_dim": 8},
}


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise with a patch at a random place: images, the pattern of the patch (its class), where it is."""
    generator = torch.Generator().manual_seed(seed)
    x_BCHW = 0.5 * torch.randn(count, 1, SIDE, SIDE, generator=generator)
    label_B = torch.randint(CLASSES, (count,), generator=generator)
    mask_BHW = torch.zeros(count, SIDE, SIDE, dtype=torch.bool)
    row_HW, column_HW = torch.meshgrid(torch.arange(PATCH), torch.arange(PATCH), indexing="ij")
    patterns = torch.stack([(row_HW // 2) % 2, (column_HW // 2) % 2, (row_HW // 2 + column_HW // 2) % 2]) * 4.0 - 2.0
    for image, label, mask in zip(x_BCHW, label_B.tolist(), mask_BHW, strict=True):
        top, left = torch.randint(SIDE - PATCH + 1, (2,), generator=generator).tolist()
        image[0, top : top + PATCH, left : left + PATCH] = patterns[label]
        mask[top : top + PATCH, left : left + PATCH] = True
    return x_BCHW, label_B, mask_BHW


@pytest.mark.parametrize("name", FAMILIES)
def test_the_cam_of_a_trained_net_lies_on_the_patch(name: str) -> None:
    torch.manual_seed(0)
    model = lamina.create_model(name, **{**SMALL, **FAMILIES[name]})
    began = time.time()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(120):
        x_BCHW, label_B, _ = pictures(64, seed=step)
        optimiser.zero_grad()
        F.cross_entropy(model(x_BCHW), label_B).backward()
        optimiser.step()
    x_BCHW, label_B, mask_BHW = pictures(128, seed=10_000)
    with torch.no_grad():
        accuracy = float((model.eval()(x_BCHW).argmax(1) == label_B).float().mean())
    cam_BHW = grad_cam(model, x_BCHW, label_B)
    inside = float((cam_BHW * mask_BHW).sum() / cam_BHW.sum())
    share = PATCH**2 / SIDE**2
    print(f"{name:16} {accuracy:.3f} {inside / share:.2f} {tuple(feature_maps(model, x_BCHW)[-1].shape[2:])} {time.time()-began:.1f}")
    assert accuracy > 0.9
    assert inside >= 2 * share
