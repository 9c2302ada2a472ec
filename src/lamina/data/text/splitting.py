"""Splits of running text and of pairs, set aside where a source brings none."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lamina.data.options import DataOptions
from lamina.data.source import Source, Split
from lamina.data.spec import DataSpec
from lamina.data.splits import named, random_order, set_aside, split_counts
from lamina.data.text.samples import Pairs, Text
from lamina.errors import UsageError


def complete_pairs(spec: DataSpec, splits: Mapping[str, Pairs], options: DataOptions) -> Source:
    """A source of pairs with test and validation splits, set aside from train as ``complete`` does it.

    Equal sources, whatever their translations, stay in one split, so that none is tested on what was trained on: a
    split may be a few pairs larger than its share. Raises UsageError for too few pairs.
    """
    pool = splits["train"]
    number = {source: k for k, source in enumerate(dict.fromkeys(pool.sources))}
    group = torch.tensor([number[source] for source in pool.sources])
    order = random_order(None, len(number), options.split_seed).argsort()[group].argsort(stable=True)
    chosen = set_aside(spec, splits, order, options, group[order])
    return named(spec, {**splits, **{name: pool.subset(index) for name, index in chosen.items()}})


def complete_text(spec: DataSpec, splits: Mapping[str, Text], options: DataOptions) -> Source:
    """A source of running text with validation and test splits, its end where it brings none: train comes first, then
    validation, then test, cut after the end of a line where there is one.

    Shares and the limit are of characters. Raises UsageError for too short a text, and for a limit that exceeds it.
    """
    pool = splits["train"].text
    divided: dict[str, Split] = dict(splits)
    end = len(pool)
    for name, count in split_counts(options, splits, len(pool)).items():
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
    return named(spec, divided)


def _line_end(text: str, place: int) -> int:
    """The last end of a line at or before ``place``; the place itself where there is none."""
    return text.rfind("\n", 0, max(place, 0)) + 1 or place
