"""Looking inside a model: its layers, feature maps, class activation maps, attention, filters and gradients; of models
of text alignments, gates, expectations and the words that tell.

All of it as tensors; the pages and pictures are drawn elsewhere.
"""

from __future__ import annotations

from lamina.inspection.attention import Looking, alignments, attention_maps, looking
from lamina.inspection.cam import grad_cam
from lamina.inspection.embedded import gradient_by_lag
from lamina.inspection.erf import effective_receptive_field
from lamina.inspection.features import feature_maps
from lamina.inspection.filters import first_filters
from lamina.inspection.gates import Trace, gate_traces
from lamina.inspection.gradients import gradient_flow
from lamina.inspection.image import Inspection, inspect_image
from lamina.inspection.layers import layer_table, receptive_field
from lamina.inspection.surprisal import Expected, expected, most_surprising, read
from lamina.inspection.text import TextInspection, inspect_judged, inspect_running, inspect_translated
from lamina.inspection.words import Telling, telling_words, word_effects

__all__ = [
    "Expected",
    "Inspection",
    "Looking",
    "Telling",
    "TextInspection",
    "Trace",
    "alignments",
    "attention_maps",
    "effective_receptive_field",
    "expected",
    "feature_maps",
    "first_filters",
    "gate_traces",
    "grad_cam",
    "gradient_by_lag",
    "gradient_flow",
    "inspect_image",
    "inspect_judged",
    "inspect_running",
    "inspect_translated",
    "layer_table",
    "looking",
    "most_surprising",
    "read",
    "receptive_field",
    "telling_words",
    "word_effects",
]
