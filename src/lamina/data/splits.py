"""Splits: the source's own where it has them, the rest set aside by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.source import Labelled, Pairs, Source, Split, Text
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


def complete(spec: DataSpec, splits: Mapping[str, Labelled], options: DataOptions) -> Source:
    """A source with test and validation splits, set aside from train where it brings none and the share is not 0.

    Shares are of what the source calls train; a limit keeps so many samples of the rest. Classes keep their
    proportions; the order is drawn from the seed. Raises DataError where there is one class only, or a class that is
    not in train; UsageError for too few samples.
    """
    _check_targets(spec, splits)
    pool = splits["train"]
    order = _order(pool.targets if spec.task == "classification" else None, len(pool), options.split_seed)
    chosen = _set_aside(spec, splits, order, options)
    return _named(spec, {**splits, **{name: pool.subset(index) for name, index in chosen.items()}})


def complete_pairs(spec: DataSpec, splits: Mapping[str, Pairs], options: DataOptions) -> Source:
    """A source of pairs with test and validation splits, set aside from train as ``complete`` does it.

    Equal sources, whatever their translations, stay in one split, so that none is tested on what was trained on: a
    split may be a few pairs larger than its share. Raises UsageError for too few pairs.
    """
    pool = splits["train"]
    number = {source: k for k, source in enumerate(dict.fromkeys(pool.sources))}
    group = torch.tensor([number[source] for source in pool.sources])
    order = _order(None, len(number), options.split_seed).argsort()[group].argsort(stable=True)
    chosen = _set_aside(spec, splits, order, options, group[order])
    return _named(spec, {**splits, **{name: pool.subset(index) for name, index in chosen.items()}})


def complete_text(spec: DataSpec, splits: Mapping[str, Text], options: DataOptions) -> Source:
    """A source of running text with validation and test splits, its end where it brings none: train comes first, then
    validation, then test, cut after the end of a line where there is one.

    Shares and the limit are of characters. Raises UsageError for too short a text, and for a limit that exceeds it.
    """
    pool = splits["train"].text
    divided: dict[str, Split] = dict(splits)
    end = len(pool)
    for name, count in _counts(options, splits, len(pool)).items():
        begin = _line_end(pool, end - count)
        if begin < 1:
            raise UsageError(f"{spec.name} has {len(pool):,} characters: too few to set {name} data aside")
        divided[name], end = Text(pool[begin:end]), begin
    if options.limit is not None:
        if options.limit > end:
            asked = f"{options.limit:,} training characters are asked for"
            raise UsageError(f"limit: {asked}, {spec.name} leaves {end:,}")
        end = _line_end(pool, options.limit)
    divided["train"] = Text(pool[:end])
    return _named(spec, divided)


def _line_end(text: str, place: int) -> int:
    """The last end of a line at or before ``place``; the place itself where there is none."""
    return text.rfind("\n", 0, max(place, 0)) + 1 or place


def _named(spec: DataSpec, splits: Mapping[str, Split]) -> Source:
    named = {name: splits[name] for name in ORDER if name in splits}
    return Source(replace(spec, sizes={name: len(split) for name, split in named.items()}), named)


def _counts(options: DataOptions, splits: Mapping[str, Split], total: int) -> dict[str, int]:
    """Of what the source calls train, so many samples go to the splits that it does not bring."""
    shares = {"test": options.test, "validation": options.validation}
    return {name: max(1, round(share * total)) for name, share in shares.items() if share > 0 and name not in splits}


def _set_aside(
    spec: DataSpec,
    splits: Mapping[str, Split],
    order: Tensor,
    options: DataOptions,
    groups: Tensor | None = None,
) -> dict[str, list[int]]:
    """Which samples of train go where, itself among them; nothing where all stay. Neighbours in the order that are of
    one group stay together."""
    total = len(order)
    counts = _counts(options, splits, total)
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


def _check_targets(spec: DataSpec, splits: Mapping[str, Labelled]) -> None:
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
