"""Description of a source as plain data, for ``lamina data NAME``."""

from __future__ import annotations

from typing import Any

from lamina.data.modality import MODALITIES
from lamina.data.source import Source, targets_of
from lamina.data.spec import NO_TARGETS
from lamina.data.targets.labels import describe_targets


def describe(source: Source) -> dict[str, Any]:
    """A JSON-ready description of a source: spec, samples per split and class, columns with their ranges; without
    targets how to provide them.

    Example: ``describe(open_source("digits"))["sizes"]`` is ``{"train": 1258, "validation": 180, "test": 359}``.
    """
    spec = source.spec
    out: dict[str, Any] = {
        "name": spec.name,
        "kind": spec.kind,
        "task": spec.task,
        "sizes": dict(spec.sizes),
        "counted": spec.counted,
        "targets": list(spec.targets),
    }
    targets = {name: found for name, split in source.splits.items() if (found := targets_of(split)) is not None}
    if targets:
        out |= describe_targets(spec, targets)
    if spec.task == NO_TARGETS:
        out["hint"] = spec.advice
    out |= MODALITIES[spec.kind].describe(source)
    out |= {"notes": list(spec.notes), "skipped": list(spec.skipped)}
    return out | {"fingerprint": spec.fingerprint, "licence": spec.licence}
