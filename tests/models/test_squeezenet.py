"""SqueezeNet: the papers' tables of fire modules, bypasses, the head that works on maps."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina import registry
from lamina.errors import UsageError
from lamina.models.squeezenet import VARIANTS, Fire, SqueezeNet
from lamina.weights.squeezenet import LAYOUTS

FIRES = {  # squeeze, 1x1 and 3x3 channels; P is pooling
    "squeezenet-1.0": [
        *[(16, 64, 64)] * 2,
        (32, 128, 128),
        "P",
        (32, 128, 128),
        *[(48, 192, 192)] * 2,
        (64, 256, 256),
        "P",
        (64, 256, 256),
    ],
    "squeezenet-1.1": [
        *[(16, 64, 64)] * 2,
        "P",
        *[(32, 128, 128)] * 2,
        "P",
        *[(48, 192, 192)] * 2,
        *[(64, 256, 256)] * 2,
    ],
}
INDICES = {"squeezenet-1.0": [3, 4, 5, 7, 8, 9, 10, 12], "squeezenet-1.1": [3, 4, 6, 7, 9, 10, 11, 12]}


def model(name: str = "squeezenet-1.0", **options: Any) -> SqueezeNet:
    row = VARIANTS[name]
    net = registry.build(row, registry.configure(row, {**row.small, **options}))
    assert isinstance(net, SqueezeNet)
    return net


def on_meta(name: str, **options: Any) -> SqueezeNet:
    with torch.device("meta"):
        return SqueezeNet(dataclasses.replace(VARIANTS[name].config, **options))


@pytest.mark.parametrize("name", FIRES)
def test_layers_of_the_paper(name: str) -> None:
    net = on_meta(name)
    layers: list[Any] = []
    for stage in net.stages:
        for layer in stage.children():
            if isinstance(layer, Fire):
                convs = (layer.squeeze, layer.expand1x1, layer.expand3x3)
                assert [conv.kernel_size[0] for conv in convs] == [1, 1, 3]
                layers.append(tuple(conv.out_channels for conv in convs))
            else:
                layers.append("P")
    assert layers == FIRES[name]
    maps = net.features(torch.empty(1, 3, 224, 224, device="meta"))
    sizes = {"squeezenet-1.0": [(256, 54), (512, 27), (512, 13)], "squeezenet-1.1": [(128, 55), (256, 27), (512, 13)]}
    assert [(stage.shape[1], stage.shape[2]) for stage in maps] == sizes[name]
    assert net.embedding == 512


def by_hand(
    weights: dict[str, Tensor], x: Tensor, stem_kernel: int, pool_before: tuple[int, ...], bypass: str
) -> Tensor:
    """The paper's net in plain functions; fire modules are numbered from 2."""

    def conv(name: str, x: Tensor, **how: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **how)

    x = F.max_pool2d(conv("conv1", x, stride=2).relu(), 3, 2, ceil_mode=True)
    for number in range(2, 10):
        if number in pool_before:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        fire = f"fire{number}"
        s = conv(f"{fire}.squeeze", x).relu()
        e = torch.cat([conv(f"{fire}.expand1x1", s).relu(), conv(f"{fire}.expand3x3", s, padding=1).relu()], 1)
        if bypass != "none" and number % 2:
            e = e + x
        elif bypass == "complex":
            e = e + conv(f"{fire}.bypass", x)
        x = e
    return conv("head.conv10", x).relu().mean((2, 3))


@pytest.mark.parametrize("bypass", ["none", "simple", "complex"])
@pytest.mark.parametrize(("name", "pool_before"), [("squeezenet-1.0", (5, 9)), ("squeezenet-1.1", (4, 6))])
def test_forward_by_hand(name: str, pool_before: tuple[int, ...], bypass: str) -> None:
    torch.manual_seed(0)
    net = model(name, bypass=bypass).double().eval()
    for weight in net.parameters():
        nn.init.normal_(weight, 0.02, 0.3)
    weights = {key.split(".", 2)[-1] if "stages" in key else key: value for key, value in net.named_parameters()}
    weights |= {key.removeprefix("stem."): value for key, value in weights.items()}
    x = torch.randn(2, 3, 48, 61, dtype=torch.float64)
    wanted = by_hand(weights, x, net.config.stem_kernel, pool_before, bypass)
    assert wanted.count_nonzero() > 5
    assert (net(x) - wanted).abs().max() <= 1e-10 * wanted.abs().max()


def test_bypasses_and_their_parameters() -> None:
    plain, simple, complicated = (on_meta("squeezenet-1.0", bypass=kind) for kind in ("none", "simple", "complex"))

    def around(net: SqueezeNet, kind: type[nn.Module]) -> list[str]:
        return [
            name.rpartition(".")[-1]
            for name, module in net.named_modules()
            if isinstance(module, Fire) and isinstance(module.bypass, kind)
        ]

    def count(net: SqueezeNet) -> int:
        return sum(weight.numel() for weight in net.parameters())

    assert around(plain, nn.Module) == []
    assert around(simple, nn.Module) == around(complicated, nn.Identity) == ["fire3", "fire5", "fire7", "fire9"]
    assert around(complicated, nn.Conv2d) == ["fire2", "fire4", "fire6", "fire8"]
    assert count(simple) == count(plain) == 1_248_424
    convolutions = (96 + 1) * 128 + (128 + 1) * 256 + (256 + 1) * 384 + (384 + 1) * 512
    assert count(complicated) == 1_248_424 + convolutions


def test_widths_follow_the_papers_rule() -> None:
    net = model(base_e=32, incr_e=16, freq=3, pct_3x3=0.25, squeeze_ratio=0.5, stem_width=8)
    fires = [module for module in net.modules() if isinstance(module, Fire)]
    widths = [(fire.squeeze.out_channels, fire.expand1x1.out_channels, fire.expand3x3.out_channels) for fire in fires]
    assert widths == [(16, 24, 8)] * 3 + [(24, 36, 12)] * 3 + [(32, 48, 16)] * 2


def test_without_a_head_forward_is_the_mean_of_the_last_maps() -> None:
    torch.manual_seed(0)
    net = model(bypass="complex").double().eval()
    x = torch.randn(2, 3, 48, 48, dtype=torch.float64)
    mean = net.features(x, [-1])[0].mean((2, 3))
    assert mean.min() < 0, "the last maps of a complex bypass are not rectified: a second rectification would show"
    net.reset_head(0)
    assert torch.allclose(net(x), mean, rtol=1e-12)
    assert torch.allclose(net.embed(x), mean, rtol=1e-12)
    assert net.config.num_classes == 0


def test_output_relu() -> None:
    torch.manual_seed(0)
    rectified, free = model().eval(), model(output_relu=False).eval()
    free.load_state_dict(rectified.state_dict())
    x = torch.randn(2, 3, 48, 48)
    assert rectified(x).min() >= 0 > free(x).min()
    for net in (rectified, free):
        net.reset_head(20)
    assert rectified(x).min() >= 0 > free(x).min()


def test_dropout_stands_before_conv10() -> None:
    torch.manual_seed(0)
    net = model(dropout=0.75, output_relu=False).train()
    seen: list[Tensor] = []
    net.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(torch.randn(4, 3, 48, 48))
    kept = net.features(torch.zeros(1, 3, 48, 48), [-1])[0]
    assert seen[0].shape[1:] == kept.shape[1:]
    assert net.dropout.p == 0.75
    assert (seen[0] == 0).float().mean() > 0.7


def test_first_weights() -> None:
    torch.manual_seed(0)
    net = SqueezeNet(dataclasses.replace(VARIANTS["squeezenet-1.1"].config, num_classes=50))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            assert not module.bias.any()
            fan_in = module.weight[0].numel()
            deviation = 0.01 if module.out_channels == 50 else (2 / fan_in) ** 0.5
            assert module.weight.std().item() == pytest.approx(deviation, rel=0.08)
            if module.out_channels != 50:
                assert module.weight.abs().max().item() <= (6 / fan_in) ** 0.5  # uniform


@pytest.mark.parametrize("name", FIRES)
def test_small_stem_keeps_the_resolution(name: str) -> None:
    net = model(name, stem="small", image_size=28, in_channels=1).eval()
    assert [stage.shape[-1] for stage in net.features(torch.randn(2, 1, 28, 28))] == [28, 14, 7]


@pytest.mark.parametrize(
    ("name", "stem", "min_size"),
    [("squeezenet-1.0", "imagenet", 21), ("squeezenet-1.1", "imagenet", 17), ("squeezenet-1.1", "small", 4)],
)
def test_min_size(name: str, stem: str, min_size: int) -> None:
    net = model(name, stem=stem).eval()
    assert net(torch.randn(1, 3, min_size, min_size + 9)).isfinite().all()
    with pytest.raises(ValueError, match=f"at least {min_size} x {min_size}"):
        net(torch.randn(1, 3, min_size, min_size - 1))
    with pytest.raises(UsageError, match=f"image_size={min_size - 1}"):
        model(name, stem=stem, image_size=min_size - 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": ()}, "at least 1"),
        ({"freq": 0}, "freq must be at least 1"),
        ({"base_e": 1}, "base_e must be at least 2"),
        ({"pct_3x3": 1.0}, "pct_3x3 must lie in"),
        ({"squeeze_ratio": 0.0}, "squeeze_ratio in"),
        ({"bypass": "simpel"}, "did you mean 'simple'"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        model(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FIRES)
def test_names_of_torchvision(name: str) -> None:
    net = model(name)
    translation = LAYOUTS[0].translation(net)
    fires = [f"features.{i}.{part}" for i in INDICES[name] for part in ("squeeze", "expand1x1", "expand3x3")]
    theirs = ["features.0", *fires, "classifier.1"]
    ours = [translation.ours(f"{part}.{tensor}") for part in theirs for tensor in ("weight", "bias")]
    assert ours == list(net.state_dict())
    assert translation.ours("features.2.weight") is None
    assert not list(LAYOUTS[0].names(model(name, bypass="simple"))), "torchvision has no bypasses"
