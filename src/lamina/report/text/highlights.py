"""Texts highlighted by surprisal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lamina.report.marks import DEEPEST, Mark

if TYPE_CHECKING:
    from lamina.inspection.surprisal import TokenSurprisal

BITS = 12.0
"""surprisal with the strongest highlight"""
LEAST_BITS = 1.0
"""tokens below this surprisal are not highlighted"""
SIGNS = {"": "nothing", " ": "␣", "\n": "⏎", "\t": "⇥"}


def surprise_marks(
    pieces: Sequence[str], found: TokenSurprisal, token: Callable[[int], str], first: int = 0
) -> list[Mark]:
    """Pieces of text highlighted by surprisal; the pieces are the tokens of ``found`` from ``first``.

    ``token`` gives any token as a piece of text.
    """
    bits_T = found.bits.numpy()
    marks = []
    for place, piece in enumerate(pieces, start=first):
        bits = float(bits_T[place])
        depth = DEEPEST * min(bits / BITS, 1.0) if bits >= LEAST_BITS else 0.0
        tooltip = f"{chance(float(found.probability_T[place]))}; expected {expectations(found, place, token)}"
        marks.append(Mark(text=piece, depth=depth, alt=tooltip))
    return marks


def expectations(found: TokenSurprisal, place: int, token: Callable[[int], str], most: int = 5) -> str:
    """The most probable tokens at a position, in words: "“e” 61.0 %, “a” 10.2 %"."""
    return likeliest(found.likeliest_TK[place].tolist(), found.likeliest_probability_TK[place].tolist(), token, most)


def likeliest(tokens: Sequence[int], probabilities: Sequence[float], token: Callable[[int], str], most: int = 5) -> str:
    """Tokens with their probabilities, in words; the first, and those of at least one in a thousand."""
    pairs = list(zip(tokens, probabilities, strict=True))[:most]
    return ", ".join(
        f"{quoted(token(index))} {chance(value)}" for i, (index, value) in enumerate(pairs) if not i or value >= 0.001
    )


def chance(probability: float) -> str:
    """A probability as a percentage with one decimal."""
    if probability > 0.999:
        return "> 99.9\u00a0%"
    return f"{100 * probability:.1f}\u00a0%" if probability >= 0.001 else "< 0.1\u00a0%"


def quoted(piece: str) -> str:
    """A piece of text in quotation marks, with visible signs for white space."""
    shown = SIGNS.get(piece, piece)
    return f"“{'␣' + shown[1:] if shown.startswith(' ') else shown}”"
