"""The verbs of runs besides inspect, report and export, with their options, by task. Imports no torch, so that the
command line can show them quickly.

Tasks of other packages define theirs in ``TaskKind.verbs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.tasks.adversarial.cycle_options import DirectionOptions
from lamina.tasks.adversarial.options import AdversarialSampleOptions
from lamina.tasks.adversarial.style_options import StyleSampleOptions
from lamina.tasks.anomaly.options import AlarmOptions
from lamina.tasks.autoencoder_options import (
    AutoencoderVerdict,
    BoundOptions,
    NoisyOptions,
    SampleOptions,
    VariationalSampleOptions,
    VariationalVerdict,
)
from lamina.tasks.forecasting.options import BacktestOptions, ForecastOptions
from lamina.tasks.generation_options import GenerationOptions
from lamina.tasks.remaining_life.options import LifeEvaluation, LifeLevels
from lamina.tasks.sample_metrics.options import SampleMetricOptions
from lamina.tasks.style_options import BlendOptions
from lamina.tasks.translation_options import BeamOptions, TranslationOptions
from lamina.tasks.verb_options import CropOptions, NoOptions

PREDICTING: Mapping[str, type[Any]] = {"evaluate": CropOptions, "predict": NoOptions}
VERBS: Mapping[str, Mapping[str, type[Any]]] = {
    "classification": PREDICTING,
    "multilabel": PREDICTING,
    "regression": PREDICTING,
    "architecture-search": PREDICTING,
    "language-modelling": {"evaluate": NoOptions, "generate": GenerationOptions},
    "style-transfer": {"evaluate": NoOptions, "style": NoOptions},
    "arbitrary-style-transfer": {"evaluate": NoOptions, "style": BlendOptions},
    "translation": {"evaluate": BeamOptions, "predict": TranslationOptions},
    "forecasting": {"evaluate": BacktestOptions, "predict": ForecastOptions},
    "anomaly": {"evaluate": AlarmOptions, "predict": AlarmOptions},
    "remaining-life": {"evaluate": LifeEvaluation, "predict": LifeLevels},
    "autoencoding": {"evaluate": NoisyOptions, "predict": AutoencoderVerdict, "generate": SampleOptions},
    "variational": {"evaluate": BoundOptions, "predict": VariationalVerdict, "generate": VariationalSampleOptions},
    "adversarial": {"evaluate": SampleMetricOptions, "generate": AdversarialSampleOptions},
    "style-adversarial": {"evaluate": SampleMetricOptions, "generate": StyleSampleOptions},
    "image-translation": {"evaluate": NoOptions, "predict": DirectionOptions},
}
"""the frozen dataclass of a verb's options: ``VERBS[task][verb]``"""
