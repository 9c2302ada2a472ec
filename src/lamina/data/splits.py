"""Splits: the source's own, missing ones drawn from train by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.source import Samples, Source, Split
from lamina.data.spec import ORDER, DataSpec
from lamina.data.targets.labels import check_targets, strata
from lamina.errors import DataError, UsageError
from lamina.randomness import derive


def complete(spec: DataSpec, splits: Mapping[str, Samples], options: DataOptions) -> Source:
    """A source with test and validation splits; missing ones are drawn from train, unless their share is 0.

    Shares refer to the original train split; ``limit`` applies to the rest. Splits are stratified by class and drawn
    by ``split_seed``. Raises DataError for a single class or a class that is not in train, UsageError for too few
    samples.
    """
    if not len(splits["train"]):
        raise DataError(f"{spec.name}: the train split is empty")
    check_targets(spec, {name: split.targets for name, split in splits.items()}, options)
    pool = splits["train"]
    order = random_order(strata(spec, pool.targets), len(pool), options.split_seed)
    chosen = set_aside(spec, splits, order, options)
    return named(spec, {**splits, **{name: pool.subset(index) for name, index in chosen.items()}})


def named(spec: DataSpec, splits: Mapping[str, Split]) -> Source:
    """A source with the splits in standard order and their sizes in the spec."""
    named = {name: splits[name] for name in ORDER if name in splits}
    return Source(replace(spec, sizes={name: len(split) for name, split in named.items()}), named)


def split_counts(options: DataOptions, splits: Mapping[str, Split], total: int) -> dict[str, int]:
    """Numbers of training samples to move to the missing splits."""
    shares = {"test": options.test, "validation": options.validation}
    return {name: max(1, round(share * total)) for name, share in shares.items() if share > 0 and name not in splits}


def set_aside(
    spec: DataSpec,
    splits: Mapping[str, Split],
    order: Tensor,
    options: DataOptions,
    groups: Tensor | None = None,
) -> dict[str, list[int]]:
    """Indices of train samples for each split, train included; empty if none are moved. Neighbours in the order with
    the same group stay together."""
    total = len(order)
    counts = split_counts(options, splits, total)
    if sum(counts.values()) >= total:
        raise UsageError(f"{spec.name} has {total} samples: too few to split off {' and '.join(counts)} data")
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
            f"{spec.name} has {total} samples: too many are equal to split off {' and '.join(counts)} data"
        )
    end = total if options.limit is None else start + options.limit
    if end > total:
        left = total - start
        raise UsageError(f"limit is {options.limit:,}, but {spec.name} has only {left:,} training samples")
    chosen["train"] = order[start:end].sort().values.tolist()
    return chosen


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
