"""Splitting of running text and of pairs without their own splits."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from lamina.data.options import DataOptions
from lamina.data.partition import random_order
from lamina.data.source import Source, Split
from lamina.data.spec import DataSpec
from lamina.data.splits import named, set_aside, split_counts
from lamina.data.text.samples import Pairs, Text
from lamina.errors import UsageError


def complete_pairs(spec: DataSpec, splits: Mapping[str, Pairs], options: DataOptions) -> Source:
    """A source of pairs with test and validation splits; missing ones are drawn from train as by ``complete``.

    Pairs with equal sources stay in one split, so that no training source is tested; a split may be a few pairs larger
    than its share. Raises UsageError for too few pairs.
    """
    pool = splits["train"]
    number = {source: k for k, source in enumerate(dict.fromkeys(pool.sources))}
    group = torch.tensor([number[source] for source in pool.sources])
    order = random_order(None, len(number), options.split_seed).argsort()[group].argsort(stable=True)
    chosen = set_aside(spec, splits, order, options, group[order])
    return named(spec, {**splits, **{name: pool.subset(index) for name, index in chosen.items()}}, options)


def complete_text(spec: DataSpec, splits: Mapping[str, Text], options: DataOptions) -> Source:
    """A source of running text with validation and test splits; missing ones are the end of train: train comes first,
    then validation, then test, cut at line ends if possible.

    Shares and limit are in characters. Raises UsageError for a text that is too short, and for too large a limit.
    """
    pool = splits["train"].text
    divided: dict[str, Split] = dict(splits)
    end = len(pool)
    for name, count in split_counts(options, splits, len(pool)).items():
        begin = _line_end(pool, end - count)
        if begin < 1:
            raise UsageError(f"{spec.name} has {len(pool):,} characters: too few to split off {name} data")
        divided[name], end = Text(pool[begin:end]), begin
    if options.limit is not None:
        if options.limit > end:
            raise UsageError(f"limit is {options.limit:,}, but {spec.name} has only {end:,} training characters")
        end = _line_end(pool, options.limit)
    divided["train"] = Text(pool[:end])
    return named(spec, divided, options)


def _line_end(text: str, place: int) -> int:
    """The last line end at or before ``place``, or ``place`` itself if there is none."""
    return text.rfind("\n", 0, max(place, 0)) + 1 or place
