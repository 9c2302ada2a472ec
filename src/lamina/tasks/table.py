"""The table of tasks: our own, and those of other packages (entry points of the group ``lamina.tasks``)."""

from __future__ import annotations

from lamina.plugins import Plugins
from lamina.tasks.kind import TaskKind

TASKS: Plugins[TaskKind] = Plugins(
    "lamina.tasks",
    "task",
    {
        "classification": "lamina.tasks.classification:KIND",
        "multilabel": "lamina.tasks.multilabel:KIND",
        "regression": "lamina.tasks.regression:KIND",
        "language-modelling": "lamina.tasks.language_modelling:KIND",
        "translation": "lamina.tasks.translation:KIND",
    },
)
