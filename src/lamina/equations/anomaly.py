"""The score of the Numenta anomaly benchmark (NAB), and what point adjustment does to an F1 score.

Papers: Lavin, Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark", ICMLA 2015,
arXiv 1510.03336; Kim et al., "Towards a rigorous evaluation of time-series anomaly detection", AAAI 2022, arXiv
2109.05257 (point adjustment).

Rows are numbered from 0; a window is (first, last), both in it. Scores are of one file at a time: ``normalised`` joins
the raw ones of a corpus.

Legend: N rows.

    >>> raw = nab_raw([10, 20, 50, 62, 66, 75, 99], [(60, 69)], rows=100)
    >>> round(raw, 9), round(normalised([raw], windows=1), 6)
    (0.544684784, 77.234239)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Windows = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Profile:
    """What a detected window, a false alarm and a missed window count."""

    true_positive: float = 1.0
    false_positive: float = 0.11
    false_negative: float = 1.0


STANDARD = Profile()
LOW_FALSE_POSITIVES = Profile(false_positive=0.22)
LOW_FALSE_NEGATIVES = Profile(false_negative=2.0)


def scaled_sigmoid(y: float) -> float:
    """2 / (1 + e^(5 y)) - 1; -1 beyond 3: from 1 well before 0 over 0 to -1."""
    return -1.0 if y > 3 else 2 / (1 + math.exp(5 * y)) - 1


def probation(rows: int) -> int:
    """Rows at the start that count for nothing: min(floor(0.15 n), 750)."""
    return min(math.floor(0.15 * rows), 750)


def row_values(windows: Windows, rows: int, profile: Profile = STANDARD) -> tuple[list[float], list[int]]:
    """What a detection in each row is worth, and the number of the window that it is in, -1 for none.

    In a window of W rows up to r: tp sigma(-(r - i + 1) / W) / sigma(-1), 1 in its first row. Outside:
    fp sigma((i - r) / (W - 1)) of the window before, -fp before the first.
    """
    values, places = [-profile.false_positive] * rows, [-1] * rows
    ordered = sorted(windows)
    for number, (first, last) in enumerate(ordered):
        length = last - first + 1
        after = ordered[number + 1][0] if number + 1 < len(ordered) else rows
        for row in range(first, last + 1):
            share = scaled_sigmoid(-(last - row + 1) / length) / scaled_sigmoid(-1.0)
            values[row], places[row] = profile.true_positive * share, number
        for row in range(last + 1, after):
            values[row] = profile.false_positive * scaled_sigmoid((row - last) / max(1, length - 1))
    return values, places


def nab_raw(detections: Iterable[int], windows: Windows, rows: int, profile: Profile = STANDARD) -> float:
    """The score of one file: of each window its earliest detection, or -fn; every detection outside counts.

    Detections in the probation are left out.
    """
    values, places = row_values(windows, rows, profile)
    best = [-profile.false_negative] * len(windows)
    outside = 0.0
    for row in detections:
        if row < probation(rows):
            continue
        if places[row] >= 0:
            best[places[row]] = max(best[places[row]], values[row])
        else:
            outside += values[row]
    return sum(best) + outside


def normalised(raws: Sequence[float], windows: int, profile: Profile = STANDARD) -> float:
    """100 (raw - null) / (perfect - null), where nothing is detected in the null score and every window at once in the
    perfect one. Raises ZeroDivisionError for a corpus without a window."""
    null, perfect = -profile.false_negative * windows, profile.true_positive * windows
    return 100 * (sum(raws) - null) / (perfect - null)


@dataclass(frozen=True)
class Threshold:
    """A threshold, of which rows at or above are detections, and the normalised score at it."""

    threshold: float
    score: float


def best_threshold(scores: Sequence[Tensor], windows: Sequence[Windows], profile: Profile = STANDARD) -> Threshold:
    """The one threshold for all files with the largest score: an oracle, which sees the labels.

    ``scores`` are (N,) of each file. From the largest score down, each row adds its value outside windows, and in one
    what it is above the best of the window before.
    """
    gains, flat = [], []
    for score_N, own in zip(scores, windows, strict=True):
        rows = len(score_N)
        values, places = row_values(own, rows, profile)
        best = [-profile.false_negative] * len(own)
        gain = [0.0] * rows
        order = torch.argsort(score_N, descending=True, stable=True).tolist()
        for row in order:
            if row < probation(rows):
                continue
            place = places[row]
            gain[row] = values[row] if place < 0 else max(0.0, values[row] - best[place])
            if place >= 0:
                best[place] = max(best[place], values[row])
        gains.append(torch.tensor(gain, dtype=torch.float64))
        flat.append(score_N.double())
    score_A, gain_A = torch.cat(flat), torch.cat(gains)
    order_A = torch.argsort(score_A, descending=True, stable=True)
    sorted_A, sum_A = score_A[order_A], gain_A[order_A].cumsum(0)
    last_A = torch.cat([sorted_A[1:] != sorted_A[:-1], torch.ones(1, dtype=torch.bool)])  # ties are detected together
    count = sum(map(len, windows))
    sum_A = torch.cat([torch.zeros(1, dtype=torch.float64), sum_A[last_A]])
    threshold_A = torch.cat([torch.tensor([math.inf], dtype=torch.float64), sorted_A[last_A]])
    place = int(sum_A.argmax())
    raw = float(sum_A[place]) - profile.false_negative * count
    return Threshold(float(threshold_A[place]), normalised([raw], count, profile))


def best_f1(score_N: Tensor, anomalous_N: Tensor, adjust: bool = False) -> float:
    """The largest F1 over all thresholds, 2 TP / (2 TP + FP + FN), row by row.

    With ``adjust`` every row of an anomalous segment counts as detected as soon as one of it is: a random score then
    wins, which is why Lamina has this only here, for the claim.

    >>> best_f1(torch.tensor([0.1, 0.9, 0.2]), torch.tensor([False, True, False]))
    1.0
    """
    score_N, anomalous_N = score_N.double().clone(), anomalous_N.bool()
    if adjust:
        padded = torch.cat([anomalous_N.new_zeros(1), anomalous_N, anomalous_N.new_zeros(1)]).int().diff()
        for first, end in zip((padded == 1).nonzero(), (padded == -1).nonzero(), strict=True):
            score_N[first:end] = score_N[first:end].max()
    order = torch.argsort(score_N, descending=True)
    sorted_N, hit_N = score_N[order], anomalous_N[order].double()
    true_N = hit_N.cumsum(0)
    found_N = torch.arange(1, len(order) + 1, dtype=torch.float64)
    f1_N = 2 * true_N / (found_N + hit_N.sum())
    last_N = torch.cat([sorted_N[1:] != sorted_N[:-1], torch.ones(1, dtype=torch.bool)])
    return float(f1_N[last_N].max())
