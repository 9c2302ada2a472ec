"""Relative position bias and the normalisation of feature maps, against loops."""

from __future__ import annotations

import pytest
import torch

from lamina.layers.channel_norm import ChannelNorm
from lamina.layers.relative_position import RelativePositionBias


@pytest.mark.parametrize(("height", "width"), [(2, 3), (3, 2), (1, 4), (3, 3)])
def test_bias_is_the_row_of_its_offset(height: int, width: int) -> None:
    bias = RelativePositionBias(height, width, heads=2).double()
    assert bias.table.shape == ((2 * height - 1) * (2 * width - 1), 2)
    by_offset = bias.table.view(2 * height - 1, 2 * width - 1, 2)
    got = bias()
    assert got.shape == (2, height * width, height * width)
    places = [(row, column) for row in range(height) for column in range(width)]
    for query, (row, column) in enumerate(places):
        for key, (other_row, other_column) in enumerate(places):
            offset = by_offset[row - other_row + height - 1, column - other_column + width - 1]
            assert torch.equal(got[:, query, key], offset)
    assert set(bias.state_dict()) == {"table"}


def test_every_row_of_the_table_gets_a_gradient() -> None:
    bias = RelativePositionBias(7, 7, heads=3)
    bias().sum().backward()
    uses = [(7 - abs(down)) * (7 - abs(right)) for down in range(-6, 7) for right in range(-6, 7)]
    assert bias.table.grad is not None
    assert torch.equal(bias.table.grad, torch.tensor(uses, dtype=torch.float32)[:, None].expand(-1, 3))
    assert 0.015 < float(bias.table.detach().std()) < 0.025


def test_channel_norm_is_over_the_channels_of_one_position() -> None:
    norm = ChannelNorm(5, eps=1e-3).double()
    x = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(1.0, 6.0))
        norm.bias.copy_(torch.arange(5.0))
    for b, h, w in ((0, 0, 0), (1, 2, 3), (1, 0, 2)):
        point = x[b, :, h, w]
        wanted = (point - point.mean()) / (point.var(correction=0) + 1e-3).sqrt() * norm.weight + norm.bias
        torch.testing.assert_close(norm(x)[b, :, h, w], wanted)
    assert norm(x).is_contiguous(memory_format=torch.channels_last)
