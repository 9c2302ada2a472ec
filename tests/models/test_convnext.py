"""ConvNeXt: shapes, the block against plain formulas, options, the names of other projects."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina import registry
from lamina.errors import UsageError
from lamina.models.convnext import VARIANTS, Block, ConvNeXt, ConvNeXtConfig
from lamina.weights.convnext import LAYOUTS

REPORTED = [  # accuracy, rate of stochastic depth
    ("convnext-tiny", 82.1, 0.1),
    ("convnext-small", 83.1, 0.4),
    ("convnext-base", 83.8, 0.5),
    ("convnext-large", 84.3, 0.5),
    ("convnext-xlarge", 87.0, 0.2),
]


def model(**options: Any) -> ConvNeXt:
    row = VARIANTS["convnext-tiny"]
    net = registry.build(row, registry.configure(row, {**row.small, **options}))
    assert isinstance(net, ConvNeXt)
    return net


def on_meta(name: str, **options: Any) -> ConvNeXt:
    row = VARIANTS[name]
    with torch.device("meta"):
        net = registry.build(row, registry.configure(row, options))
    assert isinstance(net, ConvNeXt)
    return net


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("name", "top1", "rate"), REPORTED)
def test_what_the_paper_reports(name: str, top1: float, rate: float) -> None:
    row = VARIANTS[name]
    assert row.card.reported[0].value == top1
    assert row.config.stochastic_depth == rate


@pytest.mark.parametrize(("name", "parameters"), [("convnext-large", 229_799_953), ("convnext-xlarge", 392_900_177)])
def test_counts_with_the_head_of_imagenet_22k(name: str, parameters: int) -> None:
    assert sum(weight.numel() for weight in on_meta(name, num_classes=21_841).parameters()) == parameters


def test_stages_of_the_paper() -> None:
    maps = on_meta("convnext-tiny").features(torch.empty(2, 3, 224, 224, device="meta"))
    assert [tuple(x.shape) for x in maps] == [(2, 96, 56, 56), (2, 192, 28, 28), (2, 384, 14, 14), (2, 768, 7, 7)]


def test_block_against_plain_formulas() -> None:
    block = Block(6, 0.5, 0.0).double()
    with torch.no_grad():
        for weight in block.parameters():
            weight.copy_(torch.randn_like(weight) * 0.5)
    x = normal(2, 6, 9, 8)
    y = torch.zeros_like(x) + block.conv.bias[:, None, None]  # type: ignore[index]
    padded = F.pad(x, (3, 3, 3, 3))
    for row in range(7):
        for column in range(7):
            kernel = block.conv.weight[:, 0, row, column, None, None]
            y = y + kernel * padded[:, :, row : row + 9, column : column + 8]
    mean, variance = y.mean(1, keepdim=True), y.var(1, correction=0, keepdim=True)
    y = (y - mean) / (variance + 1e-6).sqrt() * block.norm.weight[:, None, None] + block.norm.bias[:, None, None]
    y = torch.einsum("bchw,dc->bdhw", y, block.expand.weight) + block.expand.bias[:, None, None]
    y = y * 0.5 * (1 + torch.erf(y / 2**0.5))
    y = torch.einsum("bchw,dc->bdhw", y, block.contract.weight) + block.contract.bias[:, None, None]
    torch.testing.assert_close(block(x), x + block.gamma[:, None, None] * y, rtol=1e-12, atol=1e-12)


def test_block_is_nearly_the_identity_at_the_start() -> None:
    torch.manual_seed(0)
    x = normal(2, 16, 4, 4)
    for scale, low, high in ((1e-6, 1e-9, 1e-5), (1.0, 1e-2, 10.0)):
        net = model(layer_scale=scale).double()
        gammas: list[Tensor] = [part.gamma for part in net.modules() if isinstance(part, Block)]
        torch.testing.assert_close(torch.cat(gammas), torch.full((40,), scale, dtype=torch.float64))
        block = net.stages[1].get_submodule("blocks.0")
        assert low < float((block(x) - x).detach().abs().max()) < high


def test_stochastic_depth_rises_to_its_rate_at_the_last_block() -> None:
    rates = [part.stochastic_depth.rate for part in on_meta("convnext-tiny").modules() if isinstance(part, Block)]
    assert rates == pytest.approx([0.1 * block / 17 for block in range(18)])


def test_weights_at_the_start() -> None:
    torch.manual_seed(0)
    net = model(widths=(64, 128))
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            assert 0.017 < float(part.weight.detach().std()) < 0.023, part
            assert part.bias is not None
            assert not part.bias.any()
    net.reset_head(50)
    assert 0.017 < float(net.head.weight.detach().std()) < 0.023  # type: ignore[operator]


@pytest.mark.parametrize("size", [28, 32])
def test_small_stem_keeps_more_positions(size: int) -> None:
    x = normal(2, 3, size, size)
    sides = [tuple(maps.shape[2:]) for maps in model(stem="small", image_size=size).double().features(x)]
    assert sides == [(size // 2,) * 2, (size // 4,) * 2]
    sides = [tuple(maps.shape[2:]) for maps in model(image_size=size).double().features(x)]
    assert sides == [(size // 4,) * 2, (size // 8,) * 2]


def test_smallest_images() -> None:
    assert on_meta("convnext-tiny").min_size == 32
    assert on_meta("convnext-tiny", stem="small").min_size == 16
    net = model(stem="small", image_size=4).double()
    assert net(normal(1, 3, 4, 4)).shape == (1, 1000)
    with pytest.raises(ValueError, match="at least 4 x 4 pixels, got 4 x 3"):
        net(normal(1, 3, 4, 3))


def test_dropout_acts_on_the_embedding_in_training_only() -> None:
    net = model(dropout=0.9, num_classes=0).double()
    x = normal(2, 3, 32, 32)
    assert torch.equal(net.eval()(x), net.embed(x))
    assert float((net.train()(x) == 0).double().mean()) > 0.6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (3, 3), "widths": (96,)}, "one number per stage"),
        ({"depths": ()}, "one number per stage"),
        ({"depths": (1, 0), "widths": (8, 16)}, "at least 1"),
        ({"layer_scale": 0.0}, "layer_scale must be positive, got 0.0"),
        ({"image_size": 31}, "at least 32 x 32 pixels, got image_size=31"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must lie in"),
        ({"dropout": -0.1}, "dropout must lie in"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        ConvNeXtConfig(**options)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        registry.configure(VARIANTS["convnext-tiny"], options)


NAMES = {
    "torchvision": {
        "features.0.0.weight": "stem.conv.weight",
        "features.4.1.bias": "stages.2.downsample.conv.bias",
        "features.1.2.layer_scale": "stages.0.blocks.2.gamma",
        "features.7.1.block.5.weight": "stages.3.blocks.1.contract.weight",
        "classifier.0.weight": "neck.norm.weight",
    },
    "timm": {
        "stages.1.downsample.0.weight": "stages.1.downsample.norm.weight",
        "stages.2.blocks.8.conv_dw.weight": "stages.2.blocks.8.conv.weight",
        "stages.0.blocks.0.gamma": "stages.0.blocks.0.gamma",
        "stages.3.blocks.2.mlp.fc1.bias": "stages.3.blocks.2.expand.bias",
        "head.norm.bias": "neck.norm.bias",
        "head.fc.weight": "head.weight",
    },
    "facebookresearch/ConvNeXt": {
        "downsample_layers.0.1.weight": "stem.norm.weight",
        "downsample_layers.3.1.weight": "stages.3.downsample.conv.weight",
        "stages.2.5.dwconv.bias": "stages.2.blocks.5.conv.bias",
        "stages.1.0.pwconv2.weight": "stages.1.blocks.0.contract.weight",
        "norm.weight": "neck.norm.weight",
        "head.bias": "head.bias",
    },
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.source)
def test_names_of_other_projects_are_one_to_one(layout: Any) -> None:
    net = on_meta("convnext-tiny")
    translation = layout.translation(net)
    for theirs, ours in NAMES[layout.source].items():
        assert translation.ours(theirs) == ours
    assert len(set(translation.pairs.values())) == len(translation.pairs)
    parts = {ours: theirs for theirs, ours in translation.pairs.items()}
    tensors = [name for name in net.state_dict() if name in parts or name.rpartition(".")[0] in parts]
    assert tensors == list(net.state_dict())
    assert len(tensors) == 182
