"""Facts about constant predictions: what the best constant has, and whether a model is better by more than chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from lamina.tasks.baselines import AgainstMajority, AgainstMajoritySet, AgainstMean
from lamina.tasks.facts import quality, shortfall


def facts(metric: Metric, predicted: Tensor, target: Tensor, batch: int = 7) -> dict[str, float]:
    for p, t in zip(predicted.split(batch), target.split(batch), strict=True):
        metric.update(p, t)
    return {name: float(value) for name, value in metric.compute().items()}


def classes(*counts: int) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def test_the_majority_itself_does_not_beat_it() -> None:
    target = classes(60, 40, 3)
    found = facts(AgainstMajority(3), torch.zeros_like(target), target)
    assert found == {"baseline_accuracy": pytest.approx(60 / 103), "constant_predictions": 1.0, "beats_baseline": 0.0}
    # another class for everything is worse, and constant too
    assert facts(AgainstMajority(3), torch.full_like(target, 2), target)["constant_predictions"] == 1.0


def test_targets_of_one_class_say_nothing() -> None:
    assert facts(AgainstMajority(3), torch.zeros(9).long(), torch.zeros(9).long()) == {}
    assert facts(AgainstMean(torch.zeros(1), torch.ones(1)), torch.ones(9, 1), torch.ones(9, 1)) == {}
    assert facts(AgainstMajoritySet(2), torch.ones(9, 2), torch.ones(9, 2)) == {}


@pytest.mark.parametrize("counts", [(9, 1), (19, 1), (5, 5), (1, 1, 1), (950, 50)])
def test_a_perfect_model_beats_it_however_few_the_samples(counts: tuple[int, ...]) -> None:
    target = classes(*counts)
    assert facts(AgainstMajority(len(counts)), target, target)["beats_baseline"] == 1.0


def test_logits_and_classes_are_the_same() -> None:
    target, logits = classes(5, 9, 3), torch.randn(17, 3, generator=torch.Generator().manual_seed(0))
    assert facts(AgainstMajority(3), logits, target) == facts(AgainstMajority(3), logits.argmax(1), target)


def test_weights_of_the_beginning_are_told_from_learnt_ones_by_their_cross_entropy() -> None:
    """A model of 115 in 900 correct, where the class has 90: by chance, unless it knows how sure it is."""
    target = torch.arange(900) % 10
    right = torch.arange(900) % 8 == 0
    guess = torch.where(right, target, (target + 3) % 10)
    sure = torch.nn.functional.one_hot(guess, 10) * 5.0
    knowing = torch.nn.functional.one_hot(target, 10) * 2.0 + torch.nn.functional.one_hot(guess, 10) * 3.0
    assert torch.equal(sure.argmax(1), knowing.argmax(1))
    assert facts(AgainstMajority(10), sure, target)["beats_baseline"] == 0
    assert facts(AgainstMajority(10), knowing, target)["beats_baseline"] == 1
    assert facts(AgainstMajority(10), sure * torch.inf, target)["beats_baseline"] == 0  # not a number


def test_guessing_rarely_beats_it_and_learning_always() -> None:
    rng = np.random.default_rng(0)
    beaten = {"guess": 0, "learnt": 0}
    for _ in range(200):
        target = torch.from_numpy(rng.integers(0, 10, 100))
        guess = torch.from_numpy(rng.integers(0, 10, 100))
        learnt = torch.where(torch.from_numpy(rng.random(100) < 0.3), target, guess)  # accuracy 0.37
        beaten["guess"] += facts(AgainstMajority(10), guess, target)["beats_baseline"] == 1
        beaten["learnt"] += facts(AgainstMajority(10), learnt, target)["beats_baseline"] == 1
    assert beaten["guess"] < 10  # the majority class of the split itself is above one tenth
    assert beaten["learnt"] > 190


def test_class_weights_trade_accuracy_for_recall() -> None:
    """Of 95 to 5 it finds all 5, for 12 false alarms: accuracy 0.88, mean recall 0.94."""
    target = classes(95, 5)
    predicted = torch.cat([torch.zeros(83), torch.ones(17)]).long()
    assert facts(AgainstMajority(2), predicted, target)["beats_baseline"] == 0
    assert facts(AgainstMajority(2, balanced=True), predicted, target)["beats_baseline"] == 1
    at_random = torch.ones(100).long()
    at_random[::2] = 0
    assert facts(AgainstMajority(2, balanced=True), at_random, target)["beats_baseline"] == 0
    assert facts(AgainstMajority(2, balanced=True), torch.ones(100).long(), target)["beats_baseline"] == 0


def test_the_mean_in_units_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(80, 2, generator=generator) * torch.tensor([1.0, 1000.0]) + torch.tensor([5.0, -300.0])
    mean, std = target.mean(0) + torch.tensor([0.1, 50.0]), target.std(0)

    def against(predicted: Tensor, robust: bool = False) -> dict[str, float]:
        return facts(AgainstMean(mean, std, robust), predicted, target)

    constant = against(mean.expand(80, 2))
    spread = (target - target.mean(0)).square().mean().sqrt()
    assert constant == {"baseline_rmse": pytest.approx(float(spread)), "constant_predictions": 1, "beats_baseline": 0}
    noise = torch.randn(80, 2, generator=generator) * std * 0.1
    assert against(mean + noise)["beats_baseline"] == against(mean + noise)["constant_predictions"] == 0
    assert against(target + 3 * noise)["beats_baseline"] == 1
    assert against(target)["beats_baseline"] == 1
    # the large values alone: of two outputs in standard deviations half is explained
    assert against(torch.stack([target[:, 0] * 0 + mean[0], target[:, 1]], 1))["beats_baseline"] == 1


def test_a_model_of_the_absolute_error_may_miss_outliers() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(200, 1, generator=generator)
    predicted = target + 0.2 * torch.randn(200, 1, generator=generator)
    target[0], predicted[0] = 300.0, -40.0
    mean, std = target.mean(0), target.std(0)
    assert facts(AgainstMean(mean, std), predicted, target)["beats_baseline"] == 0
    assert facts(AgainstMean(mean, std, robust=True), predicted, target)["beats_baseline"] == 1


def test_the_most_frequent_set_of_labels() -> None:
    target = torch.tensor([[1, 0, 1]] * 8 + [[0, 1, 0]] * 6 + [[1, 1, 1]] * 2)
    majority = torch.tensor([[1, 0, 1]]).expand(16, 3)
    found = facts(AgainstMajoritySet(3), majority, target)
    assert found == {"baseline_exact_match": 0.5, "constant_predictions": 1, "beats_baseline": 0}
    assert facts(AgainstMajoritySet(3), target, target)["beats_baseline"] == 1
    swapped = target.flip(0)
    assert facts(AgainstMajoritySet(3), swapped, target)["beats_baseline"] == 0


def test_what_is_told() -> None:
    told = {"accuracy": 0.1, "baseline_accuracy": 0.1, "constant_predictions": 1.0, "beats_baseline": 0.0}
    text = "the most frequent class"
    assert "the same for every sample" in str(shortfall(told, text, ()))
    told |= {"constant_predictions": 0.0}
    assert "no better than always predicting the most frequent class" in str(shortfall(told, text, ()))
    assert "hardly better" in str(shortfall({**told, "accuracy": 0.11}, text, ()))
    assert "hardly better" in str(shortfall({"rmse": 1.0, "baseline_rmse": 1.1, "beats_baseline": 0.0}, "x", ("rmse",)))
    assert shortfall({**told, "beats_baseline": 1.0}, text, ()) is None
    assert shortfall({"accuracy": 0.1}, text, ()) is None
    assert quality(told) == ["accuracy"]
