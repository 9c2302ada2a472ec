"""MobileNet V1: the paper's tables, alpha and rho, options, and an oracle of plain torch functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lamina import registry
from lamina.errors import UsageError
from lamina.models.mobilenet_v1 import VARIANTS, MobileNetV1, MobileNetV1Config
from lamina.weights.mobilenet_v1 import LAYOUTS

SMALL = {"stem_width": 4, "widths": (4, 6, 6, 8, 8), "depths": (1, 2, 1, 1, 1), "num_classes": 5}


def net(**options: object) -> MobileNetV1:
    torch.manual_seed(0)
    return MobileNetV1(MobileNetV1Config(**{**SMALL, **options})).double().eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "alpha", "macs"),
    [
        ("mobilenet-v1", 1.0, (418_121_728, 290_675_200, 186_400_768)),
        ("mobilenet-v1-075", 0.75, (239_273_472, 166_396_800, 106_770_432)),
        ("mobilenet-v1-050", 0.5, (109_970_432, 76_524_800, 49_160_192)),
        ("mobilenet-v1-025", 0.25, (30_212_608, 21_059_200, 13_570_048)),
    ],
)
def test_every_alpha_and_rho_of_the_paper(name: str, alpha: float, macs: tuple[int, ...]) -> None:
    row = VARIANTS[name]
    assert row.config.alpha == alpha
    with torch.device("meta"), torch.no_grad():
        model = registry.build(row, row.config).eval()
        for side, wanted in zip((192, 160, 128), macs, strict=True):
            with FlopCounterMode(display=False) as counter:
                model(torch.empty(1, 3, side, side))
            assert counter.get_total_flops() // 2 == wanted


def test_alpha_of_1_25_is_timms() -> None:
    with torch.device("meta"):
        model = MobileNetV1(MobileNetV1Config(alpha=1.25))
    assert sum(weight.numel() for weight in model.parameters()) == 6_270_840


def test_the_paper_s_shapes_and_shares() -> None:
    with torch.device("meta"):
        model = MobileNetV1(MobileNetV1Config()).eval()
        maps = model.features(torch.empty(1, 3, 224, 224))
    wanted = [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (1024, 7, 7)]
    assert [tuple(stage.shape[1:]) for stage in maps] == wanted
    assert sum(weight.ndim == 4 for weight in model.parameters()) == 27  # with the linear layer the paper's 28
    pointwise = [sum(block.pointwise.conv.weight.numel() for block in stage) for stage in model.stages]
    assert round(100 * sum(pointwise) / 4_231_976) == 74  # the paper's table 2 has 74.59% of its 4.2 million
    macs = sum(weights * stage.shape[-1] ** 2 for weights, stage in zip(pointwise, maps, strict=True))
    assert macs / 568_740_352 == pytest.approx(0.9486, abs=1e-4)  # its 94.86% of multiply-adds


def test_the_net_is_depthwise_separable_convolutions() -> None:
    model, x = net(), images(40, 33)
    with torch.no_grad():
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 2.0)
        got, weights = model(x), model.state_dict()

        def unit(x: torch.Tensor, name: str, stride: int, groups: int = 1) -> torch.Tensor:
            kernel = weights[f"{name}.conv.weight"]
            x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
            mean, var, scale, shift = (
                weights[f"{name}.norm.{part}"][:, None, None]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            return torch.relu((x - mean) / torch.sqrt(var + 1e-5) * scale + shift)

        x = unit(x, "stem", 2)
        for block, stride in (("0.0", 1), ("1.0", 2), ("1.1", 1), ("2.0", 2), ("3.0", 2), ("4.0", 2)):
            x = unit(x, f"stages.{block}.depthwise", stride, groups=x.shape[1])
            x = unit(x, f"stages.{block}.pointwise", 1)
        wanted = x.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


def test_alpha_rounds_down() -> None:
    model = net(alpha=0.3, widths=(10, 10, 11, 14, 19))
    assert [stage[-1].pointwise.conv.out_channels for stage in model.stages] == [3, 3, 3, 4, 5]
    assert model.embed(images(32, 32)).shape == (2, 5)


def test_a_small_stem_keeps_the_resolution() -> None:
    sides = [[stage.shape[-1] for stage in net(stem=stem).features(images(32, 32))] for stem in ("imagenet", "small")]
    assert sides == [[16, 8, 4, 2, 1], [32, 32, 16, 8, 4]]


def test_relu6_ends_at_6() -> None:
    x = 100 * images(32, 32)
    assert net().features(x, [0])[0].max() > 6
    assert net(activation="relu6").features(x, [0])[0].max() == 6


def test_features_are_left_as_they_were() -> None:
    model, x = net(), images(32, 32)
    one_by_one = [model.features(x, [stage])[0] for stage in range(5)]
    assert all(map(torch.equal, model.features(x), one_by_one))


def test_norm_and_dropout_options_reach_their_layers() -> None:
    model = net(eps=0.25, momentum=0.5, dropout=0.5)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 13
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.25, 0.5)}
    assert model.dropout.p == 0.5


def test_timm_names_reach_every_tensor_once() -> None:
    model = net()
    (layout,) = LAYOUTS
    pairs = dict(layout.names(model))
    assert (pairs["conv_stem"], pairs["blocks.1.1.bn2"]) == ("stem.conv", "stages.1.1.pointwise.norm")
    modules = {name.rpartition(".")[0] for name in model.state_dict()}
    assert sorted(pairs.values()) == sorted(modules)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"stem_width": 0}, "stem_width at least 1"),
        ({"widths": (1, 2)}, r"widths must be 5 numbers of at least 1, got \(1, 2\)"),
        ({"depths": (1, 1, 0, 1, 1)}, "depths must be 5 numbers of at least 1"),
        ({"image_size": 0}, "at least 1 x 1 pixels, got image_size=0"),
        ({"dropout": 1.0}, "dropout must lie in"),
        ({"stem": "smal"}, "did you mean 'small'"),
        ({"activation": "gelu"}, "unknown value 'gelu'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        registry.configure(VARIANTS["mobilenet-v1"], options)
    assert "\n" not in str(caught.value)
