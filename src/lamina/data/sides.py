"""Two unpaired sets of data, or more: the classes of one source, or several sources."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from lamina.data.source import Samples, Source, Split
from lamina.errors import DataError, UsageError


def sides_of(source: Source, names: tuple[str, ...]) -> dict[str, Source]:
    """The classes of a source as sets of their own, in their order: ``sides_of(source, ("A", "B"))``.

    "target" of a side's samples is its number. Raises UsageError for another number of classes.
    """
    spec = source.spec
    if spec.task != "classification" or len(spec.classes) != len(names):
        have = f"{len(spec.classes)} classes" if spec.classes else "no classes"
        raise UsageError(
            f"'{spec.name}' has {have}, the task draws from {len(names)} unpaired sets: give a source of exactly "
            f"{len(names)} classes, folders trainA and trainB, or --data for each of them"
        )
    found = {}
    for number, name in enumerate(names):
        splits: dict[str, Split] = {}
        for split, whole in source.splits.items():
            part = cast(Samples, whole)
            chosen = torch.nonzero(cast(Tensor, part.targets) == number)[:, 0].tolist()
            if chosen:
                splits[split] = part.subset(chosen)
        if "train" not in splits:
            raise DataError(
                f"'{spec.name}' has no training data of side {name} ({spec.classes[number]}): each side needs some, "
                "from a source of its own with --data for each of them"
            )
        sizes = {split: len(part) for split, part in splits.items()}
        found[name] = Source(replace(spec, name=f"{spec.name}, side {name}", sizes=sizes), splits)
    return found


def joined(sources: Mapping[str, Source]) -> Source:
    """Several sources as one, each a class named as in the mapping. Targets of their own are left out.

    Raises UsageError for sources of different kinds, DataError for samples that do not go together.
    """
    (first, *others) = sources.values()
    for other in others:
        if other.spec.kind != first.spec.kind:
            raise UsageError(
                f"'{first.spec.name}' is {first.spec.kind} data, '{other.spec.name}' is {other.spec.kind} data: sides "
                "are of one kind"
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
        task="classification",
        classes=tuple(sources),
        targets=("side",),
        sizes={split: len(part) for split, part in splits.items()},
        hint="",
        fingerprint=digest.hexdigest(),
        skipped=tuple(name for spec in specs for name in spec.skipped),
        **{"channels": None, "height": None, "width": None, **alike},
    )
    return Source(spec, splits)
