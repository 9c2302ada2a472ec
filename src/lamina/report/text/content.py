"""What the report of a run on texts is made of beside the rest, as plain values.

Legend: T tokens written, S tokens of a source.
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
    """A token that a language model did not expect, in its place."""

    before: str
    token: str
    after: str
    probability: float
    bits: float
    expected: str
    """what it expected, in words"""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A text, its translation, and how the one looked at the other."""

    source: str
    truth: str
    said: str
    score: float
    """sentence chrF, 0 to 100"""
    where: str = ""
    rows: Sequence[str] = ()
    """tokens written"""
    columns: Sequence[str] = ()
    """tokens of the source"""
    attn_TS: Floats | None = None
    """the alignment, where the model has one"""


@dataclass(frozen=True, kw_only=True)
class TextOutcome:
    """What a model of texts says of a split; what its task does not have is empty."""

    read: int = 0
    """tokens of running text that the surprises were looked for in"""
    bits: float = math.nan
    """a token, on average over them"""
    opening: Sequence[Mark] = ()
    """the beginning of the split, the stronger marked the less it was expected"""
    surprises: Sequence[Surprise] = ()
    """greatest first"""
    telling: Sequence[tuple[str, Sequence[WordAttribution], Sequence[WordAttribution]]] = ()
    """(output, words that speak for it, words that speak against it), most telling first"""
    judged: int = 0
    """texts that the telling words were looked for in"""
    translated: int = 0
    """texts that the worst translations were looked for in"""
    examples: Sequence[Example] = ()
    worst: Sequence[Example] = ()
    """lowest score first"""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """how a metric was calculated, by its name, as sacrebleu says it"""
