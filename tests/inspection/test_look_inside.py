"""Effective receptive fields, attention and the whole inspection, against what can be calculated by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.inspection import (
    attention_maps,
    block_attention,
    effective_receptive_field,
    feature_maps,
    first_filters,
    inspect_image,
    receptive_field,
)
from lamina.inspection.erf import centre, radius

SMALL_SWIN = {
    "image_size": 20, "width": 8, "depths": (2, 2), "heads": (2, 4), "window": 3, "stem": "small", "num_classes": 3,
}  # fmt: skip
SMALL_COATNET = {
    "image_size": 32, "stem": "small", "stem_width": 8, "widths": (8, 8, 16, 16), "depths": (1, 1, 2, 1),
    "head_dim": 8, "num_classes": 3,
}  # fmt: skip


class Boxes(nn.Module):
    """Convolutions by 3x3 of equal weights: their field is a box folded with itself."""

    def __init__(self, layers: int, channels: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(1 if i == 0 else channels, channels, 3, padding=1) for i in range(layers))
        for layer in self.layers:
            nn.init.constant_(layer.weight, 1.0)

    def features(self, x: Tensor, stages: list[int] | None = None) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return [maps[stage] for stage in (range(len(maps)) if stages is None else stages)]


def test_the_field_of_boxes_is_a_binomial() -> None:
    fields = effective_receptive_field(Boxes(4), (21, 21))
    line = torch.ones(1)
    for field in fields:
        line = F.conv1d(line.view(1, 1, -1), torch.ones(1, 1, 3), padding=2).flatten()
        expected = torch.zeros(21)
        reach = len(line) // 2
        expected[10 - reach : 11 + reach] = line / line.sum()
        torch.testing.assert_close(field, torch.outer(expected, expected))
        assert centre(field) == pytest.approx((10, 10))
    assert radius(fields[0]) == 1.0
    inner = sum(float(fields[3][y, x]) for y in range(7, 14) for x in range(7, 14))
    assert radius(fields[3]) == (3.0 if inner >= 0.95 else 4.0)
    assert radius(fields[3], 1e-9) == 0.0


def test_the_field_lies_within_the_theoretical_one() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("resnet20", blocks=(1, 1, 1), widths=(4, 4, 4))
    (field,) = effective_receptive_field(model, (48, 48), [1])
    allowed = receptive_field(model, (3, 48, 48), "stages.1")
    assert allowed is not None
    rows = field.sum(1).nonzero().flatten()
    first = allowed.start[0] + 12 * allowed.jump[0]  # the middle of 24 rows
    assert (int(rows[0]), int(rows[-1])) == (first, first + allowed.size[0] - 1)
    assert float(field.sum()) == pytest.approx(1.0, rel=1e-4)
    assert 2 * radius(field) + 1 <= allowed.size[0]


def test_samples_pass_one_at_a_time_and_give_what_a_batch_gives() -> None:
    """A large net would hold its maps of all of them at once, gigabytes."""
    torch.manual_seed(0)
    model = lamina.create_model("resnet20", blocks=(1, 1, 1), widths=(4, 4, 4)).double().eval()
    seen: list[int] = []
    model.stem.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    (field,) = effective_receptive_field(model, (16, 16), [1], samples=3, seed=7)
    assert seen == [1, 1, 1]
    generator = torch.Generator().manual_seed(7)
    x = torch.randn((3, 3, 16, 16), generator=generator).double().requires_grad_()
    (maps,) = model.features(x, [1])
    signs = torch.randint(0, 2, maps.shape[:2], generator=generator) * 2 - 1
    (slope,) = torch.autograd.grad((maps[:, :, 4, 4] * signs).sum(), x)
    size = slope.square().sum(1).mean(0).sqrt()
    torch.testing.assert_close(field, size / size.sum())


def test_channels_that_add_up_to_a_constant_still_have_a_field() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("convnext-tiny", stem="small", depths=(1, 1), widths=(8, 16), image_size=32)
    fields = effective_receptive_field(model, (32, 32))
    # at its start each block is almost its shortcut: what a unit sees is its own patch of 2 x 2 pixels
    assert float(fields[0][16:18, 16:18].sum()) > 0.99
    assert float(fields[1][16:20, 16:20].sum()) > 0.99


def test_a_field_of_zeros_has_no_radius() -> None:
    model = Boxes(1)
    nn.init.zeros_(model.layers[0].weight)
    (field,) = effective_receptive_field(model, (9, 9))
    assert not field.any()
    assert math.isnan(radius(field))


def test_the_field_is_a_function_of_the_seed() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("resnet20", blocks=(1, 1, 1), widths=(4, 4, 4)).train()
    one, two, other = (effective_receptive_field(model, (16, 16), [-1], seed=seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


def test_attention_maps_are_those_that_swin_gives() -> None:
    torch.manual_seed(0)
    model, x = lamina.create_model("swin-tiny", **SMALL_SWIN).eval(), torch.randn(2, 3, 20, 20)
    found = attention_maps(model, x)
    assert list(found) == [f"stages.{stage}.blocks.{block}.attn" for stage in (0, 1) for block in (0, 1)]
    for stage in (0, 1):
        for block in (0, 1):
            with torch.no_grad():
                expected = model.attention_maps(x, stage, block)  # type: ignore[operator]
            attn = found[f"stages.{stage}.blocks.{block}.attn"]
            torch.testing.assert_close(attn.reshape(expected.shape), expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_block_attention_lies_on_the_map() -> None:
    torch.manual_seed(0)
    model, x = lamina.create_model("swin-tiny", **SMALL_SWIN).eval(), torch.randn(1, 3, 20, 20)
    plain, shifted, *_ = block_attention(model, x)
    assert plain.shape == (10, 10)  # patches of 2, filled up to 12 by windows of 3
    window_HW = plain.windows()
    assert torch.equal(window_HW, torch.arange(10)[:, None] // 3 * 4 + torch.arange(10) // 3)
    assert not torch.equal(shifted.windows(), window_HW)
    for row in (plain, shifted):
        seen_hHW = row.seen_from(4, 5)
        assert seen_hHW.shape == (2, 10, 10)
        torch.testing.assert_close(seen_hHW.sum((1, 2)), torch.ones(2))
        assert torch.equal(seen_hHW[0] > 0, row.windows() == row.windows()[4, 5])


def test_coatnet_attends_to_the_whole_map() -> None:
    torch.manual_seed(0)
    model, x = lamina.create_model("coatnet-0", **SMALL_COATNET).eval(), torch.randn(1, 3, 32, 32)
    found = block_attention(model, x)
    assert [(row.stage, row.shape) for row in found] == [(2, (4, 4)), (2, (4, 4)), (3, (2, 2))]
    assert not found[0].windows().any()
    seen_hHW = found[0].seen_from(1, 2)
    assert seen_hHW.shape == (2, 4, 4)
    torch.testing.assert_close(seen_hHW.sum((1, 2)), torch.ones(2))
    # by hand: what the block's linear layer and bias say
    block = model.stages[2][0]  # type: ignore[index]
    with torch.no_grad():
        h = block.pool(block.norm1(feature_maps(model, x, [1])[0].permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        q, k, _ = block.attention.qkv(h.flatten(2).mT).unflatten(-1, (2, -1)).transpose(1, 2).chunk(3, dim=-1)
        scores = q @ k.mT / math.sqrt(8) + block.attention.position()
    torch.testing.assert_close(seen_hHW.flatten(1), scores.softmax(-1)[0, :, 1 * 4 + 2])


def test_a_model_without_attention_has_none() -> None:
    model = lamina.create_model("lenet5")
    assert attention_maps(model, torch.randn(1, 1, 32, 32)) == {}
    assert block_attention(model, torch.randn(1, 1, 32, 32)) == []


def test_the_first_filters_are_a_copy() -> None:
    model = lamina.create_model("lenet5")
    filters = first_filters(model)
    assert filters is not None
    assert torch.equal(filters, model.stage1[0].weight)  # type: ignore[index]
    filters.zero_()
    assert model.stage1[0].weight.any()  # type: ignore[index]
    assert first_filters(nn.Linear(2, 2)) is None


def test_an_inspection_holds_everything() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("resnet20", blocks=(1, 1, 1), widths=(4, 8, 8), num_classes=5).train()
    x = torch.randn(1, 3, 16, 16)
    seen = inspect_image(model, x, samples=2)
    assert model.training
    assert seen.target == int(seen.logits_K.argmax())
    assert seen.cam_HW.shape == (16, 16)
    assert [tuple(maps.shape) for maps in seen.maps] == [(4, 16, 16), (8, 8, 8), (8, 4, 4)]
    assert [tuple(field.shape) for field in seen.fields] == [(16, 16)] * 3
    assert seen.filters_OIHW is not None
    assert seen.filters_OIHW.shape == (4, 3, 3, 3)
    assert seen.attention == []
    gradients = dict(seen.gradients)
    embedding = model.eval().embed(x)[0].detach()  # type: ignore[operator]
    # the gradient of one logit to the output layer is the embedding, in that class's row
    expected = float(embedding.norm() / model.head.weight.detach().norm())  # type: ignore[union-attr]
    assert gradients["head.weight"] == pytest.approx(expected, rel=1e-4)
    other = inspect_image(model, x, 2, stage=0, samples=2)
    assert (other.target, other.stage) == (2, 0)


def test_other_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match="expected one image"):
        inspect_image(lamina.create_model("lenet5"), torch.randn(2, 1, 32, 32))
    with pytest.raises(UsageError, match="the stages of MLP have no feature maps"):
        inspect_image(lamina.create_model("mlp"), torch.randn(1, 1, 28, 28))
    with pytest.raises(UsageError, match="has no method features"):
        inspect_image(nn.Flatten(), torch.randn(1, 1, 28, 28))
