"""MobileNet V2: its table, widths, options, and the inverted residual against plain torch functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from lamina import registry
from lamina.errors import UsageError
from lamina.layers.inverted_residual import InvertedResidual
from lamina.models.mobilenet_v2 import VARIANTS, MobileNetV2, MobileNetV2Config
from lamina.weights.mobilenet_v2 import LAYOUTS

SMALL = VARIANTS["mobilenet-v2"].small


def net(**options: object) -> MobileNetV2:
    torch.manual_seed(0)
    return MobileNetV2(MobileNetV2Config(**{**SMALL, **options})).double().eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_maps_of_the_paper() -> None:
    row = VARIANTS["mobilenet-v2"]
    with torch.device("meta"), torch.no_grad():
        model = registry.build(row, row.config).eval()
        x = torch.empty(1, 3, 224, 224)
        maps = model.features(x)
        embedding = model.embed(x)
    wanted = [(16, 112, 112), (24, 56, 56), (32, 28, 28), (96, 14, 14), (320, 7, 7)]
    assert [tuple(stage.shape[1:]) for stage in maps] == wanted
    assert embedding.shape == (1, 1280)
    assert [len(stage) for stage in model.stages] == [1, 2, 3, 7, 4]
    blocks = [block for stage in model.stages for block in stage]
    assert sum(block.residual for block in blocks) == 10
    assert len(model.state_dict()) == 314


@pytest.mark.parametrize(("alpha", "parameters", "macs"), [(0.5, 1_968_680, 97_131_840), (1.4, 6_108_776, 582_195_824)])
def test_alpha(alpha: float, parameters: int, macs: int) -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = MobileNetV2(MobileNetV2Config(alpha=alpha)).eval()
        model(torch.empty(1, 3, 224, 224))
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert counter.get_total_flops() // 2 == macs
    assert model.embedding == (1280 if alpha < 1 else 1792)


@pytest.mark.parametrize(("stride", "out", "expanded"), [(1, 4, 12), (2, 4, 12), (1, 6, 12), (1, 4, 4)])
def test_the_inverted_residual_is_the_paper_s(stride: int, out: int, expanded: int) -> None:
    torch.manual_seed(0)
    block = InvertedResidual(4, expanded, out, 3, stride=stride, act="relu6", eps=1e-3).double().eval()
    for name, tensor in block.named_buffers():
        if name.endswith(("mean", "var")):
            tensor.uniform_(0.5, 2.0)
    weights, x = block.state_dict(), 9 * torch.randn(2, 4, 7, 6, dtype=torch.float64)
    kept = x.clone()

    def unit(x: torch.Tensor, name: str, step: int = 1, groups: int = 1) -> torch.Tensor:
        kernel, norm = weights[f"branch.{name}.conv.weight"], f"branch.{name}.norm."
        x = F.conv2d(x, kernel, stride=step, padding=kernel.shape[-1] // 2, groups=groups)
        x = (x - weights[norm + "running_mean"][:, None, None]) / (
            weights[norm + "running_var"][:, None, None] + 1e-3
        ).sqrt()
        return x if name == "project" else x.clamp(0, 6)

    wanted = unit(x, "expand") if expanded != 4 else x
    wanted = unit(unit(wanted, "depthwise", stride, expanded), "project")
    wanted = wanted + x if stride == 1 and out == 4 else wanted
    with torch.no_grad():
        torch.testing.assert_close(block(x), wanted, rtol=1e-10, atol=1e-12)
    assert torch.equal(x, kept)


def test_a_block_can_squeeze_and_can_be_dropped() -> None:
    torch.manual_seed(0)
    squeezing = InvertedResidual(
        4, 8, 4, 3, stride=1, act="swish", squeezed=2, squeeze_act="swish", gate="hard-sigmoid", stochastic_depth=0.5
    )
    assert list(dict(squeezing.branch.named_children())) == ["expand", "depthwise", "squeeze", "project"]
    assert isinstance(squeezing.branch.squeeze.act, torch.nn.SiLU)
    assert isinstance(squeezing.branch.squeeze.gate, torch.nn.Hardsigmoid)
    x = torch.randn(64, 4, 5, 5)
    dropped = (squeezing(x) == x).flatten(1).all(1)
    assert 16 < dropped.sum() < 48
    squeezing.eval()
    assert not (squeezing(x) == x).flatten(1).all(1).any()


def test_a_small_stem_keeps_the_resolution() -> None:
    sides = [[stage.shape[-1] for stage in net(stem=stem).features(images(32, 32))] for stem in ("imagenet", "small")]
    assert sides == [[16, 8, 4, 2, 1], [32, 32, 16, 8, 4]]
    assert [stage.shape[-2:] for stage in net(stem="small").features(images(28, 30))][-1] == (4, 4)


def test_features_are_left_as_they_were() -> None:
    model, x = net(), images(32, 40)
    one_by_one = [model.features(x, [stage])[0] for stage in range(5)]
    assert all(map(torch.equal, model.features(x), one_by_one))


def test_weights_start_as_torchvision_s() -> None:
    torch.manual_seed(0)
    model = MobileNetV2(MobileNetV2Config())
    last, depthwise = model.neck.conv.conv.weight, model.stages[4][1].branch.depthwise.conv.weight
    assert last.std().item() == pytest.approx((2 / 1280) ** 0.5, rel=0.02)
    assert depthwise.std().item() == pytest.approx((2 / (9 * 960)) ** 0.5, rel=0.05)
    for _ in range(2):
        assert model.head.weight.std().item() == pytest.approx(0.01, rel=0.02)
        assert not model.head.bias.any()
        model.reset_head(500)


def test_norm_and_dropout_options_reach_their_layers() -> None:
    model = net(eps=0.25, momentum=0.5, dropout=0.5)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.25, 0.5)}
    assert model.dropout.p == 0.5


def test_names_of_other_projects_reach_every_module_once() -> None:
    model = net()
    modules = {name.rpartition(".")[0] for name in model.state_dict()}
    pairs = [dict(layout.names(model)) for layout in LAYOUTS]
    assert [layout.source for layout in LAYOUTS] == ["torchvision", "timm"]
    assert all(sorted(found.values()) == sorted(modules) for found in pairs)
    assert pairs[0]["features.1.conv.1"] == "stages.0.0.branch.project.conv"
    assert pairs[0]["features.3.conv.2"] == "stages.1.1.branch.project.conv"
    assert pairs[1]["blocks.1.1.conv_pwl"] == "stages.1.1.branch.project.conv"
    assert pairs[1]["blocks.4.0.bn2"] == "stages.3.1.branch.depthwise.norm"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha must be above 0"),
        ({"head_width": 0}, "head_width at least 1"),
        ({"widths": (1,) * 6}, "widths must be 7 numbers of at least 1"),
        ({"depths": (1, 1, 0, 1, 1, 1, 1)}, "depths must be 7 numbers of at least 1"),
        ({"image_size": 0}, "at least 1 x 1 pixels, got image_size=0"),
        ({"dropout": -0.1}, "dropout must lie in"),
        ({"stem": "smal"}, "did you mean 'small'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        registry.configure(VARIANTS["mobilenet-v2"], options)
    assert "\n" not in str(caught.value)
