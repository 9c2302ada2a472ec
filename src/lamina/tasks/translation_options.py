"""Options of the verbs of translation. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError

LONGER = 50
"""maximum number of tokens of a translation beyond those of its source (Vaswani et al. 2017, section 6.1)"""


@dataclass(frozen=True, kw_only=True)
class BeamOptions:
    """Options of beam search. Raises UsageError for values out of range."""

    beam: int = 1
    """beam size; 1: greedy decoding"""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise UsageError(f"beam must be at least 1, got {self.beam}")


@dataclass(frozen=True, kw_only=True)
class TranslationOptions(BeamOptions):
    """How texts are translated. Raises UsageError for values out of range.

    Example: ``TranslationOptions(beam=4, length_penalty=0.6)``
    """

    length_penalty: float = 0.6
    """above 0 favours longer translations: scores are divided by ((5 + tokens) / 6) to this power"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length_penalty < 0:
            raise UsageError(f"length_penalty must be at least 0, got {self.length_penalty}")
