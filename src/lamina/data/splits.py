"""Splits: the source's own, missing ones drawn from train by seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.partition import equal_parts, grouped_parts, random_order
from lamina.data.source import Comparable, Samples, Source, Split
from lamina.data.spec import ORDER, DataSpec
from lamina.data.tabular.groups import Groups
from lamina.data.targets.labels import CLASSES, check_targets, strata
from lamina.errors import DataError, UsageError, unknown


def complete(
    spec: DataSpec, splits: Mapping[str, Samples], options: DataOptions, groups: Groups | None = None
) -> Source:
    """A source with test and validation splits; missing ones are drawn from train, unless their share is 0.

    Shares refer to the original train split; ``limit`` applies to the rest. Splits are stratified by class and drawn
    by ``split_seed``. With ``folds`` the test split is one of them, and the share of validation refers to the others.
    The samples of one of the ``groups`` (in order of the splits) are in one split, and shares are met as closely as
    that allows. Raises DataError for a single class, a class that is not in train and a group in two splits, UsageError
    for too few samples or groups.
    """
    if not len(splits["train"]):
        raise DataError(f"{spec.name}: the train split is empty")
    check_targets(spec, {name: split.targets for name, split in splits.items()}, options)
    of_train = None if groups is None else _apart(spec, splits, groups)
    if options.folds is not None:
        splits, of_train = _fold(spec, splits, options, of_train)
        spec = replace(spec, fold=f"{options.fold} of {options.folds}")
    pool, limit = splits["train"], options.limit
    if options.normal is not None:
        options = replace(options, limit=None)  # it counts samples of the normal class
    if of_train is not None:
        spec = replace(spec, group=of_train.column)
        chosen = _set_aside_groups(spec, splits, options, of_train)
    else:
        order = random_order(strata(spec, pool.targets), len(pool), options.split_seed)
        chosen = set_aside(spec, splits, order, options)
    divided = {**splits, **{name: pool.subset(index) for name, index in chosen.items()}}
    if options.normal is not None:
        divided = _normal(spec, divided, options.normal, limit)
    return named(spec, divided, options)


def _normal(spec: DataSpec, splits: Mapping[str, Samples], normal: str, limit: int | None) -> dict[str, Samples]:
    """The splits with one class alone in train and validation, at most ``limit`` samples of it in train.

    Raises UsageError for data without classes, a class that is not there, and one that is everything.
    """
    if spec.task != CLASSES:
        raise UsageError(f"--normal {normal} names a class, but {spec.name} has no classes")
    if normal not in spec.classes:
        raise unknown("class", normal, spec.classes)
    number = spec.classes.index(normal)
    every = torch.cat([cast(Tensor, split.targets) for split in splits.values()])
    if bool((every == number).all()):
        raise UsageError(f"--normal {normal}: every sample of {spec.name} is of that class, none is an anomaly")
    kept = dict(splits)
    for name in ("train", "validation"):
        if name in splits:
            (own,) = torch.nonzero(cast(Tensor, splits[name].targets) == number, as_tuple=True)
            if not len(own):
                raise UsageError(f"--normal {normal}: the {name} split of {spec.name} has no sample of that class")
            if name == "train" and limit is not None:
                _expect_limit(spec, limit, len(own))
                own = own[:limit]
            kept[name] = splits[name].subset(own.tolist())
    return kept


def _apart(spec: DataSpec, splits: Mapping[str, Samples], groups: Groups) -> Groups:
    """The groups of the train split. Raises DataError for a group in two splits."""
    first: dict[int, str] = {}
    parts = dict(zip(splits, groups.numbers.split_with_sizes([len(split) for split in splits.values()]), strict=True))
    for split, numbers in parts.items():
        for number in set(numbers.tolist()):
            if (before := first.setdefault(number, split)) != split:
                raise DataError(
                    f"{spec.name}: group '{groups.names[number]}' of column '{groups.column}' is in {before} and in "
                    f"{split}, as the data are divided: leave --group out, or the division (--drop its column)"
                )
    return replace(groups, numbers=parts["train"])


def _fold(
    spec: DataSpec, splits: Mapping[str, Samples], options: DataOptions, groups: Groups | None
) -> tuple[dict[str, Samples], Groups | None]:
    """The splits with one fold of train as test, and the groups of the rest."""
    count, fold = options.folds or 0, options.fold
    if "test" in splits:
        raise UsageError(
            f"{spec.name} has a test split of its own, and --folds tests each part of the data in turn: leave --folds "
            "out, or the division (--drop its column, or give one file of all data)"
        )
    if fold is None:
        raise UsageError(
            f"--folds {count} divides the data {count} times: name one, --fold 1 to {count} (lamina train and "
            "lamina.cross_validate train on each)"
        )
    pool = splits["train"]
    classes = strata(spec, pool.targets)
    kind, most = ("samples", len(pool)) if groups is None else ("groups", int(groups.compact().max()) + 1)
    if count > most:
        raise UsageError(f"{spec.name} has {most} {kind}, too few for {count} folds: --folds {most} at most")
    if groups is None:
        parts = equal_parts(classes, len(pool), count, options.split_seed)
    else:
        parts = grouped_parts(groups.compact(), (1 / count,) * count, classes, options.split_seed)
    for part in range(count if classes is not None else 0):
        _expect_classes(spec, classes, parts != part, groups)
    is_test = parts == fold - 1
    rest, test = (torch.nonzero(chosen)[:, 0] for chosen in (~is_test, is_test))
    divided = {**splits, "train": pool.subset(rest.tolist()), "test": pool.subset(test.tolist())}
    return divided, None if groups is None else groups.at(rest)


def _set_aside_groups(
    spec: DataSpec, splits: Mapping[str, Samples], options: DataOptions, groups: Groups
) -> dict[str, list[int]]:
    """Indices of train samples for each split as by ``set_aside``, no group in two of them."""
    pool = splits["train"]
    counts = split_counts(options, splits, len(pool))
    classes = strata(spec, pool.targets)
    parts = torch.zeros(len(pool), dtype=torch.int64)
    if counts:
        numbers = groups.compact()
        found = int(numbers.max()) + 1
        if found <= len(counts):
            raise UsageError(
                f"{spec.name}: column '{groups.column}' has {found} groups, too few for {', '.join(counts)} and train: "
                f"--{next(reversed(counts))} 0 goes without one of them"
            )
        shares = [count / len(pool) for count in counts.values()]
        parts = grouped_parts(numbers, (*shares, 1 - sum(shares)), classes, options.split_seed)
    in_train = parts == len(counts)
    if classes is not None:
        _expect_classes(spec, classes, in_train, groups)
    (train,) = torch.nonzero(in_train, as_tuple=True)
    if options.limit is not None:
        _expect_limit(spec, options.limit, len(train))
        train_classes = None if classes is None else classes[train]
        order = random_order(train_classes, len(train), options.split_seed)
        train = train[order[: options.limit]].sort().values
    chosen = {name: torch.nonzero(parts == number)[:, 0].tolist() for number, name in enumerate(counts)}
    return {**chosen, "train": train.tolist()}


def _expect_classes(spec: DataSpec, classes: Tensor | None, trained: Tensor, groups: Groups | None) -> None:
    """Raise DataError for a class without training samples."""
    if classes is None:
        return
    for lacking in sorted(set(classes.tolist()) - set(classes[trained].tolist())):
        of = "one sample" if groups is None else f"too few groups of column '{groups.column}'"
        raise DataError(
            f"{spec.name}: class '{spec.classes[lacking]}' has {of}: it cannot be in train and be tested, too"
        )


def _expect_limit(spec: DataSpec, limit: int, left: int) -> None:
    if limit > left:
        raise UsageError(f"limit is {limit:,}, but {spec.name} has only {left:,} training samples")


def named(spec: DataSpec, splits: Mapping[str, Split], options: DataOptions) -> Source:
    """A source with the splits in standard order and their sizes in the spec. Raises UsageError for groups and folds
    that the data cannot have."""
    if options.group is not None and not spec.group and options.teaches:
        raise UsageError(
            f"group (--group {options.group}) is a column of a table of rows, images or labelled texts: {spec.name} "
            "has no such column"
        )
    if options.folds is not None and not spec.fold:
        raise UsageError(f"folds (--folds) are of rows, images or labelled texts: {spec.name} is {spec.task} data")
    named = {name: splits[name] for name in ORDER if name in splits}
    sizes = {name: len(split) for name, split in named.items()}
    notes = (*spec.notes, *_repeats(named, options)) if options.teaches else spec.notes
    return Source(replace(spec, sizes=sizes, notes=notes), named)


def _repeats(splits: Mapping[str, Split], options: DataOptions) -> list[str]:
    """A note on samples of other splits that are in train, too."""
    found = []
    for name, split in splits.items():
        if name != "train" and hasattr(split, "repeated"):
            count = cast(Comparable, split).repeated(cast(Comparable, splits["train"]))
            found += [f"{count:,} of {len(split):,} {name} samples"] if count else []
    if not found:
        return []
    way_out = "" if options.group is not None else " (--group COLUMN keeps related rows of a table in one split)"
    return [f"{' and '.join(found)} equal one in train, target included: they flatter the metrics{way_out}"]


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
    if options.limit is not None:
        _expect_limit(spec, options.limit, total - start)
    chosen["train"] = order[start:end].sort().values.tolist()
    return chosen
