"""ResNet for ImageNet and for CIFAR: the tables' numbers, shapes, options, and nets written out as plain functions."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamina import conformance, registry
from lamina.errors import UsageError
from lamina.models import resnet, resnet_cifar
from lamina.models.resnet import ResNet, ResNetConfig
from lamina.models.resnet_cifar import ResNetCifar, ResNetCifarConfig
from lamina.weights import resnet as imagenet_weights
from lamina.weights import resnet_cifar as cifar_weights

ROWS = {**resnet.VARIANTS, **resnet_cifar.VARIANTS}
TINY: dict[str, Any] = {"blocks": (2, 1), "widths": (4, 6), "num_classes": 3}
FAMILIES = [(ResNet, ResNetConfig), (ResNetCifar, ResNetCifarConfig)]


def counts(net: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """Parameters, and multiply-adds of convolutions and linear layers, of a net."""
    macs = 0

    def count(module: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal macs
        macs += out.numel() * module.weight[0].numel()

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    with torch.no_grad():
        net.eval()(torch.zeros(1, *shape, device=next(net.parameters()).device))
    return sum(weight.numel() for weight in net.parameters()), macs


def on_meta(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return registry.build(ROWS[name], registry.configure(ROWS[name], options))


def randomised(net: nn.Module) -> Any:
    """In float64 and evaluation mode, with nothing special about scales, shifts and running statistics."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -1.0, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.double().eval()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("name", "macs_v1"),
    [
        ("resnet18", 1_814_073_344),
        ("resnet34", 3_663_761_408),
        ("resnet50", 3_857_973_248),
        ("resnet101", 7_570_194_432),
        ("resnet152", 11_282_415_616),
    ],
)
def test_the_stride_of_v1_costs_less_and_changes_no_weight(name: str, macs_v1: int) -> None:
    assert counts(on_meta(name, version="v1"), (3, 224, 224)) == (ROWS[name].card.parameters, macs_v1)


@pytest.mark.parametrize(
    ("name", "projected"),
    [
        ("resnet20", 272_474),
        ("resnet32", 466_906),
        ("resnet44", 661_338),
        ("resnet56", 855_770),
        ("resnet110", 1_730_714),
        ("resnet1202", 19_424_026),
    ],
)
def test_the_cifar_table(name: str, projected: int) -> None:
    """Layers as the name counts them, and parameters with the shortcuts B."""
    net = on_meta(name)
    assert f"resnet{sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules())}" == name
    assert sum(weight.numel() for weight in on_meta(name, shortcut="B").parameters()) == projected


def test_layer_shapes_of_the_paper() -> None:
    for name, scale in (("resnet18", 1), ("resnet50", 4)):
        net: Any = on_meta(name)
        x = torch.empty(1, 3, 224, 224, device="meta")
        assert net.stem.conv(x).shape[1:] == (64, 112, 112)
        shapes = [(64 * scale, 56, 56), (128 * scale, 28, 28), (256 * scale, 14, 14), (512 * scale, 7, 7)]
        assert [tuple(stage.shape[1:]) for stage in net.features(x)] == shapes
        assert net.embed(x).shape == (1, 512 * scale)
    cifar: Any = on_meta("resnet20")
    shapes = [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert [tuple(s.shape[1:]) for s in cifar.features(torch.empty(1, 3, 32, 32, device="meta"))] == shapes


def plain_net(weights: dict[str, Tensor], x: Tensor, config: Any, *, bottleneck: bool, pool: bool) -> Tensor:
    """The paper's equations over our weights, by name: post-activation, or 1603.05027's pre-activation."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = norm(conv(x, "stem.conv", 2 if pool else 1), "stem.norm").relu()
    x = F.max_pool2d(x, 3, 2, 1) if pool else x
    on_first = not bottleneck or getattr(config, "version", "v1.5") == "v1"
    for s, depth in enumerate(config.blocks):
        for b in range(depth):
            name, stride = f"stages.{s}.{b}", 2 if s > 0 and b == 0 else 1
            start = x
            if config.preactivation and (s, b) != (0, 0):
                start = norm(x, f"{name}.preact.norm1").relu()
            out = start
            for i in range(1, 4 if bottleneck else 3):
                if config.preactivation and i > 1:
                    out = norm(out, f"{name}.branch.norm{i}").relu()
                out = conv(out, f"{name}.branch.conv{i}", stride if i == (1 if on_first else 2) else 1)
                if not config.preactivation:
                    out = norm(out, f"{name}.branch.norm{i}")
                    out = out.relu() if i < (3 if bottleneck else 2) else out
            if f"{name}.shortcut.conv.weight" in weights:
                way = conv(start, f"{name}.shortcut.conv", stride)
                way = way if config.preactivation else norm(way, f"{name}.shortcut.norm")
            else:
                way = x[:, :, ::stride, ::stride]
                zeros = torch.zeros_like(way)[:, :1].repeat(1, (out.shape[1] - way.shape[1]) // 2, 1, 1)
                way = torch.cat([zeros, way, zeros], 1)
            x = out + way if config.residual else out
            x = x if config.preactivation else x.relu()
    x = norm(x, "neck.norm").relu() if config.preactivation else x
    return x.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize(
    ("build", "config"),
    [
        (ResNetCifar, ResNetCifarConfig(**TINY)),
        (ResNetCifar, ResNetCifarConfig(**TINY, shortcut="B")),
        (ResNetCifar, ResNetCifarConfig(**TINY, shortcut="C", preactivation=True)),
        (ResNetCifar, ResNetCifarConfig(**TINY, preactivation=True)),
        (ResNetCifar, ResNetCifarConfig(**TINY, residual=False)),
        (ResNet, ResNetConfig(**TINY)),
        (ResNet, ResNetConfig(**TINY, version="v1", stem="small")),
        (ResNet, ResNetConfig(**TINY, shortcut="A", version="v1")),
        (ResNet, ResNetConfig(**TINY, shortcut="C", bottleneck=False)),
        (ResNet, ResNetConfig(**TINY, preactivation=True)),
        (ResNet, ResNetConfig(**TINY, residual=False, preactivation=True, bottleneck=False)),
    ],
)
@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_against_the_papers_equations(build: Any, config: Any, size: tuple[int, int]) -> None:
    net = randomised(build(config))
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    bottleneck, pool = getattr(config, "bottleneck", False), getattr(config, "stem", "small") == "imagenet"
    names = ["stem.conv.weight", "stages.1.0.branch.conv1.weight", "head.weight"]
    weights = {**net.state_dict(keep_vars=True)}
    wanted = plain_net(weights, x, config, bottleneck=bottleneck, pool=pool)
    got = net(x)
    assert (got - wanted).abs().max() <= 1e-10 * wanted.abs().max()
    scale = torch.randn_like(wanted)
    for mine, theirs in zip(
        torch.autograd.grad((got * scale).sum(), [weights[name] for name in names]),
        torch.autograd.grad((wanted * scale).sum(), [weights[name] for name in names]),
        strict=True,
    ):
        assert (mine - theirs).abs().max() <= 1e-10 * theirs.abs().max()


@pytest.mark.parametrize(("build", "config"), FAMILIES)
def test_a_plain_net_is_the_same_net_without_shortcuts(build: Any, config: Any) -> None:
    plain = build(config(**TINY, residual=False)).state_dict()
    residual = build(config(**TINY)).state_dict()
    assert set(plain) == {name for name in residual if ".shortcut." not in name}


@pytest.mark.parametrize(("build", "config"), FAMILIES)
def test_with_zero_gamma_a_net_starts_as_stem_and_shortcuts(build: Any, config: Any) -> None:
    net = build(config(**TINY, zero_gamma=True)).eval()
    x = torch.randn(2, 3, 16, 16)
    way = net.stem(x)
    for stage in net.stages:
        for block in stage:
            way = block.shortcut(way).relu()
    assert torch.equal(net(x), net.head(net.neck(way)))
    assert not torch.equal(build(config(**TINY)).eval()(x), net(x))
    for block in net.stages[1]:
        assert not block.branch[-1].weight.any()
        assert block.branch.norm1.weight.all()


def test_convolutions_start_normal_by_fan_out() -> None:
    net = ResNet(ResNetConfig())
    for convolution, fan_out in ((net.stem.conv, 64 * 49), (net.stages[3][0].branch.conv2, 512 * 9)):
        assert convolution.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)


@pytest.mark.parametrize("options", [{}, {"preactivation": True}, {"residual": False}, {"shortcut": "A"}])
@pytest.mark.parametrize(("build", "config"), FAMILIES)
def test_the_maps_of_features_are_not_written_over(build: Any, config: Any, options: dict[str, Any]) -> None:
    net = randomised(build(config(**TINY, **options)))
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    first, last = net.features(x)
    assert torch.equal(first, net.features(x, [0])[0])
    pooled = net.neck(last)
    assert torch.equal(last, net.features(x, [-1])[0])
    assert torch.equal(pooled, net.embed(x))
    kept = first.clone()
    for block in net.stages[1]:
        block(first)
    assert torch.equal(first, kept)


def test_stochastic_depth_leaves_branches_out_in_training_alone() -> None:
    net = ResNetCifar(ResNetCifarConfig(blocks=(2, 2), widths=(4, 6), stochastic_depth=0.8))
    rates = [block.drop.rate for stage in net.stages for block in stage]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8])
    block = net.stages[0][1]
    x = torch.rand(200, 4, 4, 4)
    left_out = (block(x) == x).flatten(1).all(1).float().mean().item()
    assert 0.25 < left_out < 0.55
    net.eval()
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(net(images), net(images))


@pytest.mark.parametrize(("build", "config"), FAMILIES)
def test_dropout_stands_before_the_head_in_training_alone(build: Any, config: Any) -> None:
    net = build(config(**TINY, dropout=0.5))
    seen: list[Tensor] = []
    net.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(64, 3, 8, 8)
    embedding = net.embed(x)
    net(x)
    assert 0.4 < (seen[0] == 0)[embedding != 0].float().mean().item() < 0.6
    net.eval()(x)
    assert torch.equal(seen[1], net.embed(x))


def test_layouts_name_every_tensor_once() -> None:
    def named(net: nn.Module, layouts: Any, source: str) -> dict[str, str]:
        (layout,) = (layout for layout in layouts if layout.source == source)
        return {ours: theirs for theirs, ours in layout.names(net)}

    net = ResNet(ResNetConfig(**TINY))
    names = named(net, imagenet_weights.LAYOUTS, "torchvision")
    assert names == named(net, imagenet_weights.LAYOUTS, "timm")
    assert set(names) == {name.rpartition(".")[0] for name in net.state_dict()}
    assert len(set(names.values())) == len(names)
    assert names["stem.norm"] == "bn1"
    assert names["head"] == "fc"
    assert names["stages.1.0.branch.conv3"] == "layer2.0.conv3"
    assert names["stages.1.0.branch.norm2"] == "layer2.0.bn2"
    assert names["stages.1.0.shortcut.norm"] == "layer2.0.downsample.1"
    assert list(imagenet_weights.torchvision_names(ResNet(ResNetConfig(**TINY, preactivation=True)))) == []

    for shortcut in ("A", "B"):
        cifar = ResNetCifar(ResNetCifarConfig(**TINY, shortcut=shortcut))
        names = named(cifar, cifar_weights.LAYOUTS, "akamaster/pytorch_resnet_cifar10")
        assert set(names) == {name.rpartition(".")[0] for name in cifar.state_dict()}
        assert names["head"] == "linear"
        assert names.get("stages.1.0.shortcut.conv") == ("layer2.0.shortcut.0" if shortcut == "B" else None)
    names = named(cifar, cifar_weights.LAYOUTS, "chenyaofo/pytorch-cifar-models")
    assert names["stages.1.0.shortcut.conv"] == "layer2.0.downsample.0"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {"blocks": (1, 1)}, r"one number of at least 1 for each stage, got blocks=\(1, 1\)"),
        ("resnet18", {"blocks": (), "widths": ()}, r"got blocks=\(\) and widths=\(\)"),
        ("resnet18", {"widths": (8, 0, 8, 8)}, r"widths=\(8, 0, 8, 8\)"),
        ("resnet20", {"blocks": (3, 3, 0)}, r"blocks=\(3, 3, 0\)"),
        ("resnet20", {"zero_gamma": True, "preactivation": True}, "zero_gamma needs residual=True and preactivation="),
        ("resnet18", {"zero_gamma": True, "residual": False}, "zero_gamma needs residual=True"),
        ("resnet20", {"stochastic_depth": 0.2, "residual": False}, "stochastic_depth needs residual=True"),
        ("resnet18", {"stochastic_depth": 1.0}, r"stochastic_depth must lie in \[0, 1\)"),
        ("resnet20", {"widths": (8, 6, 4)}, "cannot go from 8 to 6"),
        ("resnet18", {"image_size": 0}, "image_size=0"),
        ("resnet18", {"in_channels": 0}, "in_channels must be at least 1"),
        ("resnet18", {"version": "v2"}, "unknown value 'v2'; known: v1, v1.5"),
        ("resnet20", {"shortcut": "D"}, "unknown value 'D'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        registry.build(ROWS[name], registry.configure(ROWS[name], options))
    assert "\n" not in str(caught.value)


def test_one_pixel_is_enough() -> None:
    for name in ("resnet18", "resnet20"):
        net = registry.build(ROWS[name], registry.configure(ROWS[name], ROWS[name].small)).eval()
        assert net(torch.zeros(1, 3, 1, 1)).shape == (1, net.config.num_classes)


@pytest.mark.parametrize("name", ["resnet50", "resnet20"])
@pytest.mark.parametrize("check", ["backward", "batch_independent", "odd_sizes", "wrong_shape", "image_interface"])
def test_conformance(name: str, check: str) -> None:
    function = {"batch_independent": "check_eval_batch_independent"}.get(check, f"check_{check}")
    getattr(conformance, function)(ROWS[name])


def test_preactivation_conforms() -> None:
    row = ROWS["resnet18"]
    row = dataclasses.replace(row, small={**row.small, "preactivation": True})
    conformance.check_backward(row)
    conformance.check_image_interface(row)
    conformance.check_bf16_autocast(row)
