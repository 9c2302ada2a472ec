"""Swin: shapes, windows against an attention over the whole map, options, the names of other projects."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lamina import registry
from lamina.errors import UsageError
from lamina.models.swin import VARIANTS, Block, PatchMerging, Swin, SwinConfig, WindowAttention
from lamina.weights.swin import LAYOUTS

REPORTED = [  # accuracy, rate of stochastic depth
    ("swin-tiny", 81.2, 0.2),
    ("swin-small", 83.2, 0.3),
    ("swin-base", 83.5, 0.5),
    ("swin-base-384", 84.5, 0.5),
    ("swin-large", 86.3, 0.2),
]


def model(**options: Any) -> Swin:
    row = VARIANTS["swin-tiny"]
    torch.manual_seed(0)
    net = registry.build(row, registry.configure(row, {**row.small, **options}))
    assert isinstance(net, Swin)
    return net.double().eval()


def on_meta(name: str) -> Swin:
    with torch.device("meta"):
        return Swin(VARIANTS[name].config)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def window_attention(window: int, *, shifted: bool, width: int = 8, heads: int = 2) -> WindowAttention:
    """One whose weights are all of order one."""
    part = WindowAttention(width, heads, window, shifted).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in part.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * 0.5)
    return part


@pytest.mark.parametrize(("name", "top1", "rate"), REPORTED)
def test_what_the_paper_reports(name: str, top1: float, rate: float) -> None:
    row = VARIANTS[name]
    assert row.card.reported[0].value == top1
    assert row.config.stochastic_depth == rate


def test_stages_of_the_paper() -> None:
    maps = on_meta("swin-tiny").features(torch.empty(2, 3, 224, 224, device="meta"))
    assert [tuple(x.shape) for x in maps] == [(2, 96, 56, 56), (2, 192, 28, 28), (2, 384, 14, 14), (2, 768, 7, 7)]
    for name in VARIANTS:
        config = VARIANTS[name].config
        assert {config.width * 2**stage // heads for stage, heads in enumerate(config.heads)} == {32}


def test_cost_is_linear_in_the_number_of_pixels() -> None:
    with torch.device("meta"):
        net = Swin(SwinConfig(num_classes=0, depths=(2, 2), heads=(3, 6)))
    counts = []
    for side in (112, 224):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty(1, 3, side, side, device="meta"))
        counts.append(counter.get_total_flops())
    assert counts[1] == 4 * counts[0]


def over_the_whole_map(part: WindowAttention, x: Tensor) -> Tensor:
    """The same attention without windows: every position scores every other, those of other windows are left out."""
    batch, height, width, channels = x.shape
    side, heads = part.window, part.heads
    full = [math.ceil(length / side) * side for length in (height, width)]
    step = [side // 2 if part.shifted and length > side else 0 for length in (height, width)]
    x = F.pad(x, (0, 0, 0, full[1] - width, 0, full[0] - height)).reshape(batch, -1, channels)
    places = torch.cartesian_prod(*(torch.arange(length) for length in full))
    moved = (places - torch.tensor(step)) % torch.tensor(full)  # where a position lies after the shift
    wrapped = places < torch.tensor(step)
    same_window = (moved[:, None] // side == moved // side).all(-1)
    same_origin = (wrapped[:, None] == wrapped).all(-1)
    offset = moved[:, None] - moved + side - 1
    row = (offset[..., 0] * (2 * side - 1) + offset[..., 1]).clamp(0, (2 * side - 1) ** 2 - 1)
    scores = part.bias.table[row].permute(2, 0, 1) - 100.0 * ~same_origin
    scores = scores.masked_fill(~same_window, -math.inf)
    q, k, v = part.qkv(x).reshape(batch, -1, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
    attn = (q @ k.mT / math.sqrt(channels // heads) + scores).softmax(-1)
    out: Tensor = part.proj((attn @ v).transpose(1, 2).reshape(batch, -1, channels))
    return out.reshape(batch, *full, channels)[:, :height, :width]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("height", "width", "window"), [(8, 12, 4), (7, 10, 3), (3, 9, 4), (4, 4, 4), (2, 3, 5)])
def test_windows_against_attention_over_the_whole_map(height: int, width: int, window: int, shifted: bool) -> None:
    part = window_attention(window, shifted=shifted)
    x = normal(2, height, width, 8)
    torch.testing.assert_close(part(x), over_the_whole_map(part, x), rtol=1e-11, atol=1e-12)


def test_a_map_that_one_window_spans_is_not_shifted() -> None:
    x = normal(2, 4, 4, 8)
    assert torch.equal(window_attention(4, shifted=True)(x), window_attention(4, shifted=False)(x))
    x = normal(2, 8, 8, 8)
    assert not torch.allclose(window_attention(4, shifted=True)(x), window_attention(4, shifted=False)(x))


@pytest.mark.parametrize(
    ("shifted", "rows"),
    [(False, [0, 1, 2, 3]), (True, [2, 3, 4, 5])],
)
def test_a_position_sees_its_window_and_nothing_else(shifted: bool, rows: list[int]) -> None:
    part = window_attention(4, shifted=shifted)
    x = normal(1, 8, 8, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(part(x)[0, 3, 3].sum(), x)
    seen = gradient[0].abs().sum(-1) > 1e-30  # what is masked has a weight of exp(-100) = 4e-44
    wanted = torch.zeros(8, 8, dtype=torch.bool)
    wanted[rows[0] : rows[-1] + 1, rows[0] : rows[-1] + 1] = True
    assert torch.equal(seen, wanted)


def test_the_corner_sees_nothing_of_the_other_side() -> None:
    part = window_attention(4, shifted=True)
    x = normal(1, 8, 8, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(part(x)[0, 0, 0].sum(), x)
    seen = gradient[0].abs().sum(-1) > 1e-30
    assert seen[:2, :2].all()
    assert int(seen.sum()) == 4


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 3)])
def test_merging_puts_the_neighbours_of_a_column_together(height: int, width: int) -> None:
    merging = PatchMerging(2).double()
    x = normal(1, height, width, 2)
    got = merging(x)
    assert got.shape == (1, math.ceil(height / 2), math.ceil(width / 2), 4)
    padded = F.pad(x, (0, 0, 0, 1, 0, 1))
    row, column = got.shape[1] - 1, got.shape[2] - 1
    four = [padded[0, 2 * row + down, 2 * column + right] for down, right in ((0, 0), (1, 0), (0, 1), (1, 1))]
    wanted = merging.reduction(F.layer_norm(torch.cat(four), (8,)))
    torch.testing.assert_close(got[0, row, column], wanted)
    assert merging.reduction.bias is None


def test_attention_maps_and_their_places() -> None:
    net = model(depths=(2, 2), heads=(2, 4), window=3)
    x = normal(2, 3, 34, 28)  # maps of 8 x 7, filled up to 9 x 9, then of 4 x 4, filled up to 6 x 6
    for stage, block, rows, columns, windows in ((0, 0, 8, 7, 9), (0, 1, 8, 7, 9), (1, -1, 4, 4, 4)):
        wraps = (stage, block) == (0, 1)  # in the second stage only what was filled up lies beyond the edge
        maps = net.attention_maps(x, stage, block)
        places = net.window_positions(34, 28, stage, block)
        assert maps.shape == (2 * windows, (2, 4)[stage], 9, 9)
        assert places.shape == (windows, 9)
        torch.testing.assert_close(maps.sum(-1), torch.ones_like(maps[..., 0]))
        assert sorted(places[places >= 0].tolist()) == list(range(rows * columns))
        far = (places[:, :, None] // columns - places[:, None] // columns).abs() > 2
        far |= (places[:, :, None] % columns - places[:, None] % columns).abs() > 2
        far &= (places[:, :, None] >= 0) & (places[:, None] >= 0)
        assert bool(far.any()) == wraps
        weights = maps.unflatten(0, (2, windows)).amax((0, 2))  # type: ignore[no-untyped-call]
        assert not (weights[far] > 1e-30).any()
        assert (weights[~far] > 1e-30).any()
    assert torch.equal(net.attention_maps(x, -1, 1), net.attention_maps(x, 1, 1))
    for stage, block in ((2, 0), (0, 2)):
        with pytest.raises(ValueError, match=r"there is no (stage|block) 2"):
            net.attention_maps(x, stage, block)


def test_attention_maps_are_those_of_the_forward() -> None:
    part = window_attention(3, shifted=True)
    x = normal(2, 7, 5, 8)
    out, maps = part.attend(x, need_map=True)
    assert maps is not None
    torch.testing.assert_close(out, part(x), rtol=1e-12, atol=1e-12)
    net = model(depths=(1, 2), heads=(2, 4))
    before = net.features(normal(2, 3, 32, 32), [0])[0].permute(0, 2, 3, 1)
    block = net.stages[1].get_submodule("blocks.0")
    assert isinstance(block, Block)
    within = net.stages[1].get_submodule("downsample")(before)
    _, wanted = block.attn.attend(block.norm1(within), need_map=True)
    assert wanted is not None
    assert torch.equal(net.attention_maps(normal(2, 3, 32, 32), 1, 0).flatten(), wanted.flatten())


@pytest.mark.parametrize("size", [28, 32])
@pytest.mark.parametrize("window", [4, 7])
def test_small_images(size: int, window: int) -> None:
    x = normal(2, 1, size, size)
    for stem, patch in (("imagenet", 4), ("small", 2)):
        net = model(stem=stem, in_channels=1, image_size=size, window=window, depths=(2, 2, 2), heads=(1, 2, 4))
        first = size // patch
        sides = [tuple(maps.shape[2:]) for maps in net.features(x)]
        assert sides == [(first,) * 2, ((first + 1) // 2,) * 2, ((first + 3) // 4,) * 2]
        assert net(x).shape == (2, 1000)
        assert net.min_size == patch


def test_start_and_stochastic_depth() -> None:
    net = model(width=64, window=7)
    for part in net.modules():
        if isinstance(part, nn.Linear):
            assert 0.017 < float(part.weight.detach().std()) < 0.023
            assert part.bias is None or not part.bias.any()
    rates = [part.stochastic_depth.rate for part in on_meta("swin-tiny").modules() if isinstance(part, Block)]
    assert rates == pytest.approx([0.2 * block / 11 for block in range(12)])


def test_stochastic_depth_leaves_both_branches_of_a_sample_out() -> None:
    block = Block(8, 2, 4, False, 0.999).double().train()
    x = normal(4, 8, 8, 8)
    torch.manual_seed(0)
    assert torch.equal(block(x), x)
    assert not torch.allclose(block.eval()(x), x)


def test_dropout_acts_on_the_embedding_in_training_only() -> None:
    net = model(dropout=0.9, num_classes=0)
    x = normal(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net(x), net.embed(x))
        assert float((net.train()(x) == 0).double().mean()) > 0.6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (2, 2)}, "one number per stage"),
        ({"depths": (), "heads": ()}, "one number per stage"),
        ({"window": 0}, "at least 1"),
        ({"width": 97}, "width 97 of stage 0 is not divisible by its 3 heads"),
        ({"heads": (3, 6, 12, 25)}, "width 768 of stage 3 is not divisible by its 25 heads"),
        ({"image_size": 3}, "at least 4 x 4 pixels, got image_size=3"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must lie in"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        SwinConfig(**options)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        registry.configure(VARIANTS["swin-tiny"], options)


NAMES = {
    "torchvision": {
        "features.0.0.weight": "stem.conv.weight",
        "features.0.2.bias": "stem.norm.bias",
        "features.4.reduction.weight": "stages.2.downsample.reduction.weight",
        "features.5.4.attn.relative_position_bias_table": "stages.2.blocks.4.attn.bias.table",
        "features.7.1.mlp.3.weight": "stages.3.blocks.1.mlp.contract.weight",
        "norm.weight": "neck.norm.weight",
        "head.bias": "head.bias",
    },
    "timm": {
        "patch_embed.proj.weight": "stem.conv.weight",
        "layers.1.downsample.reduction.weight": "stages.1.downsample.reduction.weight",
        "layers.2.blocks.5.mlp.fc1.weight": "stages.2.blocks.5.mlp.expand.weight",
        "head.fc.weight": "head.weight",
    },
    "microsoft/Swin-Transformer": {
        "patch_embed.norm.weight": "stem.norm.weight",
        "layers.0.downsample.norm.weight": "stages.1.downsample.norm.weight",
        "layers.2.downsample.reduction.weight": "stages.3.downsample.reduction.weight",
        "layers.3.blocks.1.attn.qkv.bias": "stages.3.blocks.1.attn.qkv.bias",
        "head.weight": "head.weight",
    },
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.source)
def test_names_of_other_projects_are_one_to_one(layout: Any) -> None:
    net = on_meta("swin-tiny")
    translation = layout.translation(net)
    for theirs, ours in NAMES[layout.source].items():
        assert translation.ours(theirs) == ours
    assert len(set(translation.pairs.values())) == len(translation.pairs)
    for name in net.state_dict():
        covering = [ours for ours in translation.pairs.values() if name == ours or name.startswith(f"{ours}.")]
        assert len(covering) == 1, name
    assert translation.ignores("layers.0.blocks.1.attn_mask")
    assert translation.ignores("features.1.0.attn.relative_position_index")
    assert not translation.ignores("features.1.0.attn.relative_position_bias_table")
