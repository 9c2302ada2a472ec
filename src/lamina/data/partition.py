"""Partition of samples into parts of given shares, by group or one by one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lamina.randomness import derive

BUDGET = 20_000_000
"""samples looked at in all draws together"""
FEWEST_DRAWS, MOST_DRAWS = 10, 200


def random_order(classes: Tensor | None, count: int, seed: int) -> Tensor:
    """A random stratified order: every prefix has the class proportions of the whole, up to rounding."""
    generator = torch.Generator().manual_seed(derive(seed, "split"))
    shuffled = torch.randperm(count, generator=generator)
    if classes is None:
        return shuffled
    place = torch.empty(count, dtype=torch.float64)
    labels = classes[shuffled]
    for label in range(int(classes.max()) + 1):
        (members,) = torch.nonzero(labels == label, as_tuple=True)
        # the k-th of n members of a class is placed at (k + 1/2)/n
        place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return shuffled[place.argsort(stable=True)]


def equal_parts(classes: Tensor | None, count: int, parts: int, seed: int) -> Tensor:
    """The part (N,) of each sample, in parts of equal size, up to one, and equal class proportions."""
    found = torch.empty(count, dtype=torch.int64)
    found[random_order(classes, count, seed)] = torch.arange(count) * parts // count
    return found


def grouped_parts(groups: Tensor, shares: Sequence[float], classes: Tensor | None, seed: int) -> Tensor:
    """The part (N,) of each sample, in parts of about these shares (of each class, too); a group is in one part.

    The groups are laid out in a random order and cut at the borders nearest to the shares; of many orders the one is
    taken whose last part, or for equal shares the complement of each part, lacks the fewest classes, and of these the
    one that is closest to the shares (by chi-square over parts and classes). There must be as many groups as parts.

    Example: ``grouped_parts(torch.tensor([0, 0, 1, 2]), (0.5, 0.5), None, seed=0)`` is ``[0, 0, 1, 1]`` or
    ``[1, 1, 0, 0]``.
    """
    generator = torch.Generator().manual_seed(derive(seed, "groups"))
    classes = torch.zeros_like(groups) if classes is None else classes
    sizes, kinds = groups.bincount(), int(classes.max()) + 1
    totals = classes.bincount(minlength=kinds).double()
    share = torch.tensor(shares, dtype=torch.float64)
    expected = share[:, None] * totals
    best: tuple[float, float] | None = None
    found = torch.empty(0, dtype=torch.int64)
    for _ in range(min(max(BUDGET // len(groups), FEWEST_DRAWS), MOST_DRAWS)):
        order = torch.randperm(len(sizes), generator=generator)
        part_of = torch.empty(len(sizes), dtype=torch.int64)
        part_of[order] = _cut(sizes[order].double(), share)
        parts = part_of[groups]
        counts = (parts * kinds + classes).bincount(minlength=len(shares) * kinds).view(len(shares), kinds).double()
        equal = bool((share == share[0]).all()) and len(shares) > 1
        lacking = counts == totals if equal else counts[-1:] == 0
        off = ((counts - expected) ** 2 / expected.clamp(min=1e-9))[:, totals > 0].sum()
        score = (float(lacking[:, totals > 0].sum()), float(off))
        if best is None or score < best:
            best, found = score, parts
    return found


def _cut(sizes: Tensor, share: Tensor) -> Tensor:
    """The part of each group in a row of groups: each part has one at least."""
    middle = sizes.cumsum(0) - sizes / 2
    borders = torch.searchsorted(middle, share.cumsum(0)[:-1] * sizes.sum()).tolist()
    last = 0
    parts = torch.zeros(len(sizes), dtype=torch.int64)
    for number, border in enumerate(borders, 1):
        last = min(max(border, last + 1), len(sizes) - len(share) + number)
        parts[last:] = number
    return parts
