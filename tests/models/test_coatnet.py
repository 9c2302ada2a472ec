"""CoAtNet: the shapes of its table, its options, attention against plain loops, names of timm's parts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.models.coatnet import VARIANTS, AttentionBlock, CoAtNet, MBConv, RelativeAttention, Shortcut
from lamina.registry import build, configure
from lamina.weights.coatnet import LAYOUTS

ROW = VARIANTS["coatnet-0"]


def small(**options: Any) -> CoAtNet:
    torch.manual_seed(0)
    model = build(ROW, configure(ROW, {**ROW.small, **options}))
    assert isinstance(model, CoAtNet)
    return model


def test_the_stages_are_those_of_the_papers_table() -> None:
    with torch.device("meta"):
        model = build(ROW, ROW.config)
        assert isinstance(model, CoAtNet)
        x = torch.empty(1, 3, 224, 224)
        assert model.stem(x).shape == (1, 64, 112, 112)
        shapes = [tuple(stage.shape[1:]) for stage in model.features(x)]
    assert shapes == [(96, 56, 56), (192, 28, 28), (384, 14, 14), (768, 7, 7)]
    assert [[type(block) for block in stage.children()] for stage in model.stages] == [
        [MBConv] * 2,
        [MBConv] * 3,
        [AttentionBlock] * 5,
        [AttentionBlock] * 2,
    ]
    heads = {block.heads: tuple(block.position.table.shape) for block in _attentions(model)}
    assert heads == {12: (27 * 27, 12), 24: (13 * 13, 24)}


def _attentions(model: nn.Module) -> list[RelativeAttention]:
    return [module for module in model.modules() if isinstance(module, RelativeAttention)]


def test_attention_is_that_of_plain_loops() -> None:
    """Heads, scale, the offset (query - key) that a bias belongs to, each written out."""
    torch.manual_seed(0)
    side, width, heads, dim = 3, 12, 3, 4
    layer = RelativeAttention(width, width, dim, side).double()
    nn.init.normal_(layer.position.table)
    x = torch.randn(1, side * side, width, dtype=torch.float64)
    qkv = x[0] @ layer.qkv.weight.T + layer.qkv.bias
    joined = torch.empty(side * side, width, dtype=torch.float64)
    for head in range(heads):
        own = qkv[:, 3 * dim * head : 3 * dim * (head + 1)]
        q, k, v = own[:, :dim], own[:, dim : 2 * dim], own[:, 2 * dim :]
        scores = torch.empty(side * side, side * side, dtype=torch.float64)
        for i in range(side * side):
            for j in range(side * side):
                down, right = i // side - j // side + side - 1, i % side - j % side + side - 1
                scores[i, j] = q[i] @ k[j] / math.sqrt(dim) + layer.position.table[down * (2 * side - 1) + right, head]
        joined[:, dim * head : dim * (head + 1)] = scores.softmax(-1) @ v
    torch.testing.assert_close(layer(x)[0], joined @ layer.project.weight.T + layer.project.bias, rtol=0, atol=1e-12)


def test_the_shortcut_halves_by_the_mean_of_what_is_there() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert Shortcut(1, 1)(x).tolist() == [[[[2.0, 3.5], [6.5, 8.0]]]]


def test_both_branches_of_an_attention_block_see_the_map_halved() -> None:
    block = AttentionBlock(8, 8, 4, side=2, stride=2, drop=0.0)
    nn.init.zeros_(block.attention.project.weight)
    nn.init.zeros_(block.mlp[2].weight)
    nn.init.zeros_(block.mlp[2].bias)
    seen: list[Tensor] = []
    block.attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.randn(2, 8, 4, 4)
    halved = nn.functional.avg_pool2d
    torch.testing.assert_close(block(x), halved(x, 2))
    normed_BHWC = nn.functional.layer_norm(x.permute(0, 2, 3, 1), (8,), eps=1e-6)
    torch.testing.assert_close(seen[0], halved(normed_BHWC.permute(0, 3, 1, 2), 2).flatten(2).mT)


def test_the_small_stem_keeps_the_size() -> None:
    x = torch.randn(2, 3, 32, 32)
    assert small(stem="small").stem(x).shape == (2, 8, 32, 32)
    assert small(stem="imagenet").stem(x).shape == (2, 8, 16, 16)
    assert small(stem="imagenet").features(x)[-1].shape == (2, 24, 1, 1)


def test_widths_depths_and_head_dim() -> None:
    model = small(widths=(8, 8, 12, 18), depths=(1, 1, 1, 3), head_dim=6)
    assert [len(stage) for stage in model.stages] == [1, 1, 1, 3]
    assert [block.heads for block in _attentions(model)] == [2, 3, 3, 3]
    assert [stage.shape[1] for stage in model.features(torch.randn(1, 3, 32, 32))] == [8, 8, 12, 18]


def test_stochastic_depth_rises_from_the_first_block_to_the_last() -> None:
    model = small(stochastic_depth=0.5, depths=(1, 2, 2, 1))
    rates = [block.drop.rate for stage in model.stages for block in stage.children()]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    x = torch.randn(4, 3, 32, 32)
    one, other = model.train().features(x)[-1], model.features(x)[-1]
    assert not torch.equal(one, other)


def test_dropout_acts_before_the_output_layer_in_training_only() -> None:
    model, x = small(dropout=0.5), torch.randn(2, 3, 32, 32)
    assert model.dropout.p == 0.5
    assert torch.equal(model.eval()(x), model(x))


def test_only_images_of_the_configs_size_are_taken() -> None:
    model = small()
    for shape in ((2, 3, 32, 36), (2, 3, 64, 64)):
        with pytest.raises(ValueError, match=r"expected images of shape \(batch, 3, 32, 32\), got"):
            model(torch.randn(shape))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"widths": (8, 12, 16)}, "widths': expected 4 values"),
        ({"widths": (8, 12, 16, -8)}, "widths must be four numbers of at least 1"),
        ({"depths": (1, 0, 1, 1)}, "depths must be four numbers of at least 1"),
        ({"head_dim": 5}, "multiples of head_dim=5"),
        ({"head_dim": 0}, "head_dim must be at least 1"),
        ({"image_size": 0}, "image_size must be at least 1"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must lie in"),
        ({"stem": "tiny"}, "stem"),
    ],
)
def test_bad_options_are_told_in_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        configure(ROW, {**ROW.small, **options})
    assert "\n" not in str(raised.value)


def test_weights_start_as_those_of_the_reference() -> None:
    model = small(stem_width=64, widths=(64, 64, 64, 64), head_dim=32)
    std = {name: weight.std().item() for name, weight in model.named_parameters()}
    assert std["stem.3.weight"] == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.1)
    assert std["stages.0.0.depthwise.weight"] == pytest.approx(math.sqrt(2 / 9), rel=0.1)  # fan-out of one group
    assert std["stages.0.0.squeeze.reduce.weight"] == pytest.approx(math.sqrt(2 / 16), rel=0.1)
    assert std["stages.2.0.attention.qkv.weight"] == pytest.approx(math.sqrt(2 / (64 + 192)), rel=0.1)
    assert std["stages.2.0.attention.position.table"] == pytest.approx(0.02, rel=0.2)
    assert 0 < std["stages.2.0.mlp.0.bias"] < 2e-6
    assert not model.stages[0][0].project.bias.any()
    assert not model.stages[2][0].attention.project.bias.any()


THEIRS = """stem.conv1.weight stem.norm1.running_var stem.conv2.weight stages.0.blocks.0.shortcut.expand.bias
stages.1.blocks.1.pre_norm.weight stages.1.blocks.0.conv1_1x1.weight stages.1.blocks.0.norm1.bias
stages.1.blocks.0.conv2_kxk.weight stages.1.blocks.0.norm2.running_mean stages.1.blocks.0.se.fc1.bias
stages.1.blocks.0.se.fc2.weight stages.1.blocks.0.conv3_1x1.bias stages.2.blocks.0.norm1.norm.weight
stages.2.blocks.1.norm1.weight stages.3.blocks.0.attn.qkv.weight stages.3.blocks.0.attn.proj.bias
stages.3.blocks.0.attn.rel_pos.relative_position_bias_table stages.2.blocks.1.norm2.bias
stages.2.blocks.1.mlp.fc1.weight stages.2.blocks.1.mlp.fc2.bias head.norm.weight head.pre_logits.fc.weight
head.fc.bias"""


def test_timms_names_are_translated() -> None:
    model = small(depths=(1, 2, 2, 1), stem_width=12)
    (layout,) = LAYOUTS
    translation = layout.translation(model)
    ours: dict[str, Tensor] = model.state_dict()
    for name in THEIRS.split():
        assert translation.ours(name) in ours, name
    assert {translation.ours(str(translation.theirs(name))) for name in ours} == set(ours), "one to one"
    begun = {translation.ours(f"{theirs}.weight") for theirs, _ in layout.names(model)}
    weights = {name for name in ours if name.endswith(".weight")}
    assert weights <= begun, "every module has a name of theirs"
