"""AlexNet: the tables of the papers, the 2012 net against two towers written out, options."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina import registry
from lamina.errors import UsageError
from lamina.models.alexnet import VARIANTS, AlexNet
from lamina.weights.alexnet import LAYOUTS

SHAPES = {"conv1": (96, 55, 55), "pool1": (96, 27, 27), "conv2": (256, 27, 27), "pool2": (256, 13, 13)}
SHAPES |= {"conv3": (384, 13, 13), "conv4": (384, 13, 13), "conv5": (256, 13, 13), "pool5": (256, 6, 6)}
PARAMETERS = {"conv1": 34_944, "conv2": 307_456, "conv3": 885_120, "conv4": 663_936, "conv5": 442_624}
PARAMETERS |= {"fc6": 37_752_832, "fc7": 16_781_312, "head": 4_097_000}


def model(name: str = "alexnet", **options: Any) -> AlexNet:
    row = VARIANTS[name]
    net = registry.build(row, registry.configure(row, {**row.small, **options}))
    assert isinstance(net, AlexNet)
    return net


def test_layers_of_the_paper() -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        net = AlexNet(VARIANTS["alexnet-2012"].config)
        for path, module in net.named_modules():
            name = path.rpartition(".")[-1]
            if name in PARAMETERS:
                assert sum(weight.numel() for weight in module.parameters()) == PARAMETERS[name]

            def keep(_: nn.Module, __: Any, out: Tensor, name: str = name) -> None:
                shapes[name] = tuple(out.shape[1:])

            module.register_forward_hook(keep)
        net(torch.empty(1, 3, 227, 227))
    assert {name: shapes[name] for name in SHAPES} == SHAPES
    assert sum(PARAMETERS.values()) == 60_965_224
    order = [name for name, _ in net.stages.named_modules() if "." in name]
    assert order[:4] == ["0.conv1", "0.relu1", "0.norm1", "0.pool1"]


def test_without_towers_it_has_more_parameters() -> None:
    with torch.device("meta"):
        net = AlexNet(dataclasses.replace(VARIANTS["alexnet-2012"].config, towers=1))
    assert sum(weight.numel() for weight in net.parameters()) == 62_378_344


def response_norm(a_BCHW: Tensor) -> Tensor:
    """The paper's section 3.3, channel by channel: k = 2, n = 5, alpha = 1e-4, beta = 0.75."""
    channels = a_BCHW.shape[1]
    out = []
    for i in range(channels):
        squares = sum(a_BCHW[:, j] ** 2 for j in range(max(0, i - 2), min(channels - 1, i + 2) + 1))
        out.append(a_BCHW[:, i] / (2 + 1e-4 * squares) ** 0.75)
    return torch.stack(out, dim=1)


def towers_by_hand(weights: dict[str, Tensor], x_BCHW: Tensor) -> Tensor:
    """Two towers as the paper draws them: each half of the maps on a device of its own; they meet at conv3 and fc6."""

    def half(name: str, tower: int) -> tuple[Tensor, Tensor]:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return weight.chunk(2)[tower], bias.chunk(2)[tower]

    def pool(maps: Tensor) -> Tensor:
        return F.max_pool2d(maps, 3, 2)

    one, two = (F.conv2d(x_BCHW, *half("stages.0.conv1", tower), stride=4).relu() for tower in (0, 1))
    one, two = pool(response_norm(torch.cat([one, two], 1))).chunk(2, dim=1)
    one, two = (F.conv2d(maps, *half("stages.1.conv2", t), padding=2).relu() for t, maps in enumerate((one, two)))
    both = pool(response_norm(torch.cat([one, two], 1)))
    one, two = (F.conv2d(both, *half("stages.2.conv3", tower), padding=1).relu() for tower in (0, 1))
    one, two = (F.conv2d(maps, *half("stages.2.conv4", t), padding=1).relu() for t, maps in enumerate((one, two)))
    one, two = (F.conv2d(maps, *half("stages.2.conv5", t), padding=1).relu() for t, maps in enumerate((one, two)))
    x = torch.cat([pool(one), pool(two)], 1).flatten(1)
    for name in ("neck.fc6", "neck.fc7"):
        x = (x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]).relu()
    return x @ weights["head.weight"].T + weights["head.bias"]


def test_two_towers_by_hand() -> None:
    torch.manual_seed(0)
    net = model("alexnet-2012", pooled=3, image_size=131, start="torch").double().eval()
    weights = dict(net.named_parameters())
    x = (30 * torch.randn(2, 3, 131, 131, dtype=torch.float64)).requires_grad_()  # large: response norm must count
    ours, reference = net(x), towers_by_hand(weights, x)
    assert (ours - reference).abs().max() <= 1e-10 * reference.abs().max()
    wanted = [x, *weights.values()]
    cost = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad((ours * cost).sum(), wanted),
        torch.autograd.grad((reference * cost).sum(), wanted),
        strict=True,
    ):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max()
    plain = model("alexnet-2012", pooled=3, image_size=131, response_norm=False).double().eval()
    plain.load_state_dict(net.state_dict())
    assert (plain(x) - reference).abs().max() > 1e-3 * reference.abs().max()


def test_first_weights_of_the_paper() -> None:
    torch.manual_seed(0)
    net = model("alexnet-2012", widths=(96, 128, 128, 128, 128), hidden=256, pooled=6, num_classes=100)
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is not None
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.05)
            ones = path.rpartition(".")[-1] in ("conv2", "conv4", "conv5", "fc6", "fc7")
            assert torch.equal(module.bias, torch.full_like(module.bias, float(ones))), path
    net.reset_head(50)
    assert isinstance(net.head, nn.Linear)
    assert net.head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not net.head.bias.any()


@pytest.mark.parametrize(("name", "dropped"), [("alexnet", ["flatten", "relu6"]), ("alexnet-2012", ["relu6", "relu7"])])
def test_dropout_stands_where_it_should(name: str, dropped: list[str]) -> None:
    net = model(name, dropout=0.75)
    parts = [*net.neck.named_children(), ("dropout", net.dropout), ("head", net.head)]
    active = [before for (before, _), (_, part) in pairwise(parts) if getattr(part, "p", 0) == 0.75]
    assert active == dropped


def test_small_stem_keeps_the_resolution() -> None:
    net = model(stem="small", image_size=28, in_channels=1, pooled=2).eval()
    maps = net.features(torch.randn(2, 1, 28, 28))
    assert [tuple(stage.shape[1:]) for stage in maps] == [(8, 13, 13), (12, 6, 6), (8, 2, 2)]
    net(torch.randn(1, 1, 15, 15))
    with pytest.raises(ValueError, match="at least 15 x 15 pixels, got 14 x 20"):
        net(torch.randn(1, 1, 14, 20))


@pytest.mark.parametrize(("name", "min_size"), [("alexnet", 63), ("alexnet-2012", 67)])
def test_min_size(name: str, min_size: int) -> None:
    net = model(name).eval()
    assert net(torch.randn(1, 3, min_size, min_size + 9)).isfinite().all()
    with pytest.raises(ValueError, match=f"at least {min_size} x {min_size}"):
        net(torch.randn(1, 3, min_size - 1, min_size))
    with pytest.raises(UsageError, match=f"image_size={min_size - 1}"):
        model(name, image_size=min_size - 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"widths": (4, 4, 4, 4)}, "five convolutions, got 4"),
        ({"towers": 3}, "divide into 3 towers"),
        ({"hidden": 0}, "at least 1"),
        ({"padding": -1}, "padding at least 0"),
        ({"dropout": 1.0}, "dropout must lie in"),
        ({"dropout_at": "input"}, "did you mean 'inputs'"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        model(**options)
    assert "\n" not in str(error.value)


def test_names_of_torchvision() -> None:
    net = model("alexnet")
    translation = LAYOUTS[0].translation(net)
    theirs = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]
    ours = [translation.ours(f"{name}.{tensor}") for name in theirs for tensor in ("weight", "bias")]
    assert ours == list(net.state_dict())
    assert translation.ours("features.1.weight") is None
    assert not list(LAYOUTS[0].names(model("alexnet-2012"))), "torchvision has no net of two towers"
