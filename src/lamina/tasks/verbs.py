"""What a run can do beside inspect, report and export, and with which options, by task. Imports no torch: the command
line shows these options.

A task of another package brings its own in ``TaskKind.verbs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.tasks.generation_options import GenerationOptions
from lamina.tasks.translation_options import BeamOptions, TranslationOptions
from lamina.tasks.verb_options import CropOptions, NoOptions

PREDICTING: Mapping[str, type[Any]] = {"evaluate": CropOptions, "predict": NoOptions}
VERBS: Mapping[str, Mapping[str, type[Any]]] = {
    "classification": PREDICTING,
    "multilabel": PREDICTING,
    "regression": PREDICTING,
    "language-modelling": {"evaluate": NoOptions, "generate": GenerationOptions},
    "translation": {"evaluate": BeamOptions, "predict": TranslationOptions},
}
"""the frozen dataclass of a verb's options: ``VERBS[task][verb]``"""
