"""Gram matrices and losses against plain loops; what they know and what they do not."""

from __future__ import annotations

import pytest
import torch
from style_reference import gatys_layer

from lamina.layers.instance_statistics import InstanceStatistics
from lamina.stylisation.losses import gatys_content, gatys_style, gram, johnson_style, total_variation


def test_gatys_style_loss_is_the_papers_for_pictures_of_one_size() -> None:
    draw = torch.Generator().manual_seed(0)
    maps, style = torch.randn(2, 1, 3, 4, 5, generator=draw, dtype=torch.float64)
    got = gatys_style({"layer": maps}, {"layer": gram(style)})
    torch.testing.assert_close(float(got), gatys_layer(maps[0], style[0]), rtol=1e-12, atol=0)


def test_a_gram_matrix_does_not_know_positions() -> None:
    maps = torch.randn(1, 4, 6, 7, dtype=torch.float64)
    order = torch.randperm(42)
    moved = maps.flatten(2)[:, :, order].view_as(maps)
    torch.testing.assert_close(gram(moved), gram(maps), rtol=1e-12, atol=1e-12)
    assert float(gatys_content(moved, maps)) > 1


def test_gram_matrices_of_pictures_of_different_size_are_of_one_scale() -> None:
    small = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(gram(small.repeat(1, 1, 2, 3)), gram(small), rtol=1e-12, atol=1e-12)
    assert float(johnson_style({"a": small}, {"a": gram(small)})) == 0


def test_total_variation_of_a_step() -> None:
    picture = torch.zeros(1, 1, 3, 4)
    picture[..., 2:] = 2.0
    assert float(total_variation(picture)) == 3 * 4


def test_moments_are_unbiased() -> None:
    mean, deviation = InstanceStatistics(epsilon=0.0)(torch.tensor([[[[1.0, 3.0]]]]))
    assert (float(mean), float(deviation)) == (2.0, pytest.approx(2.0**0.5))
