"""Temperature and thresholds: the optimum, against a search that tries everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import f1_score
from torch import Tensor

from lamina.tasks.classification import best_temperature
from lamina.tasks.multilabel import best_thresholds


def loss_at(temperature: float, logits: Tensor, target: Tensor) -> float:
    logs = log_softmax(logits.numpy() / temperature, 1)
    return float(-logs[np.arange(len(target)), target.numpy()].mean())


@pytest.mark.parametrize("scale", [0.05, 0.5, 1.0, 4.0, 40.0])
def test_the_temperature_is_scipys(scale: float) -> None:
    """Logits of classes drawn from their softmax, then scaled: what undoes it is near the scale, never it exactly."""
    draw = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(300, 4, generator=draw, dtype=torch.float64)
    target = torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]
    found = best_temperature(scale * logits, target).item()
    peer = minimize_scalar(
        lambda t: loss_at(np.exp(t), scale * logits, target), bounds=(-7, 7), method="bounded", options={"xatol": 1e-9}
    )
    assert found == pytest.approx(np.exp(peer.x), rel=1e-5)
    assert found == pytest.approx(scale, rel=0.2)


@pytest.mark.parametrize("scale", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("wrong", [False, True])
def test_it_stays_within_bounds_where_there_is_no_optimum(scale: float, wrong: bool) -> None:
    """All samples right: the colder the better; all wrong: the hotter."""
    target = torch.arange(12) % 3
    logits = scale * torch.eye(3, dtype=torch.float64)[(target + wrong) % 3]
    found = best_temperature(logits, target).item()
    lower, upper = (1.0, 100.0) if wrong else (0.01, 1.0)
    assert lower * (1 - 1e-9) <= found <= upper * (1 + 1e-9)
    assert loss_at(found, logits, target) <= loss_at(1.0, logits, target) + 1e-12


def test_the_thresholds_are_those_of_a_search_over_all() -> None:
    """Many equal probabilities, labels that are rare or everywhere."""
    draw = torch.Generator().manual_seed(0)
    for shares in ([0.5, 0.1, 0.9], [0.02, 0.3, 1.0]):
        target = (torch.rand(40, 3, generator=draw) < torch.tensor(shares)).float()
        probability = (0.4 * target + 0.6 * torch.rand(40, 3, generator=draw)).mul(20).round().div(20)
        found = best_thresholds(probability, target)
        for k in range(3):
            every = {cut: f1(probability[:, k], target[:, k], cut) for cut in [-1.0, *probability[:, k].tolist()]}
            reached = f1(probability[:, k], target[:, k], found[k].item())
            assert reached == max(every.values())
            assert reached >= f1(probability[:, k], target[:, k], 0.5)


def f1(probability: Tensor, target: Tensor, threshold: float) -> float:
    return float(f1_score(target.numpy(), (probability > threshold).numpy(), zero_division=0.0))


def test_a_threshold_divides_neighbouring_numbers() -> None:
    """Half of the way between them is one of them, in single precision, in which thresholds are used."""
    upper = torch.tensor(1.0)
    for _ in range(4):
        lower = torch.nextafter(upper, torch.tensor(0.0))
        probability, target = torch.stack([upper, lower])[:, None], torch.tensor([[1.0], [0.0]])
        assert (probability > best_thresholds(probability, target).float())[:, 0].tolist() == [True, False]
        upper = lower


def test_a_label_that_no_sample_has_keeps_one_half() -> None:
    assert best_thresholds(torch.rand(5, 1), torch.zeros(5, 1)).tolist() == [0.5]
