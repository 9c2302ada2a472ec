"""Grad-CAM: its formula by hand, the layer of every family, and that it finds the patch that decides the class."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.inspection import feature_maps, grad_cam
from lamina.inspection.cam import enlarged
from lamina.registry import variant

CLASSES = 3

# A tiny net of each family, and how it is trained: image side, batch size, steps, learning rate.
FAMILIES: dict[str, tuple[dict[str, Any], tuple[int, int, int, float]]] = {
    "lenet5": ({}, (32, 32, 60, 5e-3)),
    "lenet5-1998": ({}, (32, 32, 60, 2e-3)),
    "alexnet": (
        {"stem": "small", "widths": (12, 16, 24, 24, 24), "hidden": 32, "pooled": 1, "dropout": 0.0},
        (64, 32, 50, 2e-3),
    ),
    "vgg11-bn": (
        {"stem": "small", "depths": (1, 1, 1), "widths": (16, 24, 32), "hidden": 64, "pooled": 2, "dropout": 0.0},
        (32, 32, 60, 4e-3),
    ),
    "resnet18": ({"stem": "small", "blocks": (1, 1, 1), "widths": (8, 8, 12)}, (32, 32, 40, 5e-3)),
    "resnet20": ({"blocks": (1, 1, 1), "widths": (8, 8, 12)}, (32, 32, 40, 5e-3)),
    "densenet121": (
        {"stem": "small", "blocks": (1, 2, 1), "growth_rate": 4, "stem_channels": 8},
        (32, 32, 40, 5e-3),
    ),
    "squeezenet1-1": (
        {"stem": "small", "stem_width": 16, "depths": (1, 1, 1), "base_e": 32, "incr_e": 8, "squeeze_ratio": 0.5}
        | {"dropout": 0.0, "output_relu": False},
        (32, 32, 50, 4e-3),
    ),
    "mobilenet-v1": (
        {"stem": "small", "stem_width": 16, "widths": (16, 16, 24, 24, 24), "depths": (1,) * 5},
        (32, 32, 50, 4e-3),
    ),
    "mobilenet-v2": (
        {"stem": "small", "stem_width": 8, "widths": (8, 8, 8, 8, 8, 16, 16), "depths": (1,) * 7, "head_width": 32}
        | {"dropout": 0.0},
        (48, 16, 60, 1e-2),
    ),
    "mobilenet-v3-small": (
        {"stem": "small", "stem_width": 8, "head_width": 32, "dropout": 0.0, "momentum": 0.1}
        | {"blocks": ((3, 16, 12, True, "relu", 1), (3, 32, 16, False, "relu", 2), (3, 48, 24, True, "hard-swish", 2))},
        (32, 16, 50, 6e-3),
    ),
    "efficientnet-b0": (
        {"stem": "small", "stem_width": 8, "widths": (8, 8, 8, 8, 8, 16, 16), "depths": (1,) * 7, "head_width": 32}
        | {"dropout": 0.0, "stochastic_depth": 0.0},
        (48, 16, 30, 1e-2),
    ),
    "convnext-tiny": (
        {"stem": "small", "depths": (1, 1), "widths": (12, 24), "layer_scale": 0.1, "stochastic_depth": 0.0},
        (32, 32, 60, 4e-3),
    ),
    "swin-tiny": (
        {"stem": "small", "width": 12, "depths": (2, 2), "heads": (2, 4), "window": 2, "stochastic_depth": 0.0},
        (32, 32, 120, 3e-3),
    ),
    "coatnet-0": (
        {"stem": "small", "stem_width": 8, "widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "head_dim": 8},
        (32, 32, 50, 4e-3),
    ),
}


def pictures(count: int, side: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise with a chequered patch at a random place: images, the channel it is in (the class), where it is."""
    generator = torch.Generator().manual_seed(seed)
    patch = side * 10 // 32
    x_BCHW = 0.3 * torch.randn(count, 3, side, side, generator=generator)
    label_B = torch.randint(CLASSES, (count,), generator=generator)
    mask_BHW = torch.zeros(count, side, side, dtype=torch.bool)
    row, column = torch.meshgrid(torch.arange(patch), torch.arange(patch), indexing="ij")
    board = ((row // 2 + column // 2) % 2) * 4.0
    for image, label, mask in zip(x_BCHW, label_B.tolist(), mask_BHW, strict=True):
        top, left = torch.randint(side - patch + 1, (2,), generator=generator).tolist()
        image[label, top : top + patch, left : left + patch] += board
        mask[top : top + patch, left : left + patch] = True
    return x_BCHW, label_B, mask_BHW


def test_every_family_is_tested() -> None:
    names = [name for name in lamina.list_models(task="classification") if lamina.card(name).inputs == ("image",)]
    cells = {"NASBench201Config", "DartsConfig"}  # nets of searched cells: minutes of training
    families = {type(variant(name).config) for name in names}
    assert {family for family in families if family.__name__ not in cells} == {
        type(variant(name).config) for name in FAMILIES
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_the_cam_of_a_trained_net_lies_on_the_patch(name: str) -> None:
    options, (side, batch, steps, rate) = FAMILIES[name]
    torch.manual_seed(0)
    model = lamina.create_model(name, num_classes=CLASSES, in_channels=3, image_size=side, **options)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate)
    x_BCHW, label_B, _ = pictures(batch * steps, side, seed=1)
    for step in range(steps):
        now = slice(step * batch, (step + 1) * batch)
        optimiser.zero_grad()
        F.cross_entropy(model(x_BCHW[now]), label_B[now]).backward()
        optimiser.step()
    x_BCHW, label_B, mask_BHW = pictures(64, side, seed=2)
    with torch.no_grad():
        accuracy = float((model.eval()(x_BCHW).argmax(1) == label_B).float().mean())
    cam_BHW = grad_cam(model, x_BCHW, label_B)
    inside = float((cam_BHW * mask_BHW).sum() / cam_BHW.sum())
    share = float(mask_BHW.float().mean())
    print(f"{name}: accuracy {accuracy:.3f}, {inside / share:.2f} times the patch's share")
    assert accuracy > 0.9
    assert inside >= 2 * share


class Tiny(nn.Module):
    """Two stages and a head that weighs maps: everything about its CAM can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.second = nn.Conv2d(2, 3, 2, stride=2)
        self.head = nn.Linear(3, 2)

    def features(self, x: Tensor, stages: list[int] | None = None) -> list[Tensor]:
        first = self.first(x).relu()
        maps = [first, self.second(first).relu()]
        return [maps[stage] for stage in (range(2) if stages is None else stages)]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x, [-1])[0].mean((2, 3)))


def test_the_formula_by_hand() -> None:
    torch.manual_seed(1)
    model, x = Tiny().double(), torch.randn(2, 1, 8, 8, dtype=torch.float64)
    maps = feature_maps(model, x)[1]
    for target in (0, 1):
        alpha = model.head.weight[target] / 16  # the gradient of a mean over 4 x 4 positions
        expected = (alpha[:, None, None] * maps).sum(1).relu()
        torch.testing.assert_close(grad_cam(model, x, target, upsample=False), expected.detach())
    said = model(x).argmax(1)
    assert torch.equal(grad_cam(model, x), grad_cam(model, x, said))
    assert torch.equal(grad_cam(model, x), enlarged(grad_cam(model, x, upsample=False), (8, 8)))
    first = grad_cam(model, x, 0, stage=0, upsample=False)
    assert first.shape == (2, 8, 8)
    assert torch.equal(first, grad_cam(model, x, 0, stage=-2, upsample=False))


def test_images_of_a_batch_are_independent() -> None:
    torch.manual_seed(1)
    model, x = Tiny().double(), torch.randn(3, 1, 8, 8, dtype=torch.float64)
    alone = torch.cat([grad_cam(model, one[None], 1) for one in x])
    torch.testing.assert_close(grad_cam(model, x, 1), alone)


def test_the_model_stays_as_it_was() -> None:
    torch.manual_seed(0)
    options, _ = FAMILIES["resnet20"]
    model = lamina.create_model("resnet20", **options).train()
    model.stages[0].eval()  # type: ignore[operator]
    model.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        cam_BHW = grad_cam(model, torch.randn(2, 3, 16, 16))
    assert not cam_BHW.requires_grad
    assert model.training
    assert not model.stages[0].training
    assert "features" not in vars(model)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_the_default_layer_is_the_input_of_global_average_pooling() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("mobilenet-v2", **FAMILIES["mobilenet-v2"][0], num_classes=CLASSES).eval()
    x = torch.randn(1, 3, 32, 32)
    maps = model.neck.conv(feature_maps(model, x, [-1])[0])  # the 1x1 convolution behind the last stage
    expected = (model.head.weight[1][:, None, None] * maps[0]).sum(0).relu() / maps[0, 0].numel()
    torch.testing.assert_close(grad_cam(model, x, 1, upsample=False)[0], expected.detach(), rtol=1e-4, atol=1e-6)


def test_a_last_map_of_one_position_is_skipped() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("resnet18", blocks=(1, 1, 1, 1), widths=(8, 8, 8, 8), num_classes=CLASSES)
    x = torch.randn(1, 3, 32, 32)
    assert [tuple(maps.shape[2:]) for maps in feature_maps(model, x)] == [(8, 8), (4, 4), (2, 2), (1, 1)]
    assert torch.equal(grad_cam(model, x, 0), grad_cam(model, x, 0, stage=2))
    assert grad_cam(model, x, 0, stage=3, upsample=False).shape == (1, 1, 1)


def test_errors_are_one_line() -> None:
    model, x = Tiny(), torch.randn(1, 1, 8, 8)
    for call, says in (
        (lambda: grad_cam(model, x, 2), "there is no class 2: this model has 2 classes, numbered from 0"),
        (lambda: grad_cam(model, x, stage=2), "there is no stage 2: this model has 2, numbered from 0"),
        (lambda: grad_cam(nn.Linear(3, 2), torch.randn(1, 3)), "Linear has no method features"),
        (lambda: grad_cam(lamina.create_model("mlp"), torch.randn(1, 1, 28, 28)), "MLP has no feature map"),
        (lambda: grad_cam(lamina.create_model("lenet5"), torch.randn(1, 3, 32, 32)), "expected images of shape"),
    ):
        with pytest.raises(UsageError, match=says):
            call()
    assert "features" not in vars(model)
