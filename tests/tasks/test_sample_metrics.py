"""FID, KID, precision and recall against scipy, plain loops and known values; modes of toy data; recognised samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from lamina.equations import sample_metrics as equations
from lamina.tasks.sample_metrics import scores
from lamina.tasks.sample_metrics.scores import (
    frechet_distance,
    kernel_distance,
    modes_covered,
    precision_recall,
    recognised,
)


def drawn(count: int, features: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix_DD = torch.randn(features, features, generator=generator, dtype=torch.float64)
    return torch.randn(count, features, generator=generator, dtype=torch.float64) @ mix_DD + shift


@pytest.mark.parametrize(("real", "made", "features"), [(60, 60, 7), (40, 90, 12), (33, 33, 32), (13, 13, 13)])
def test_fid_is_that_of_scipy(real: int, made: int, features: int) -> None:
    x, y = drawn(real, features, 1), drawn(made, features, 2, 0.5)
    s, t = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    root = scipy.linalg.sqrtm(s @ t)
    expected = float(np.sum((x.mean(0) - y.mean(0)).numpy() ** 2) + np.trace(s + t - 2 * np.real(root)))
    tight = features < min(real, made)  # scipy's root of a singular matrix loses half of its digits
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9 if tight else 1e-4)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-9 if tight else 1e-5)
    plain = equations.frechet_distance(x.mean(0), torch.from_numpy(s), y.mean(0), torch.from_numpy(t))
    assert float(plain) == pytest.approx(expected, rel=1e-9 if tight else 1e-4)


def test_fid_of_what_is_known() -> None:
    """0 of itself; the squared shift; of commuting covariances the squared difference of the deviations."""
    x = drawn(50, 5, 3)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 3) == pytest.approx(5 * 9)
    away = x - x.mean(0)
    s = away.T @ away / 49
    assert frechet_distance(away, 3 * away) == pytest.approx(4 * float(s.trace()))
    assert frechet_distance(x.float(), (x + 3).float()) == pytest.approx(45, rel=1e-5)  # whatever the type
    with pytest.raises(ValueError, match="4 samples are fewer than the 5 features"):
        frechet_distance(x, x[:4])


def test_far_from_the_origin_nothing_is_lost() -> None:
    x, y = drawn(60, 4, 1), drawn(60, 4, 2)
    assert frechet_distance(x + 1e6, y + 1e6) == pytest.approx(frechet_distance(x, y), rel=1e-6)
    assert precision_recall(x + 1e6, y + 1e6) == precision_recall(x, y)


def test_kid_is_that_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = drawn(23, 6, 4), drawn(17, 6, 5, 0.3)

    def k(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / 6 + 1) ** 3

    xx = [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    yy = [k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
    xy = [k(a, b) for a in x for b in y]
    expected = sum(xx) / len(xx) + sum(yy) / len(yy) - 2 * sum(xy) / len(xy)
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert float(equations.squared_mean_discrepancy(x, y)) == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr(scores, "ROWS", 5)  # in pieces
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_kid_is_unbiased() -> None:
    """The mean over many small draws of one distribution is 0, and some are below it."""
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(400):
        x, y = torch.randn(2, 8, 3, generator=generator, dtype=torch.float64)
        values.append(kernel_distance(x, y))
    mean, error = np.mean(values), np.std(values) / math.sqrt(len(values))
    assert abs(mean) < 4 * error
    assert min(values) < 0


def test_precision_and_recall_are_those_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = drawn(40, 3, 6), drawn(31, 3, 7, 0.8)

    def share(points: Tensor, manifold: Tensor) -> float:
        inside = 0
        radii = [sorted(math.dist(a, b) for j, b in enumerate(manifold) if j != i)[2] for i, a in enumerate(manifold)]
        for point in points:
            inside += any(math.dist(point, a) <= radius for a, radius in zip(manifold, radii, strict=True))
        return inside / len(points)

    expected = share(y, x), share(x, y)
    assert 0 < expected[0] < 1
    assert precision_recall(x, y) == pytest.approx(expected)
    assert (float(equations.share_within(y, x)), float(equations.share_within(x, y))) == pytest.approx(expected)
    monkeypatch.setattr(scores, "ROWS", 7)
    assert precision_recall(x, y) == pytest.approx(expected)


def test_precision_and_recall_tell_quality_from_coverage() -> None:
    x = drawn(200, 2, 8)
    assert precision_recall(x, x) == (1.0, 1.0)
    collapsed = x[:1] + 1e-3 * drawn(200, 2, 9)
    precision, recall = precision_recall(x, collapsed)
    assert precision == 1
    assert recall < 0.05
    assert precision_recall(x, x + 1000) == (0.0, 0.0)
    with pytest.raises(ValueError, match="needs 4 samples"):
        precision_recall(x, x[:3])


def test_a_classifier_that_is_sure_of_one_picture_is_no_quality() -> None:
    sure = torch.tensor([[0.95, 0.03, 0.02]]).repeat(10, 1)
    assert recognised(sure) == (1.0, 0.0)
    mixed = torch.tensor([[0.95, 0.03, 0.02], [0.02, 0.9, 0.08], [0.3, 0.3, 0.4], [0.0, 0.91, 0.09]])
    assert recognised(mixed) == (0.5, 0.25)  # exactly 0.9 is not above


def test_modes() -> None:
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    points = torch.cat([torch.zeros(960, 2), torch.tensor([[2.1, 0.0]]).repeat(5, 1), torch.tensor([[0.0, 2.19]])])
    points = torch.cat([points, torch.tensor([[0.0, 1.79], [9.0, 9.0]]).repeat(17, 1)])
    assert len(points) == 1000
    assert modes_covered(points, centres) == (2, 0.966)  # five of 1,000 cover a mode, one does not
