"""Decoding with any language model or decoder of the contract: sampling, greedy, beam search.

from lamina.decoding import generate
generate(model, [[1, 5, 2], [7]], max_new_tokens=20, top_p=0.9, seed=1)  # the new tokens of each prompt
"""

from __future__ import annotations

from lamina.decoding.beams import Hypothesis, beam_search
from lamina.decoding.generation import generate, stream
from lamina.decoding.sampling import Sampling, keep_top_k, keep_top_p, penalise_repetition

__all__ = [
    "Hypothesis",
    "Sampling",
    "beam_search",
    "generate",
    "keep_top_k",
    "keep_top_p",
    "penalise_repetition",
    "stream",
]
