"""Decoding with any language model or encoder-decoder: sampling, greedy decoding and beam search.

    from lamina.decoding import beam_search, generate

    generate(model, [[1, 5, 2], [7]], max_new_tokens=20, top_p=0.9, seed=1)  # the new tokens of each prompt
    beam_search(model, [[1, 5, 2]], beams=4, max_new_tokens=20, end=0)[0][0].tokens  # the best continuation

A model needs ``forward(tokens_BT, state, lengths, memory) -> (logits_BTV, state)``, ``init_state(batch, max_length)``
and ``select(state, index_B)``.
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
