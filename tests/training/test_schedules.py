"""Learning rates: pure functions of the share of training done, the same in epochs, steps and images."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from toys import classification

from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.training.events import StepDone
from lamina.training.loop import fit
from lamina.training.schedules import check_schedule, rate_factor

LENGTHS = [{"epochs": 2}, {"steps": 20}, {"images": 200}]  # the same twenty steps, 10 an epoch


def rates(**recipe: Any) -> list[float]:
    """What the optimiser's groups were really given at each of the twenty steps."""
    made = classification(100, evaluate=False, lr=0.4, optimizer="sgd", **recipe)
    optimiser = made.engine.optimisers["model"].optimizer
    return [optimiser.param_groups[0]["lr"] for event in fit(made.engine, made.streams) if isinstance(event, StepDone)]


@pytest.mark.parametrize("length", LENGTHS, ids=str)
@pytest.mark.parametrize(
    ("schedule", "start", "middle", "end"),
    [
        ({"schedule": "constant"}, 0.4, 0.4, 0.4),
        ({"schedule": "step"}, 0.4, 0.04, 0.004),  # at 0.5 and 0.75
        ({"schedule": "step", "milestones": (0.55, 0.96), "gamma": 0.5}, 0.4, 0.4, 0.2),
        ({"schedule": "cosine"}, 0.4, 0.2, 0.2 * (1 + math.cos(math.pi * 0.95))),
        ({"schedule": "cosine", "final_lr": 0.1}, 0.4, 0.25, 0.1 + 0.15 * (1 + math.cos(math.pi * 0.95))),
        ({"schedule": "linear"}, 0.4, 0.2, 0.02),
        ({"schedule": "linear", "final_lr": 0.2}, 0.4, 0.3, 0.21),
        ({"schedule": "constant", "warmup": 0.2}, 0.1, 0.4, 0.4),
        (
            {"schedule": "cosine", "warmup": 0.2},
            0.1,
            0.2 * (1 + math.cos(math.pi * 0.375)),
            0.2 * (1 + math.cos(math.pi * 0.9375)),
        ),
        ({"schedule": "linear", "warmup": 0.5}, 0.04, 0.4, 0.04),
        ({"schedule": "inverse-sqrt", "warmup": 0.2}, 0.1, 0.4 * math.sqrt(4 / 11), 0.4 * math.sqrt(4 / 20)),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_rates_at_the_start_the_middle_and_the_end(
    schedule: dict[str, Any], start: float, middle: float, end: float, length: dict[str, int]
) -> None:
    given = rates(**schedule, **length)
    assert len(given) == 20
    assert [given[0], given[10], given[19]] == pytest.approx([start, middle, end], rel=1e-12)


@pytest.mark.parametrize("length", LENGTHS, ids=str)
@pytest.mark.parametrize("final_lr", [0.0, 0.05])
def test_cosine_is_torchs(length: dict[str, int], final_lr: float) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20, eta_min=final_lr)
    expected = []
    for _ in range(20):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    assert rates(schedule="cosine", final_lr=final_lr, **length) == pytest.approx(expected, rel=1e-9)


def test_milestones_are_torchs() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[6, 14], gamma=0.2)
    expected = []
    for _ in range(20):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    assert rates(schedule="step", milestones=(0.3, 0.7), gamma=0.2, steps=20) == pytest.approx(expected, rel=1e-12)


def test_warm_up_rises_evenly_and_no_step_has_rate_zero() -> None:
    assert rates(schedule="constant", warmup=0.25, steps=20)[:6] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4, 0.4])


def test_accumulated_batches_share_one_rate() -> None:
    """Twenty batches, ten steps: the rates of a fit of ten steps."""
    assert rates(schedule="cosine", warmup=0.2, epochs=2, accumulate=2) == pytest.approx(
        rates(schedule="cosine", warmup=0.2, steps=10)
    )


def test_factor_stays_within_bounds_everywhere() -> None:
    for schedule in ("constant", "step", "cosine", "linear", "plateau", "inverse-sqrt"):
        for warmup in (0.04, 0.5):
            recipe = Recipe(schedule=schedule, warmup=warmup, lr=0.1, final_lr=0.01)
            values = [rate_factor(recipe, i / 1000, (i + 1) / 1000) for i in range(1000)]
            assert all(0 < value <= 1 for value in values)
            rising = [value for i, value in enumerate(values) if (i + 1) / 1000 <= warmup]
            assert rising == sorted(rising)
            falling = values[len(rising) :]
            assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"schedule": "inverse-sqrt"}, "needs a warm-up"),
        ({"schedule": "cosine", "final_lr": 0.2}, "final_lr 0.2 is greater than lr 0.1"),
        ({"schedule": "linear", "final_lr": 0.2}, "final_lr 0.2 is greater than lr 0.1"),
    ],
)
def test_a_schedule_that_lacks_what_it_needs_is_misuse(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_schedule(Recipe(lr=0.1, **recipe))
    with pytest.raises(UsageError, match=message):
        classification(**recipe, lr=0.1)
