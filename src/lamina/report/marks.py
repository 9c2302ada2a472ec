"""Pieces of text in colour, and what a model wrote in training: plain values of any report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamina.report.statistics import Floats
from lamina.report.wording import signed

DEEPEST = 0.9
"""opacity of the strongest colour"""
LEAST_EFFECT = 0.02
"""a text in which no word adds so much is not painted as strongly as others"""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A piece of a text, in colour where there is something to see."""

    text: str
    depth: float = 0.0
    """opacity of its colour, 0 to 1"""
    right: bool = False
    """blue, not orange"""
    alt: str = ""
    """what is to be said of it, where a reader points at it"""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a model wrote in the course of training."""

    epoch: int
    given: str
    """the beginning that it went on from, or the source that it translated"""
    text: str
    """what it wrote itself"""
    truth: str = ""
    """of a translation the right one"""


def word_marks(text: str, words: Sequence[tuple[int, int]], effect_W: Floats) -> list[Mark]:
    """A text, its words blue where they speak for an output and orange where they speak against it."""
    greatest = max(LEAST_EFFECT, float(np.abs(effect_W).max(initial=0.0)))
    marks, done = [], 0
    for (begin, end), effect in zip(words, effect_W.tolist(), strict=True):
        if begin > done:
            marks.append(Mark(text=text[done:begin]))
        depth = DEEPEST * abs(effect) / greatest
        adds = f"adds {signed(effect, 3)}"
        marks.append(Mark(text=text[begin:end], depth=depth if depth >= 0.05 else 0.0, right=effect > 0, alt=adds))
        done = end
    return [*marks, Mark(text=text[done:])] if done < len(text) else marks
