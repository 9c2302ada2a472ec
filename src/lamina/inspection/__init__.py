"""Looking inside a model: its layers, feature maps, class activation maps, attention, filters and gradients.

All of it as tensors; the pages and pictures are drawn elsewhere.
"""

from __future__ import annotations

from lamina.inspection.attention import Looking, attention_maps, looking
from lamina.inspection.cam import grad_cam
from lamina.inspection.erf import effective_receptive_field
from lamina.inspection.features import feature_maps
from lamina.inspection.filters import first_filters
from lamina.inspection.gradients import gradient_flow
from lamina.inspection.image import Inspection, inspect_image
from lamina.inspection.layers import layer_table, receptive_field

__all__ = [
    "Inspection",
    "Looking",
    "attention_maps",
    "effective_receptive_field",
    "feature_maps",
    "first_filters",
    "grad_cam",
    "gradient_flow",
    "inspect_image",
    "layer_table",
    "looking",
    "receptive_field",
]
