"""EfficientNet: the released table, compound scaling, MBConv, options."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lamina import registry
from lamina.errors import UsageError
from lamina.models.efficientnet import (
    VARIANTS,
    EfficientNet,
    EfficientNetConfig,
    compound_scale,
    round_filters,
    round_repeats,
)
from lamina.weights.efficientnet import LAYOUTS

ROW = VARIANTS["efficientnet-b0"]


def net(**options: object) -> EfficientNet:
    torch.manual_seed(0)
    return EfficientNet(EfficientNetConfig(**{**ROW.small, **options})).double().eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def macs(model: EfficientNet, side: int) -> int:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, side, side))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("number", "width", "depth", "resolution", "dropout", "top1", "top5"),
    [
        (0, 1.0, 1.0, 224, 0.2, 77.1, 93.3),
        (1, 1.0, 1.1, 240, 0.2, 79.1, 94.4),
        (2, 1.1, 1.2, 260, 0.3, 80.1, 94.9),
        (3, 1.2, 1.4, 300, 0.3, 81.6, 95.7),
        (4, 1.4, 1.8, 380, 0.4, 82.9, 96.4),
        (5, 1.6, 2.2, 456, 0.4, 83.6, 96.7),
        (6, 1.8, 2.6, 528, 0.5, 84.0, 96.8),
        (7, 2.0, 3.1, 600, 0.5, 84.3, 97.0),
    ],
)
def test_the_released_table(
    number: int,
    width: float,
    depth: float,
    resolution: int,
    dropout: float,
    top1: float,
    top5: float,
) -> None:
    row = VARIANTS[f"efficientnet-b{number}"]
    config = row.config
    assert (config.width, config.depth, config.image_size, config.dropout) == (width, depth, resolution, dropout)
    assert (config.eps, config.momentum) == ((1e-5, 0.1) if number < 5 else (1e-3, 0.01))
    assert row.card.input == (3, resolution, resolution)
    assert [reported.value for reported in row.card.reported] == [top1, top5]


def test_b2_at_the_resolution_of_torchvision() -> None:
    with torch.device("meta"):
        model = EfficientNet(VARIANTS["efficientnet-b2"].config).eval()
    assert macs(model, 288) == 1_087_529_456


def test_the_table_of_b0() -> None:
    with torch.device("meta"):
        model = EfficientNet(EfficientNetConfig()).eval()
        maps = model.features(torch.empty(1, 3, 224, 224))
        embedding = model.embed(torch.empty(1, 3, 224, 224))
    wanted = [(16, 112, 112), (24, 56, 56), (40, 28, 28), (112, 14, 14), (320, 7, 7)]
    assert [tuple(stage.shape[1:]) for stage in maps] == wanted
    assert embedding.shape == (1, 1280)
    blocks = [block.branch for stage in model.stages for block in stage]
    kernels = [block.depthwise.conv.kernel_size[0] for block in blocks]
    assert kernels == [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]
    squeezed = [block.squeeze.reduce.out_channels for block in blocks]
    assert squeezed == [8, 4, 6, 6, 10, 10, 20, 20, 20, 28, 28, 28, 48, 48, 48, 48]  # a quarter of the block's input
    assert ["expand" in dict(block.named_children()) for block in blocks] == [False] + 15 * [True]
    for block, squeeze in zip(blocks[1:], squeezed[1:], strict=True):
        assert block.expand.conv.out_channels == 6 * block.expand.conv.in_channels
        assert squeeze == block.expand.conv.in_channels // 4
    assert len(model.state_dict()) == 360


def test_stochastic_depth_rises_over_the_blocks() -> None:
    with torch.device("meta"):
        model = EfficientNet(EfficientNetConfig())
    rates = [block.drop.rate for stage in model.stages for block in stage]
    assert rates == pytest.approx([0.2 * index / 16 for index in range(16)])
    assert {block.drop.rate for stage in net(stochastic_depth=0.0).stages for block in stage} == {0.0}


def test_compound_scale() -> None:
    assert compound_scale(0) == (1.0, 1.0, 1.0)
    scale = compound_scale(1)
    assert (scale.width, scale.depth, scale.resolution) == (1.1, 1.2, 1.15)
    assert scale.depth * scale.width**2 * scale.resolution**2 == pytest.approx(1.92027, abs=5e-6)
    assert compound_scale(2, alpha=3, beta=5, gamma=7) == (25, 9, 49)
    assert compound_scale(6.21).depth == pytest.approx(3.1, abs=5e-3)  # B7 is not exactly any phi
    assert compound_scale(7.27).width == pytest.approx(2.0, abs=5e-3)
    assert compound_scale(7.05).resolution == pytest.approx(600 / 224, abs=5e-3)


def test_filters_and_repeats_are_rounded_as_in_the_released_code() -> None:
    assert [round_filters(32, width) for width in (1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0)] == [32, 32, 40, 48, 48, 56, 64]
    assert [round_filters(1280, width) for width in (1.1, 1.4, 2.0)] == [1408, 1792, 2560]
    assert [round_repeats(blocks, 3.1) for blocks in (1, 2, 3, 4)] == [4, 7, 10, 13]
    assert round_repeats(3, 1.0) == 3


def test_the_net_is_stem_blocks_and_a_wide_convolution() -> None:
    model, x = net(eps=1e-3), images(40, 33)
    weights = model.state_dict()
    for name, tensor in weights.items():
        if name.endswith(("mean", "var")):
            tensor.uniform_(0.5, 2.0)

    def unit(x: torch.Tensor, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        kernel, norm = weights[f"{name}.conv.weight"], f"{name}.norm."
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
        mean, var, scale, shift = (
            weights[norm + part][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / torch.sqrt(var + 1e-3) * scale + shift
        return x if name.endswith("project") else x * torch.sigmoid(x)

    def block(x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        kept, name = x, f"{name}.branch"
        x = unit(x, f"{name}.expand") if f"{name}.expand.conv.weight" in weights else x
        x = unit(x, f"{name}.depthwise", stride, groups=x.shape[1])
        s = x.mean((2, 3))
        s = s @ weights[f"{name}.squeeze.reduce.weight"].flatten(1).T + weights[f"{name}.squeeze.reduce.bias"]
        s = s * torch.sigmoid(s)
        s = s @ weights[f"{name}.squeeze.expand.weight"].flatten(1).T + weights[f"{name}.squeeze.expand.bias"]
        x = unit(x * torch.sigmoid(s)[:, :, None, None], f"{name}.project")
        return x + kept if x.shape == kept.shape and stride == 1 else x

    with torch.no_grad():
        wanted = unit(x, "stem", 2)
        strides = {"0.0": 1, "1.0": 2, "1.1": 1, "2.0": 2, "3.0": 2, "3.1": 1, "4.0": 2, "4.1": 1}
        for name, stride in strides.items():
            wanted = block(wanted, f"stages.{name}", stride)
        wanted = unit(wanted, "neck.conv").mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]
        torch.testing.assert_close(model(x), wanted, rtol=1e-9, atol=1e-12)


def test_a_small_stem_keeps_the_resolution() -> None:
    sides = [[stage.shape[-1] for stage in net(stem=stem).features(images(32, 32))] for stem in ("imagenet", "small")]
    assert sides == [[16, 8, 4, 2, 1], [32, 32, 16, 8, 4]]


def test_features_are_left_as_they_were() -> None:
    model, x = net(), images(32, 40)
    one_by_one = [model.features(x, [stage])[0] for stage in range(5)]
    assert all(map(torch.equal, model.features(x), one_by_one))


def test_weights_start_as_the_released_code_s() -> None:
    torch.manual_seed(0)
    model = EfficientNet(EfficientNetConfig(num_classes=100))
    assert model.neck.conv.conv.weight.std().item() == pytest.approx((2 / 1280) ** 0.5, rel=0.02)
    assert not model.stages[0][0].branch.squeeze.reduce.bias.any()
    for classes in (100, 25):
        model.reset_head(classes)
        assert model.head.weight.abs().max().item() == pytest.approx(classes**-0.5, rel=1e-3)
        assert model.head.weight.std().item() == pytest.approx((3 * classes) ** -0.5, rel=0.02)
        assert not model.head.bias.any()


def test_norm_and_dropout_options_reach_their_layers() -> None:
    model = net(eps=0.25, momentum=0.5, dropout=0.5)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.25, 0.5)}
    assert model.dropout.p == 0.5


def test_names_of_other_projects_reach_every_module_once() -> None:
    model = net(depth=1.2)
    modules = {name.rpartition(".")[0] for name in model.state_dict()}
    pairs = [dict(layout.names(model)) for layout in LAYOUTS]
    assert [layout.source for layout in LAYOUTS] == ["torchvision", "timm"]
    assert all(sorted(found.values()) == sorted(modules) for found in pairs)
    assert pairs[0]["features.2.2.block.2.fc1"] == "stages.1.2.branch.squeeze.reduce"
    assert pairs[1]["blocks.4.0.conv_pwl"] == "stages.3.2.branch.project.conv"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "width and depth must be above 0"),
        ({"depth": -1.0}, "width and depth must be above 0"),
        ({"stem_width": 0}, "stem_width and head_width at least 1"),
        ({"widths": (1,) * 6}, "widths must be 7 numbers of at least 1"),
        ({"depths": (1, 1, 0, 1, 1, 1, 1)}, "depths must be 7 numbers of at least 1"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must lie in"),
        ({"image_size": 0}, "at least 1 x 1 pixels, got image_size=0"),
        ({"stem": "smal"}, "did you mean 'small'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        registry.configure(ROW, options)
    assert "\n" not in str(caught.value)
