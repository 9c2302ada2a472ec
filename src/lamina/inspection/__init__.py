"""Looking inside a model: layer tables, feature maps, class activation maps, attention, filters and gradients; for text
also alignments, gate traces, surprisal and word attribution.

Everything here returns tensors; ``lamina.report`` draws the pages and pictures.

    from lamina.inspection import attention_maps, grad_cam

    cam_BHW = grad_cam(model, x_BCHW)  # for the class with the largest logit
    maps = attention_maps(model, x_BCHW)  # {module name: (B, heads, queries, keys)}
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lamina.inspection.attention import BlockAttention, alignments, attention_maps, block_attention
from lamina.inspection.cam import grad_cam
from lamina.inspection.embedding_gradients import gradient_by_lag
from lamina.inspection.erf import effective_receptive_field
from lamina.inspection.features import feature_maps
from lamina.inspection.filters import first_filters
from lamina.inspection.gates import Trace, gate_traces
from lamina.inspection.gradients import gradient_flow
from lamina.inspection.image import Inspection, inspect_image
from lamina.inspection.layers import layer_table, receptive_field
from lamina.inspection.surprisal import TokenSurprisal, most_surprising, text_surprisal, token_surprisal
from lamina.inspection.text import TextInspection, inspect_classified_text, inspect_running_text, inspect_translation
from lamina.inspection.word_attribution import WordAttribution, strongest_words, word_effects

__all__ = [
    "BlockAttention",
    "Inspection",
    "TextInspection",
    "TokenSurprisal",
    "Trace",
    "WordAttribution",
    "alignments",
    "attention_maps",
    "block_attention",
    "effective_receptive_field",
    "feature_maps",
    "first_filters",
    "gate_traces",
    "grad_cam",
    "gradient_by_lag",
    "gradient_flow",
    "inspect_classified_text",
    "inspect_image",
    "inspect_running_text",
    "inspect_translation",
    "layer_table",
    "most_surprising",
    "receptive_field",
    "strongest_words",
    "text_surprisal",
    "token_surprisal",
    "word_effects",
]

_RENAMED = {
    "Expected": "TokenSurprisal",
    "Looking": "BlockAttention",
    "Telling": "WordAttribution",
    "expected": "token_surprisal",
    "inspect_judged": "inspect_classified_text",
    "inspect_running": "inspect_running_text",
    "inspect_translated": "inspect_translation",
    "looking": "block_attention",
    "read": "text_surprisal",
    "telling_words": "strongest_words",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """The former names, which are deprecated."""
        if name not in _RENAMED:
            raise AttributeError(f"module 'lamina.inspection' has no attribute '{name}'")
        warnings.warn(f"lamina.inspection.{name} is now {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        return globals()[_RENAMED[name]]
