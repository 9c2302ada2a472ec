"""Metrics that compare a model with the best constant prediction; see ``tasks.facts``.

Legend: N samples, K classes, labels or values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lamina.tasks.facts import BEATS, CONSTANT, PREFIX

MOST_NATS = 1000
"""the largest cross-entropy of one sample that counts"""
SAME_SHARE = 0.01
"""predicted values that spread over less than this share of the target's standard deviation are the same"""


class AgainstMajority(Metric):  # type: ignore[misc]  # torchmetrics is not typed
    """Accuracy against that of the most frequent class. ``update`` takes logits (N, K) or classes (N,), and targets
    (N,).

    The accuracy is to be above by two standard errors, or by one where the cross-entropy of the logits, too, is lower
    than that of the class frequencies, which it is not for random weights. With ``balanced``, for models trained with
    class weights, a better mean recall also beats the baseline.

    Example: ``AgainstMajority(3).compute()``
    """

    full_state_update = False
    counts_3K: Tensor
    nats: Tensor

    def __init__(self, classes: int, balanced: bool = False) -> None:
        super().__init__()
        self.balanced = balanced
        self.add_state("counts_3K", torch.zeros(3, classes, dtype=torch.int64), dist_reduce_fx="sum")
        # in millionths: integers add up exactly, in every order and on every device
        self.add_state("nats", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target_N: Tensor) -> None:
        nats_N = _nats(predicted, target_N) if predicted.ndim > 1 else torch.full_like(target_N, MOST_NATS)
        self.nats += (nats_N * 1e6).round().long().sum()
        predicted_N = (predicted.argmax(1) if predicted.ndim > 1 else predicted).long()
        each = (target_N, target_N[predicted_N == target_N], predicted_N)  # there, right, predicted
        self.counts_3K += torch.stack([torch.bincount(of, minlength=self.counts_3K.shape[1]) for of in each])

    def compute(self) -> dict[str, Tensor]:
        there_K, right_K, predicted_K = self.counts_3K.cpu().double()
        if (there_K > 0).sum() < 2:
            return {}
        most = int(there_K.argmax())
        # samples that only the model, and that only the constant predicts correctly
        won, lost = right_K.sum() - right_K[most], there_K[most] - right_K[most]
        constant = (predicted_K > 0).sum() == 1
        share_K = there_K[there_K > 0] / there_K.sum()
        informed = self.nats.cpu().double() / 1e6 / there_K.sum() < -(share_K * share_K.log()).sum()
        beats = _clearly(won - lost, (won + lost) * (1 if informed or lost == 0 else 4))
        if self.balanced:
            has_K = there_K > 0
            chance = 1 / has_K.sum()
            gained = (right_K / there_K)[has_K].mean() - chance
            beats = beats | _clearly(gained, chance * (1 - chance) * (1 / there_K[has_K]).sum() / has_K.sum() ** 2)
        return _facts({"accuracy": there_K[most] / there_K.sum()}, constant, beats)


class AgainstMajoritySet(Metric):  # type: ignore[misc]  # torchmetrics is not typed
    """Exact matches against those of the most frequent set of labels. ``update`` takes zeros and ones (N, K)."""

    full_state_update = False
    rows: list[Tensor]

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.labels = labels
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, predicted_NK: Tensor, target_NK: Tensor) -> None:
        self.rows.append(torch.cat([predicted_NK, target_NK], 1).to(torch.int8))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """A process without a batch has no rows, of the right type."""
        if not self.rows:
            self.rows.append(torch.zeros(0, 2 * self.labels, dtype=torch.int8, device=self.device))
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, Tensor]:
        predicted_NK, target_NK = dim_zero_cat(self.rows).cpu().chunk(2, 1)
        sets, which_N, count = target_NK.unique(dim=0, return_inverse=True, return_counts=True)
        if len(sets) < 2:
            return {}
        right_N, majority_N = (predicted_NK == target_NK).all(1), which_N == count.argmax()
        won, lost = (right_N & ~majority_N).sum().double(), (majority_N & ~right_N).sum().double()
        constant = (predicted_NK == predicted_NK[:1]).all()
        facts = {"exact_match": count.max().double() / len(target_NK)}
        return _facts(facts, constant, _clearly(won - lost, won + lost))


class AgainstMean(Metric):  # type: ignore[misc]  # torchmetrics is not typed
    """Squared error against that of the mean of the split's targets. ``update`` takes predictions and targets (N, K) in
    the targets' units; ``mean`` and ``std`` (K,) are those of training, by which values are compared with each other.

    With ``robust``, for models that minimise another error than the squared one, a lower absolute error also beats it.
    """

    full_state_update = False
    sums: list[Tensor]

    def __init__(self, mean: Tensor, std: Tensor, robust: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.robust = mean.double().cpu(), std.double().cpu(), robust
        self.add_state("sums", default=[], dist_reduce_fx="cat")

    def update(self, predicted_NK: Tensor, target_NK: Tensor) -> None:
        """Keeps a row: sums over the samples, and the extremes of predictions and targets."""
        p_NK, t_NK = ((x.detach().cpu().double() - self.mean) / self.std for x in (predicted_NK, target_NK))
        gain_N = (t_NK.square() - (t_NK - p_NK).square()).mean(1)  # over predicting the mean of training
        closer_N = (t_NK.abs() - (t_NK - p_NK).abs()).mean(1)
        sums = [torch.tensor([len(p_NK)]), *(torch.stack([x.sum(), x.square().sum()]) for x in (gain_N, closer_N))]
        sums += [t_NK.sum(0), t_NK.square().sum(0)]
        sums += [extreme for x in (p_NK, t_NK) for extreme in (x.amin(0), x.amax(0))]
        row = torch.cat([part.double() for part in sums])[None]
        self.sums.append(row.to(self.device, torch.float32 if self.device.type == "mps" else torch.float64))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """A process without a batch has no rows, of the right type."""
        if not self.sums:
            self.sums.append(torch.zeros(0, 5 + 6 * len(self.mean), dtype=torch.float64, device=self.device))
        super().sync(*args, **kwargs)

    def compute(self) -> dict[str, Tensor]:
        rows = dim_zero_cat(self.sums).cpu().double()
        (n, gain, gain2, closer, closer2), k = rows[:, :5].sum(0), len(self.mean)
        sum_K, square_K = rows[:, 5 : 5 + 2 * k].sum(0).chunk(2)
        low_K, high_K, least_K, most_K = (part for part in rows[:, 5 + 2 * k :].chunk(4, 1))
        if bool((least_K.amin(0) == most_K.amax(0)).all()):
            return {}
        centre_K = sum_K / n
        constant = (high_K.amax(0) - low_K.amin(0) < SAME_SHARE).all()
        # the split's own mean is the better constant by the square of its distance from that of training
        beats = _clearly(gain - n * centre_K.square().mean(), gain2 - gain.square() / n)
        if self.robust:
            beats = beats | _clearly(closer, closer2 - closer.square() / n)
        error_K = (square_K / n - centre_K.square()).clamp_min(0) * self.std.square()
        return _facts({"rmse": error_K.mean().sqrt()}, constant, beats)


def _nats(logits_NK: Tensor, target_N: Tensor) -> Tensor:
    """The cross-entropy of each sample; an infinite or undefined one is ``MOST_NATS``."""
    nats_N = F.cross_entropy(logits_NK.float(), target_N, reduction="none")
    return nats_N.nan_to_num(MOST_NATS, MOST_NATS).clamp_max(MOST_NATS)


def _clearly(gained: Tensor, variance: Tensor) -> Tensor:
    """Whether a sum of differences is above 0 by at least its standard error."""
    return (gained > 0) & (gained.square() >= variance)


def _facts(baselines: Mapping[str, Tensor], constant: Tensor, beats: Tensor) -> dict[str, Tensor]:
    found = {PREFIX + name: value for name, value in baselines.items()}
    return {**found, CONSTANT: constant.double(), BEATS: (beats & ~constant).double()}
