"""Splits: the source's own where it has them, the rest set aside by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.source import Source, Split
from lamina.data.spec import DataSpec
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


def complete(spec: DataSpec, splits: Mapping[str, Split], options: DataOptions) -> Source:
    """A source with test and validation splits, set aside from train where it brings none and the share is not 0.

    Shares are of what the source calls train; a limit keeps so many samples of the rest. Classes keep their
    proportions; the order is drawn from the seed. Raises DataError where there is one class only, or a class that is
    not in train; UsageError for too few samples.
    """
    _check_targets(spec, splits)
    pool = splits["train"]
    shares = {"test": options.test, "validation": options.validation}
    counts = {
        name: max(1, round(share * len(pool))) for name, share in shares.items() if share > 0 and name not in splits
    }
    if sum(counts.values()) >= len(pool):
        raise UsageError(f"{spec.name} has {len(pool)} samples: too few to set {' and '.join(counts)} data aside")
    divided: dict[str, Split] = dict(splits)
    if counts or options.limit is not None:
        order = _order(pool.targets if spec.task == "classification" else None, len(pool), options.split_seed)
        start = 0
        for name, count in counts.items():
            divided[name] = pool.subset(order[start : start + count].sort().values.tolist())
            start += count
        end = len(pool) if options.limit is None else start + options.limit
        if end > len(pool):
            left = len(pool) - start
            raise UsageError(f"limit: {options.limit:,} training samples are asked for, {spec.name} leaves {left:,}")
        divided["train"] = pool.subset(order[start:end].sort().values.tolist())
    named = {name: divided[name] for name in ORDER if name in divided}
    return Source(replace(spec, sizes={name: len(split) for name, split in named.items()}), named)


def _order(classes: Tensor | None, count: int, seed: int) -> Tensor:
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


def _check_targets(spec: DataSpec, splits: Mapping[str, Split]) -> None:
    targets = splits["train"].targets
    if not len(targets):
        raise DataError(f"{spec.name}: the train split is empty")
    if spec.task == "regression":
        constant = [name for k, name in enumerate(spec.targets) if bool((targets[:, k] == targets[0, k]).all())]
        if constant:
            raise DataError(f"{spec.name}: target '{constant[0]}' has one value only, there is nothing to learn")
        return
    if len(spec.classes) < 2:
        only = f"only one class ('{spec.classes[0]}')" if spec.classes else "no class at all"
        raise DataError(f"{spec.name}: {only}, {spec.task} needs at least two")
    if spec.task == "classification":
        present = set(targets.tolist())
        for name, split in splits.items():
            for index in sorted(set(split.targets.tolist())):
                if index not in present:
                    raise DataError(f"{spec.name}: class '{spec.classes[index]}' is in {name} but not in train")
        if len(present) < 2:
            raise DataError(f"{spec.name}: only one class ('{spec.classes[min(present)]}') in train")
