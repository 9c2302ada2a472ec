"""Matrices as pixels: the colour is one, the opacity tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lamina.claims.shading import by_magnitude, shaded


def test_the_opacity_is_the_strength_and_the_colour_is_one() -> None:
    strength = torch.tensor([[0.0, 0.25, 1.0], [0.5, 0.75, 0.1]])
    pixels = shaded(strength)
    assert pixels.shape == (2, 3, 4)
    np.testing.assert_allclose(pixels[..., 3], strength.numpy())
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) == 1
    assert 0 < pixels[0, 0, 0] < 1


def test_magnitudes_are_logarithmic_and_empty_below_a_millionth() -> None:
    strengths = by_magnitude(torch.tensor([0.0, 1e-9, 1e-6, 1e-3, 1.0], dtype=torch.float64))
    assert strengths.tolist() == pytest.approx([0, 0, 0, 0.5, 1])
