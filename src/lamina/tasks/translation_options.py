"""Options of a translation's verbs. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import UsageError

LONGER = 50
"""tokens that a translation may be longer than its source (Vaswani et al. 2017, section 6.1)"""


@dataclass(frozen=True, kw_only=True)
class BeamOptions:
    """How translations are searched. Raises UsageError for values that mean nothing."""

    beam: int = 1
    """translations that the search keeps at a time; 1: greedy decoding"""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise UsageError(f"beam must be at least 1, got {self.beam}")


@dataclass(frozen=True, kw_only=True)
class TranslationOptions(BeamOptions):
    """How texts are translated. Raises UsageError for values that mean nothing."""

    length_penalty: float = 0.6
    """above 0 a beam favours longer translations: scores are divided by ((5 + tokens) / 6) to this power"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length_penalty < 0:
            raise UsageError(f"length_penalty must be at least 0, got {self.length_penalty}")
