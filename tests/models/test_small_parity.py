"""LeNet-5 and the multilayer perceptron against nets put together by hand, with the same weights."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import lamina

BOUND = {torch.float64: 1e-10, torch.float32: 1e-5}


def lenet_by_hand(pool: type[nn.Module], act: type[nn.Module], channels: int, side: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel_size=5),
        act(),
        pool(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5),
        act(),
        pool(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * side * side, 120),
        act(),
        nn.Linear(120, 84),
        act(),
        nn.Linear(84, classes),
    )


def mlp_by_hand(widths: list[int], norm: type[nn.Module] | None, act: type[nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(widths[:-1]):
        layers += [nn.Linear(fan_in, fan_out), *([norm(fan_out)] if norm else []), act()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def randomise(net: nn.Module) -> None:
    """Random scales, shifts and running statistics: fresh ones are the identity and would hide a fault."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.2, 3.0)


def copy_state(source: nn.Module, target: nn.Module) -> None:
    """By order: both nets have the same tensors in the same order, under other names."""
    tensors = list(source.state_dict().values())
    target.load_state_dict(dict(zip(target.state_dict(), tensors, strict=True)))


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return ((a - b).abs().max() / b.abs().max()).item()


def expect_parity(
    ours: nn.Module, reference: nn.Module, shape: tuple[int, ...], classes: int, dtype: torch.dtype
) -> None:
    """Outputs, and gradients of the loss with respect to the input and to every weight."""
    randomise(reference)
    copy_state(reference, ours)
    sides = []
    for net in (ours.to(dtype).eval(), reference.to(dtype).eval()):
        x = torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).to(dtype)
        x.requires_grad_()
        logits = net(x)
        nn.functional.cross_entropy(logits, torch.arange(5) % classes).backward()
        sides.append([logits.detach(), x.grad, *(weight.grad for weight in net.parameters())])
    assert len(sides[0]) == len(sides[1])
    for ours_tensor, reference_tensor in zip(*sides, strict=True):
        assert distance(ours_tensor, reference_tensor) <= BOUND[dtype]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", BOUND)
def test_lenet5(dtype: torch.dtype) -> None:
    ours = lamina.create_model("lenet5")
    expect_parity(ours, lenet_by_hand(nn.AvgPool2d, nn.Tanh, 1, 5, 10), (1, 32, 32), 10, dtype)


@pytest.mark.parametrize("dtype", BOUND)
def test_lenet5_with_other_options(dtype: torch.dtype) -> None:
    ours = lamina.create_model(
        "lenet5", pool="max", activation="relu", in_channels=3, image_size=28, num_classes=7, dropout=0.3
    )
    expect_parity(ours, lenet_by_hand(nn.MaxPool2d, nn.ReLU, 3, 4, 7), (3, 28, 28), 7, dtype)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("shape", [(784,), (1, 28, 28)], ids=["table", "image"])
def test_mlp(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    expect_parity(lamina.create_model("mlp"), mlp_by_hand([784, 512, 512, 10], None, nn.ReLU), shape, 10, dtype)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(("name", "norm"), [("batch", nn.BatchNorm1d), ("layer", nn.LayerNorm)])
def test_mlp_with_normalisation(dtype: torch.dtype, name: str, norm: type[nn.Module]) -> None:
    ours = lamina.create_model(
        "mlp", in_features=12, hidden=(9, 8, 7), num_classes=3, norm=name, activation="sigmoid", dropout=0.5
    )
    expect_parity(ours, mlp_by_hand([12, 9, 8, 7, 3], norm, nn.Sigmoid), (12,), 3, dtype)


def test_mlp_without_hidden_layers_is_linear() -> None:
    ours = lamina.create_model("mlp", in_features=6, hidden=(), num_classes=2)
    expect_parity(ours, nn.Linear(6, 2), (6,), 2, torch.float64)


def test_batch_norm_learns_its_running_statistics_in_training() -> None:
    ours = lamina.create_model("mlp", in_features=12, hidden=(9,), num_classes=3, norm="batch")
    reference = mlp_by_hand([12, 9, 3], nn.BatchNorm1d, nn.ReLU)
    copy_state(reference, ours)
    x = torch.randn(8, 12)
    assert torch.equal(ours(x), reference(x))
    for mine, theirs in zip(ours.buffers(), reference.buffers(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.any()
