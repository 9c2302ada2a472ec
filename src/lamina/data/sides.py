"""Unpaired data sets: the classes of one source, or several sources."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from lamina.data.source import Samples, Source, Split, targets_of
from lamina.data.targets.labels import CLASSES, strata
from lamina.errors import DataError, UsageError


def sides_of(source: Source, names: tuple[str, ...], only: str | None = None) -> dict[str, Source]:
    """The classes of a source as separate sources, in order: ``sides_of(source, ("A", "B"))``.

    The targets of a side are its index. ``only`` is the one split to take. Raises UsageError for another number of
    classes, DataError for a side without training data.
    """
    spec = source.spec
    numbers = {split: strata(spec, targets_of(whole)) for split, whole in source.splits.items()}
    if any(found is None for found in numbers.values()) or len(spec.classes) != len(names):
        have = f"{len(spec.classes)} classes" if spec.classes else "no classes"
        raise UsageError(
            f"'{spec.name}' has {have}, the task needs {len(names)} unpaired sets: give a source of exactly "
            f"{len(names)} classes, folders trainA and trainB, or --data for each of them"
        )
    found = {}
    for number, name in enumerate(names):
        places = {split: torch.nonzero(cast(Tensor, of) == number)[:, 0].tolist() for split, of in numbers.items()}
        if not places["train"]:
            raise DataError(
                f"'{spec.name}' has no training data of side {name} ({spec.classes[number]}): each side needs some, "
                "from a source of its own with --data for each of them"
            )
        splits: dict[str, Split] = {
            split: cast(Samples, source.splits[split]).subset(chosen)
            for split, chosen in places.items()
            if chosen and only in (None, split)
        }
        sizes = {split: len(chosen) for split, chosen in places.items() if chosen}
        found[name] = Source(replace(spec, name=f"{spec.name}, side {name}", sizes=sizes), splits)
    return found


def joined(sources: Mapping[str, Source]) -> Source:
    """Several sources as one, each a class named by its key in the mapping. Their own targets are dropped.

    Raises UsageError for sources of different kinds, DataError for samples that cannot be combined.

    Example: ``joined({"A": open_source("horses/"), "B": open_source("zebras/")})``
    """
    (first, *others) = sources.values()
    for other in others:
        if other.spec.kind != first.spec.kind:
            raise UsageError(
                f"'{first.spec.name}' is {first.spec.kind} data, '{other.spec.name}' is {other.spec.kind} data: sides "
                "must be of one kind"
            )
    splits: dict[str, Split] = {}
    for split in dict.fromkeys(split for source in sources.values() for split in source.splits):
        whole, numbers = None, []
        for number, source in enumerate(sources.values()):
            if split in source.splits:
                part = cast(Samples, source.splits[split])
                whole = part.with_targets(None) if whole is None else whole.joined(part)
                numbers += [number] * len(part)
        splits[split] = cast(Samples, whole).with_targets(torch.tensor(numbers))
    digest = hashlib.blake2b(digest_size=16)
    for source in sources.values():
        digest.update(source.spec.fingerprint.encode())
    specs = [source.spec for source in sources.values()]
    alike = {
        key: getattr(specs[0], key)
        for key in ("channels", "height", "width")
        if all(getattr(spec, key) == getattr(specs[0], key) for spec in specs)
    }
    spec = replace(
        specs[0],
        name=" and ".join(spec.name for spec in specs),
        task=CLASSES,
        classes=tuple(sources),
        targets=("side",),
        sizes={split: len(part) for split, part in splits.items()},
        hint="",
        fingerprint=digest.hexdigest(),
        skipped=tuple(name for spec in specs for name in spec.skipped),
        **{"channels": None, "height": None, "width": None, **alike},
    )
    return Source(spec, splits)
