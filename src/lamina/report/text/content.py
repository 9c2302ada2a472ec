"""Additional contents of a report on texts, as plain values.

Legend: T output tokens, S source tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lamina.report.marks import Mark
from lamina.report.statistics import Floats

if TYPE_CHECKING:
    from lamina.inspection.word_attribution import WordAttribution


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """A token of low probability under a language model, in context."""

    before: str
    token: str
    after: str
    probability: float
    bits: float
    expected: str
    """the most probable tokens, in words"""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A source text, its translation, and the alignment."""

    source: str
    truth: str
    predicted: str
    score: float
    """sentence chrF, 0 to 100"""
    where: str = ""
    rows: Sequence[str] = ()
    """output tokens"""
    columns: Sequence[str] = ()
    """source tokens"""
    attn_TS: Floats | None = None
    """the alignment, where the model has one"""


@dataclass(frozen=True, kw_only=True)
class TextOutcome:
    """Results of a text model on a split; what its task does not have is empty."""

    read: int = 0
    """tokens of running text that were searched for surprising ones"""
    bits: float = math.nan
    """mean bits per token over them"""
    opening: Sequence[Mark] = ()
    """the beginning of the split, highlighted by surprisal"""
    surprises: Sequence[Surprise] = ()
    """greatest first"""
    influential_words: Sequence[tuple[str, Sequence[WordAttribution], Sequence[WordAttribution]]] = ()
    """(output, words with a positive effect, words with a negative effect), strongest first"""
    attributed: int = 0
    """texts that the word attribution covers"""
    translated: int = 0
    """texts that were searched for the worst translations"""
    examples: Sequence[Example] = ()
    worst: Sequence[Example] = ()
    """lowest score first"""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """sacrebleu signatures by metric"""
