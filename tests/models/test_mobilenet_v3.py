"""MobileNet V3: both tables row by row, the last stage, options."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lamina import registry
from lamina.errors import UsageError
from lamina.models.mobilenet_v3 import SMALL, VARIANTS, MobileNetV3, MobileNetV3Config
from lamina.weights.mobilenet_v3 import LAYOUTS

TABLES = {  # kernel, expanded, out, squeezed, activation, stride
    "mobilenet-v3-large": """3 16 16 0 RE 1 | 3 64 24 0 RE 2 | 3 72 24 0 RE 1 | 5 72 40 24 RE 2 | 5 120 40 32 RE 1 |
        5 120 40 32 RE 1 | 3 240 80 0 HS 2 | 3 200 80 0 HS 1 | 3 184 80 0 HS 1 | 3 184 80 0 HS 1 | 3 480 112 120 HS 1 |
        3 672 112 168 HS 1 | 5 672 160 168 HS 2 | 5 960 160 240 HS 1 | 5 960 160 240 HS 1""",
    "mobilenet-v3-small": """3 16 16 8 RE 2 | 3 72 24 0 RE 2 | 3 88 24 0 RE 1 | 5 96 40 24 HS 2 | 5 240 40 64 HS 1 |
        5 240 40 64 HS 1 | 5 120 48 32 HS 1 | 5 144 48 40 HS 1 | 5 288 96 72 HS 2 | 5 576 96 144 HS 1 |
        5 576 96 144 HS 1""",
}


def net(name: str = "mobilenet-v3-small", **options: object) -> MobileNetV3:
    torch.manual_seed(0)
    row = VARIANTS[name]
    model = registry.build(row, registry.configure(row, {**row.small, **options}))
    assert isinstance(model, MobileNetV3)
    return model.double().eval()


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("mobilenet-v3-large", [(16, 112, 112), (24, 56, 56), (40, 28, 28), (112, 14, 14), (160, 7, 7)]),
        ("mobilenet-v3-small", [(16, 56, 56), (24, 28, 28), (48, 14, 14), (96, 7, 7)]),
    ],
)
def test_the_table_of_the_paper(name: str, maps: list[tuple[int, ...]]) -> None:
    row = VARIANTS[name]
    with torch.device("meta"), torch.no_grad():
        model = registry.build(row, row.config).eval()
        got = model.features(torch.empty(1, 3, 224, 224))
    assert [tuple(stage.shape[1:]) for stage in got] == maps
    table = []
    for block in (block for stage in model.stages for block in stage):
        depthwise, squeeze = block.branch.depthwise, getattr(block.branch, "squeeze", None)
        act = {torch.nn.ReLU: "RE", torch.nn.Hardswish: "HS"}[type(depthwise.act)]
        squeezed = squeeze.reduce.out_channels if squeeze else 0
        conv, out = depthwise.conv, block.branch.project.conv.out_channels
        table.append(f"{conv.kernel_size[0]} {conv.out_channels} {out} {squeezed} {act} {conv.stride[0]}")
    assert table == [" ".join(line.split()) for line in TABLES[name].split("|")]
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_squeezing_has_relu_and_a_hard_sigmoid() -> None:
    block = net().stages[0][0].branch.squeeze
    assert (type(block.act), type(block.gate)) == (torch.nn.ReLU, torch.nn.Hardsigmoid)


def test_the_linear_layer_with_h_swish_comes_after_the_pooling() -> None:
    model, x = net(), images(64, 48)
    with torch.no_grad():
        last = F.hardswish(model.neck.conv.norm(model.neck.conv.conv(model.features(x, [-1])[0])))
        pooled = last.mean((2, 3)) @ model.neck.linear.weight.T + model.neck.linear.bias
        wanted = pooled * (pooled + 3).clamp(0, 6) / 6
        torch.testing.assert_close(model.embed(x), wanted, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(model(x), wanted @ model.head.weight.T + model.head.bias, rtol=1e-10, atol=1e-12)


def test_alpha_scales_every_width() -> None:
    with torch.device("meta"):
        model = MobileNetV3(MobileNetV3Config(alpha=0.5, blocks=SMALL, head_width=1024))
    widths = [block.branch.project.conv.out_channels for stage in model.stages for block in stage]
    assert widths == [8, 16, 16, 24, 24, 24, 24, 24, 48, 48, 48]
    assert (model.stem.conv.out_channels, model.neck.conv.conv.out_channels, model.embedding) == (8, 288, 512)
    assert model.stages[1][1].branch.depthwise.conv.out_channels == 48  # 88 / 2, rounded to a multiple of 8


@pytest.mark.parametrize("name", VARIANTS)
def test_a_small_stem_keeps_the_resolution(name: str) -> None:
    sides = []
    for stem in ("imagenet", "small"):
        with torch.device("meta"):
            model = MobileNetV3(replace(VARIANTS[name].config, stem=stem)).eval()
            sides.append([stage.shape[-1] for stage in model.features(torch.empty(1, 3, 32, 32))])
    large = [[16, 8, 4, 2, 1], [32, 32, 16, 8, 4]]
    assert sides == (large if name == "mobilenet-v3-large" else [side[1:] for side in large])


def test_features_are_left_as_they_were() -> None:
    model, x = net(), images(32, 40)
    one_by_one = [model.features(x, [stage])[0] for stage in range(len(model.stages))]
    assert all(map(torch.equal, model.features(x), one_by_one))


def test_names_of_other_projects_reach_every_module_once() -> None:
    with torch.device("meta"):
        model = MobileNetV3(MobileNetV3Config(blocks=SMALL, head_width=1024))
    modules = {name.rpartition(".")[0] for name in model.state_dict()}
    pairs = [dict(layout.names(model)) for layout in LAYOUTS]
    assert [layout.source for layout in LAYOUTS] == ["torchvision", "timm"]
    assert all(sorted(found.values()) == sorted(modules) for found in pairs)
    assert pairs[0]["features.1.block.1.fc1"] == "stages.0.0.branch.squeeze.reduce"
    assert pairs[1]["blocks.3.1.se.conv_expand"] == "stages.2.4.branch.squeeze.expand"
    assert pairs[1]["blocks.5.0.bn1"] == "neck.conv.norm"


def test_dropout_stands_before_the_output_layer() -> None:
    assert (net().dropout.p, net(dropout=0.5).dropout.p) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"head_width": 0}, "head_width at least 1"),
        ({"blocks": ()}, "at least one block"),
        ({"blocks": [[4, 16, 16, False, "relu", 1]]}, "an odd kernel, channels of at least 1 and stride 1 or 2"),
        ({"blocks": [[3, 16, 16, False, "relu", 3]]}, "stride 1 or 2"),
        ({"blocks": [[3, 16, 16, False, "rely", 1]]}, "did you mean 'relu'"),
        ({"blocks": [[3, 16, 16]]}, "expected 6 values, got 3"),
        ({"image_size": 0}, "at least 1 x 1 pixels, got image_size=0"),
        ({"stem": "smal"}, "did you mean 'small'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        registry.configure(VARIANTS["mobilenet-v3-small"], options)
    assert "\n" not in str(caught.value)
