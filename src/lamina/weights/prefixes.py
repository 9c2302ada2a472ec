"""Names as wrappers leave them, and as they read without the prefixes that wrappers put before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""the parts of names that torch's own wrappers put in: DistributedDataParallel and AveragedModel, compile, FSDP,
checkpointing; also in the middle of a name, where only a part of a model was wrapped"""


@dataclass(frozen=True)
class Reading:
    """One way to read the names of a file."""

    names: dict[str, str]
    """the file's own name by the name as it is read"""
    prefix: str = ""
    """what was taken off: "model.", "module._orig_mod." """


def readings(names: Iterable[str]) -> Iterator[Reading]:
    """The names as they are, then with one prefix more taken off each time; those without it stay as they are.

        [reading.prefix for reading in readings(["net.fc.weight", "net.fc.bias", "scale"])]   # ["", "net.", "net.fc."]

    Which of them is meant only a model can tell: a prefix may belong to its own names. A prefix is what most names
    have; nothing is taken off where two names would become one.
    """
    own = list(names)
    yield from _shortened(Reading({name: name for name in own}))
    found = {part for name in own for part in name.split(".")[:-1] if part in WRAPPERS}
    unwrapped = {_unwrapped(name): name for name in own}
    if found and len(unwrapped) == len(own):
        yield from _shortened(Reading(unwrapped, "".join(f"{part}." for part in sorted(found))))


def _unwrapped(name: str) -> str:
    *parts, last = name.split(".")
    return ".".join([*(part for part in parts if part not in WRAPPERS), last])


def _shortened(reading: Reading) -> Iterator[Reading]:
    yield reading
    while True:
        firsts = Counter(name.partition(".")[0] for name in reading.names if "." in name)
        first, count = firsts.most_common(1)[0] if firsts else ("", 0)
        if 2 * count <= len(reading.names):
            return
        shorter = {name.removeprefix(f"{first}."): own for name, own in reading.names.items()}
        if len(shorter) < len(reading.names):
            return
        reading = Reading(shorter, f"{reading.prefix}{first}.")
        yield reading
