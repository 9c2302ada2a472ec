"""Splits: the source's own where it has them, the rest set aside by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.source import Samples, Source, Split
from lamina.data.spec import DataSpec
from lamina.data.targets.labels import check_targets, strata
from lamina.errors import DataError, UsageError
from lamina.randomness import derive

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""how people call the splits, folded"""


ORDER: tuple[str, ...] = ("train", "validation", "test")


def complete(spec: DataSpec, splits: Mapping[str, Samples], options: DataOptions) -> Source:
    """A source with test and validation splits, set aside from train where it brings none and the share is not 0.

    Shares are of what the source calls train; a limit keeps so many samples of the rest. Classes keep their
    proportions; the order is drawn from the seed. Raises DataError where there is one class only, or a class that is
    not in train; UsageError for too few samples.
    """
    if not len(splits["train"]):
        raise DataError(f"{spec.name}: the train split is empty")
    check_targets(spec, {name: split.targets for name, split in splits.items()})
    pool = splits["train"]
    order = random_order(strata(spec, pool.targets), len(pool), options.split_seed)
    chosen = set_aside(spec, splits, order, options)
    return named(spec, {**splits, **{name: pool.subset(index) for name, index in chosen.items()}})


def named(spec: DataSpec, splits: Mapping[str, Split]) -> Source:
    named = {name: splits[name] for name in ORDER if name in splits}
    return Source(replace(spec, sizes={name: len(split) for name, split in named.items()}), named)


def split_counts(options: DataOptions, splits: Mapping[str, Split], total: int) -> dict[str, int]:
    """Of what the source calls train, so many samples go to the splits that it does not bring."""
    shares = {"test": options.test, "validation": options.validation}
    return {name: max(1, round(share * total)) for name, share in shares.items() if share > 0 and name not in splits}


def set_aside(
    spec: DataSpec,
    splits: Mapping[str, Split],
    order: Tensor,
    options: DataOptions,
    groups: Tensor | None = None,
) -> dict[str, list[int]]:
    """Which samples of train go where, itself among them; nothing where all stay. Neighbours in the order that are of
    one group stay together."""
    total = len(order)
    counts = split_counts(options, splits, total)
    if sum(counts.values()) >= total:
        raise UsageError(f"{spec.name} has {total} samples: too few to set {' and '.join(counts)} data aside")
    if not counts and options.limit is None:
        return {}
    chosen, start = {}, 0
    for name, count in counts.items():
        end = start + count
        while groups is not None and end < total and groups[end] == groups[end - 1]:
            end += 1
        chosen[name] = order[start:end].sort().values.tolist()
        start = end
    if start >= total:
        raise UsageError(
            f"{spec.name} has {total} samples: too many are equal to set {' and '.join(counts)} data aside"
        )
    end = total if options.limit is None else start + options.limit
    if end > total:
        left = total - start
        raise UsageError(f"limit: {options.limit:,} training samples are asked for, {spec.name} leaves {left:,}")
    chosen["train"] = order[start:end].sort().values.tolist()
    return chosen


def random_order(classes: Tensor | None, count: int, seed: int) -> Tensor:
    """A random order of which every beginning holds each class in its proportion, as nearly as whole samples allow."""
    generator = torch.Generator().manual_seed(derive(seed, "split"))
    shuffled = torch.randperm(count, generator=generator)
    if classes is None:
        return shuffled
    place = torch.empty(count, dtype=torch.float64)
    labels = classes[shuffled]
    for label in range(int(classes.max()) + 1):
        (members,) = torch.nonzero(labels == label, as_tuple=True)
        # the k-th of n members of a class stands at (k + 1/2)/n of the way
        place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return shuffled[place.argsort(stable=True)]
