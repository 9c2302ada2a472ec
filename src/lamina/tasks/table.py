"""The table of tasks: built-in ones and those of other packages (entry points ``lamina.tasks``)."""

from __future__ import annotations

from lamina.errors import unknown
from lamina.plugins import Plugins
from lamina.tasks.kind import TaskKind

AUTO = "auto"
"""the first task of the model that the data can be used for"""
TASKS: Plugins[TaskKind] = Plugins(
    "lamina.tasks",
    "task",
    {
        "classification": "lamina.tasks.classification:KIND",
        "multilabel": "lamina.tasks.multilabel:KIND",
        "regression": "lamina.tasks.regression:KIND",
        "language-modelling": "lamina.tasks.language_modelling:KIND",
        "translation": "lamina.tasks.translation:KIND",
        "forecasting": "lamina.tasks.forecasting.task:KIND",
        "anomaly": "lamina.tasks.anomaly.task:KIND",
        "remaining-life": "lamina.tasks.remaining_life.task:KIND",
        "autoencoding": "lamina.tasks.autoencoding:KIND",
        "variational": "lamina.tasks.variational:KIND",
        "adversarial": "lamina.tasks.adversarial.task:KIND",
        "style-adversarial": "lamina.tasks.adversarial.style:KIND",
        "image-translation": "lamina.tasks.adversarial.cycle:KIND",
        "architecture-search": "lamina.tasks.architecture_search.task:KIND",
        "style-transfer": "lamina.tasks.style_transfer:KIND",
        "arbitrary-style-transfer": "lamina.tasks.style_transfer:ARBITRARY",
    },
    TaskKind,
)


def expect_task(name: str) -> None:
    """Raise UsageError, with the nearest name, unless ``name`` is a task or "auto"."""
    if name != AUTO and name not in TASKS:
        raise unknown("task", name, [AUTO, *TASKS])
