"""A source described as plain data, for ``lamina data NAME``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lamina.data.source import Pairs, Source, Table, Text, Texts, labelled
from lamina.data.text_files import lines_of


def describe(source: Source) -> dict[str, Any]:
    """What a source is, as JSON-ready data: spec, samples per split and class, columns with their extent."""
    spec = source.spec
    out: dict[str, Any] = {
        "name": spec.name,
        "kind": spec.kind,
        "task": spec.task,
        "sizes": dict(spec.sizes),
        "targets": list(spec.targets),
    }
    if spec.task in ("classification", "multilabel", "regression"):
        out |= _targets(source)
    match spec.kind:
        case "image":
            out |= {
                "channels": spec.channels,
                "height": spec.height,
                "width": spec.width,
                "value_range": list(spec.value_range),
            }
        case "table":
            out["columns"] = _columns(source)
        case "text":
            out |= {"languages": list(spec.languages), "texts": _texts(source), "example": _example(source)}
    return out | {"fingerprint": spec.fingerprint, "skipped": list(spec.skipped), "licence": spec.licence}


def _targets(source: Source) -> dict[str, Any]:
    """Least and greatest value of regression targets, else samples of each class."""
    spec = source.spec
    targets = {name: labelled(split).targets for name, split in source.splits.items()}
    if spec.task == "regression":
        ranges = {
            split: {name: [float(of[:, k].min()), float(of[:, k].max())] for k, name in enumerate(spec.targets)}
            for split, of in targets.items()
        }
        return {"target_range": ranges}
    counts = {split: _counts(of, len(spec.classes)) for split, of in targets.items()}
    return {
        "classes": {name: {split: count[k] for split, count in counts.items()} for k, name in enumerate(spec.classes)}
    }


def _counts(targets: Tensor, classes: int) -> list[int]:
    found = targets.bincount(minlength=classes) if targets.ndim == 1 else targets.sum(0)
    return [int(count) for count in found.tolist()]


def _columns(source: Source) -> list[dict[str, Any]]:
    import pandas as pd

    frame = pd.concat([split.frame for split in source.splits.values() if isinstance(split, Table)], ignore_index=True)
    rows = []
    for column in source.spec.columns:
        series = frame[column.name]
        row: dict[str, Any] = {"name": column.name, "kind": column.kind, "missing": int(series.isna().sum())}
        if column.kind == "numeric":
            present = series.dropna()
            row |= {"min": float(present.min()), "max": float(present.max())} if len(present) else {}
        else:
            row["categories"] = int(series.nunique())
        rows.append(row)
    return rows


def _texts(source: Source) -> dict[str, dict[str, int]]:
    """Of each split: running text's lines and different characters; else the length of texts in characters."""
    found: dict[str, dict[str, int]] = {}
    for name, split in source.splits.items():
        match split:
            case Text():
                found[name] = {"lines": len(lines_of(split.text)), "different_characters": len(set(split.text))}
            case Pairs():
                first, second = source.spec.languages
                found[name] = _lengths(split.sources, f"_{first}") | _lengths(split.texts, f"_{second}")
            case Texts():
                found[name] = _lengths(split.texts)
    return found


def _lengths(texts: Sequence[str], end: str = "") -> dict[str, int]:
    lengths = sorted(map(len, texts))
    return {f"median_characters{end}": lengths[len(lengths) // 2], f"longest_characters{end}": lengths[-1]}


def _example(source: Source) -> list[str]:
    """The first line, text, or pair of train."""
    match source.splits["train"]:
        case Text() as split:
            return [next(line for line in lines_of(split.text) if line.strip())]
        case Pairs() as split:
            return [split.sources[0], split.texts[0]]
        case Texts() as split:
            return [split.texts[0]]
    return []
