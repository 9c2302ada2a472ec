"""Learning-rate schedules as pure functions of the share of training done."""

from __future__ import annotations

import math

from lamina.errors import UsageError
from lamina.options.recipe import Recipe


def rate_factor(recipe: Recipe, before: float, after: float) -> float:
    """The factor on ``recipe.lr`` for an update.

    ``before`` and ``after`` are the shares of training (0 to 1) done before and after it. Decay uses ``before``, so
    that it starts at the full rate; warm-up uses ``after``, so that no update has rate zero.

    Example: ``rate_factor(Recipe(schedule="cosine"), 0.5, 0.51)`` is 0.5.
    """
    warmup = recipe.warmup
    if after < warmup:
        return after / warmup
    start = max(warmup, recipe.decay_start)
    done = (before - start) / (1 - start) if before > start else 0.0
    floor = recipe.final_lr / recipe.lr
    match recipe.schedule:
        case "constant" | "plateau":
            return 1.0
        case "step":
            return recipe.gamma ** sum(before >= share for share in recipe.milestones)
        case "cosine":  # Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5, without restarts
            return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return floor + (1 - floor) * (1 - done)
        case "inverse-sqrt":  # Vaswani et al. 2017, arXiv 1706.03762, eq. 3, scaled to 1 at the end of the warm-up
            return math.sqrt(warmup / max(after, warmup))


def check_schedule(recipe: Recipe) -> None:
    """Raise UsageError for a schedule whose options are missing or contradictory."""
    if recipe.schedule == "inverse-sqrt" and recipe.warmup == 0:
        raise UsageError("schedule 'inverse-sqrt' needs a warm-up: set --warmup to a share of training, such as 0.04")
    falls = recipe.schedule in ("cosine", "linear")
    if falls and recipe.final_lr > recipe.lr:
        raise UsageError(f"final_lr {recipe.final_lr} is greater than lr {recipe.lr}")
    if recipe.decay_start and not falls:
        raise UsageError(
            f"decay_start is for the schedules linear and cosine, not for {recipe.schedule}: set --schedule linear"
        )


class Plateau:
    """Multiplies the learning rate by ``gamma`` after more than ``patience`` evaluations without improvement."""

    def __init__(self, gamma: float, patience: int) -> None:
        self.gamma, self.patience = gamma, patience
        self.factor, self.waited = 1.0, 0

    def update(self, better: bool) -> None:
        self.waited = 0 if better else self.waited + 1
        if self.waited > self.patience:
            self.factor, self.waited = self.factor * self.gamma, 0

    def state_dict(self) -> dict[str, float | int]:
        return {"factor": self.factor, "waited": self.waited}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        self.factor, self.waited = float(state["factor"]), int(state["waited"])
