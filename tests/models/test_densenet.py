"""DenseNet: the tables' numbers, shapes, options, checkpointing, and a CIFAR net written out as plain functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamina import conformance, registry
from lamina.errors import UsageError
from lamina.models.densenet import VARIANTS, DenseNet, DenseNetConfig
from lamina.weights.densenet import LAYOUTS

TINY: dict[str, Any] = {"blocks": (2, 3), "growth_rate": 3, "stem_channels": 5, "image_size": 16, "num_classes": 3}


def on_meta(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return registry.build(VARIANTS[name], registry.configure(VARIANTS[name], options)).eval()


def parameters(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def macs_by_hand(depth: int, k: int, *, bottleneck: bool, side: int = 32) -> int:
    """The CIFAR table's multiply-adds from the paper's text: positions x outputs x inputs x kernel."""
    channels = 2 * k if bottleneck else 16
    total = side * side * channels * 3 * 9
    for block in range(3):
        for _ in range((depth - 4) // (6 if bottleneck else 3)):
            wide = 4 * k if bottleneck else channels
            total += side * side * (channels * wide if bottleneck else 0)
            total += side * side * wide * k * 9
            channels += k
        if block < 2:
            kept = channels // 2 if bottleneck else channels
            total += side * side * channels * kept
            channels, side = kept, side // 2
    return total + channels * 10


def randomised(net: nn.Module) -> Any:
    """In float64, with nothing special about scales, shifts and running statistics."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -1.0, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.double()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["densenet121", "densenet161", "densenet169", "densenet201"])
def test_the_name_counts_the_layers(name: str) -> None:
    layers = [m for m in on_meta(name).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert f"densenet{len(layers)}" == name


@pytest.mark.parametrize(
    ("name", "options", "c10", "c100"),
    [
        ("densenet40-k12", {}, 1_019_722, 1_060_132),
        ("densenet40-k12", {"blocks": (32, 32, 32)}, 6_979_642, 7_084_852),
        ("densenet40-k12", {"blocks": (32, 32, 32), "growth_rate": 24}, 27_249_082, 27_457_972),
        ("densenet40-k12", {"stem_channels": 24}, 1_059_298, None),
        ("densenet-bc100-k12", {}, 769_162, 800_032),
        ("densenet-bc250-k24", {}, 15_324_406, 15_480_556),
        ("densenet-bc190-k40", {}, 25_624_430, 25_821_620),
    ],
)
def test_the_cifar_table(name: str, options: dict[str, Any], c10: int, c100: int | None) -> None:
    net: Any = on_meta(name, **options)
    assert parameters(net) == c10
    if c100 is not None:
        net.reset_head(100)
        assert parameters(net) == c100


@pytest.mark.parametrize(
    ("name", "depth", "k", "stated"),
    [
        ("densenet40-k12", 40, 12, 264_812_928),
        ("densenet-bc100-k12", 100, 12, 287_929_692),
        ("densenet-bc190-k40", 190, 40, None),
        ("densenet-bc250-k24", 250, 24, None),
    ],
)
def test_multiply_adds_of_the_cifar_nets(name: str, depth: int, k: int, stated: int | None) -> None:
    by_hand = macs_by_hand(depth, k, bottleneck="bc" in name)
    assert by_hand == VARIANTS[name].card.macs
    assert stated in (None, by_hand)


def test_layer_shapes_of_the_paper() -> None:
    net: Any = on_meta("densenet121")
    x = torch.empty(1, 3, 224, 224, device="meta")
    assert net.stem(x).shape[1:] == (64, 56, 56)
    shapes = [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (1024, 7, 7)]
    assert [tuple(stage.shape[1:]) for stage in net.features(x)] == shapes
    cifar: Any = on_meta("densenet40-k12")
    shapes = [(16 + 12 * 12 * n, 32 >> (n - 1), 32 >> (n - 1)) for n in (1, 2, 3)]
    assert [tuple(s.shape[1:]) for s in cifar.features(torch.empty(1, 3, 32, 32, device="meta"))] == shapes


def plain_net(weights: dict[str, Tensor], x: Tensor, config: DenseNetConfig) -> Tensor:
    """The paper's equations over our weights, by name, in evaluation mode."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).relu()

    def conv(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    if config.stem == "imagenet":
        x = F.conv2d(x, weights["stem.conv.weight"], stride=2, padding=3)
        x = F.max_pool2d(norm(x, "stem.norm"), 3, 2, 1)
    else:
        x = conv(x, "stem.conv")
    for s, layers in enumerate(config.blocks):
        if s > 0:
            x = conv(norm(x, f"stages.{s}.transition.norm"), f"stages.{s}.transition.conv")
            x = F.avg_pool2d(x, 2)
        for i in range(layers):
            name = f"stages.{s}.block.{i}"
            new = conv(norm(x, f"{name}.norm1"), f"{name}.conv1")
            if config.bottleneck:
                new = conv(norm(new, f"{name}.rest.norm2"), f"{name}.rest.conv2")
            x = torch.cat([x, new], 1)
    return norm(x, "neck.norm").mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize(
    "options",
    [
        {"stem": "small", "bottleneck": False, "compression": 1.0},
        {"stem": "small", "compression": 0.6},
        {"bottleneck": False, "dropout": 0.5},
        {"checkpointing": True},
    ],
)
@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_against_the_papers_equations(options: dict[str, Any], size: tuple[int, int]) -> None:
    config = DenseNetConfig(**TINY, **options)
    net = randomised(DenseNet(config)).eval()
    weights = net.state_dict(keep_vars=True)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    got, wanted = net(x), plain_net(weights, x, config)
    assert (got - wanted).abs().max() <= 1e-10 * wanted.abs().max()
    scale, names = torch.randn_like(wanted), ["stem.conv.weight", "stages.1.block.0.conv1.weight", "head.bias"]
    for mine, theirs in zip(
        torch.autograd.grad((got * scale).sum(), [weights[name] for name in names]),
        torch.autograd.grad((wanted * scale).sum(), [weights[name] for name in names]),
        strict=True,
    ):
        assert (mine - theirs).abs().max() <= 1e-10 * theirs.abs().max()


def test_a_blocks_input_has_a_direct_way_to_its_output() -> None:
    block = DenseNet(DenseNetConfig(**TINY)).eval().stages[0].block
    x = torch.randn(2, 5, 4, 4)
    out = block(x)
    assert out.shape == (2, 5 + 2 * 3, 4, 4)
    assert torch.equal(out[:, :5], x)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(block(x)[:, :5].sum(), x)
    assert torch.equal(gradient, torch.ones_like(x))


@pytest.mark.parametrize("bottleneck", [True, False])
def test_checkpointing_changes_nothing_but_memory(bottleneck: bool) -> None:
    """Outputs, gradients under dropout, and running statistics, which a second calculation must not touch again."""
    sides = []
    for checkpointing in (False, True):
        torch.manual_seed(1)
        config = DenseNetConfig(**TINY, dropout=0.3, bottleneck=bottleneck, checkpointing=checkpointing)
        net = randomised(DenseNet(config)).train()
        calls: list[int] = []
        net.stages[1].block[2].norm1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        out = net(torch.randn(4, 3, 16, 16, dtype=torch.float64))
        out.square().sum().backward()
        assert len(calls) == (2 if checkpointing else 1)
        sides.append([out, *(weight.grad for weight in net.parameters()), *net.buffers()])
        assert net.stages[0].block[1].norm1.momentum == 0.1
    for plain, checkpointed in zip(*sides, strict=True):
        assert torch.equal(plain, checkpointed)


def test_dropout_follows_every_convolution_but_the_first() -> None:
    net = DenseNet(DenseNetConfig(**TINY, dropout=0.2))
    drops = [name for name, module in net.named_modules() if isinstance(module, nn.Dropout)]
    layers = [f"stages.{s}.block.{i}.rest.drop{n}" for s, k in ((0, 2), (1, 3)) for i in range(k) for n in (1, 2)]
    assert sorted(drops) == sorted([*layers, "stages.1.transition.drop"])
    layer = net.stages[0].block[0].rest
    assert [name for name, _ in layer.named_children()] == ["drop1", "norm2", "act2", "conv2", "drop2"]
    basic = DenseNet(DenseNetConfig(**TINY, dropout=0.2, bottleneck=False)).stages[0].block[0]
    new = basic([torch.randn(8, 5, 8, 8)])
    assert 0.1 < (new == 0).float().mean().item() < 0.3
    assert not (basic.eval()([torch.randn(8, 5, 8, 8)]) == 0).any()
    assert not any(isinstance(m, nn.Dropout) for m in DenseNet(DenseNetConfig(**TINY)).modules())


def test_weights_start_normal_by_fan_out_and_the_heads_bias_at_zero() -> None:
    net = DenseNet(DenseNetConfig(blocks=(2,), stem_channels=256))
    assert net.stem.conv.weight.std().item() == pytest.approx((2 / (256 * 49)) ** 0.5, rel=0.05)
    assert net.stages[0].block[1].rest.conv2.weight.std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.05)
    assert not net.head.bias.any()
    net.reset_head(4)
    assert not net.head.bias.any()
    net.reset_head(0)


def test_the_maps_of_features_are_not_written_over() -> None:
    for stem in ("imagenet", "small"):
        net = randomised(DenseNet(DenseNetConfig(**TINY, stem=stem))).eval()
        x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
        first, last = net.features(x)
        assert torch.equal(first, net.features(x, [0])[0])
        net.neck(last)
        assert torch.equal(last, net.features(x, [1])[0])


def test_layouts_name_every_tensor_once() -> None:
    net = DenseNet(DenseNetConfig(**TINY))
    modules = {name.rpartition(".")[0] for name in net.state_dict()}
    named = {layout.source: {ours: theirs for theirs, ours in layout.names(net)} for layout in LAYOUTS}
    assert named["torchvision"] == named["timm"]
    for names in named.values():
        assert set(names) == modules
        assert len(set(names.values())) == len(names)
    for source, dot in (("torchvision", ""), ("torchvision's first names", ".")):
        assert named[source]["stages.1.block.2.norm1"] == f"features.denseblock2.denselayer3.norm{dot}1"
        assert named[source]["stages.1.block.2.rest.conv2"] == f"features.denseblock2.denselayer3.conv{dot}2"
        assert named[source]["stages.1.transition.conv"] == "features.transition1.conv"
        assert named[source]["neck.norm"] == "features.norm5"
        assert named[source]["stem.norm"] == "features.norm0"
        assert named[source]["head"] == "classifier"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("densenet121", {"blocks": (6, 0)}, r"every block, growth_rate and stem_channels must be .* blocks=\(6, 0\)"),
        ("densenet121", {"blocks": ()}, r"got blocks=\(\)"),
        ("densenet121", {"growth_rate": 0}, "growth_rate=0"),
        ("densenet121", {"stem_channels": 0}, "stem_channels=0"),
        ("densenet121", {"compression": 0.0}, r"compression must lie in \(0, 1\], got 0.0"),
        ("densenet121", {"compression": 0.01}, "compression=0.01 leaves no map"),
        ("densenet121", {"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ("densenet121", {"image_size": 28}, "at least 29 x 29 pixels, got image_size=28"),
        ("densenet-bc100-k12", {"image_size": 3}, "at least 4 x 4 pixels, got image_size=3"),
        ("densenet121", {"stem": "tiny"}, "unknown value 'tiny'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        registry.configure(VARIANTS[name], {**({"growth_rate": 1} if "01" in message else {}), **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("stem", "min_size"), [("imagenet", 5), ("small", 2)])
def test_the_smallest_image(stem: str, min_size: int) -> None:
    net = DenseNet(DenseNetConfig(**TINY, stem=stem)).eval()
    assert net(torch.zeros(1, 3, min_size, min_size)).shape == (1, 3)
    with pytest.raises(ValueError, match=f"at least {min_size} x {min_size} pixels, got {min_size - 1} x {min_size}"):
        net(torch.zeros(1, 3, min_size - 1, min_size))


@pytest.mark.parametrize("name", ["densenet121", "densenet40-k12"])
@pytest.mark.parametrize(
    "check", ["backward", "eval_batch_independent", "odd_sizes", "wrong_shape", "image_interface", "bf16_autocast"]
)
def test_conformance(name: str, check: str) -> None:
    getattr(conformance, f"check_{check}")(VARIANTS[name])
