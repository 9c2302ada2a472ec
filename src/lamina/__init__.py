"""Lamina: the canonical deep-learning architectures, faithful to their papers, trainable, and open to look inside.

Names are imported when first used: ``import lamina`` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lamina.version import __version__

if TYPE_CHECKING:
    from lamina.errors import DataError, ExportError, LaminaError, RunError, TrainingError, UsageError
    from lamina.export.optimising import optimize
    from lamina.options.recipe import Recipe
    from lamina.registry import card, create_model, list_models
    from lamina.runs.run import Run, list_runs, open_run
    from lamina.runs.training import train
    from lamina.runs.views.export import open_exported
    from lamina.weights.loading import load_weights


_HOME = {
    "DataError": "lamina.errors",
    "ExportError": "lamina.errors",
    "LaminaError": "lamina.errors",
    "RunError": "lamina.errors",
    "TrainingError": "lamina.errors",
    "UsageError": "lamina.errors",
    "card": "lamina.registry",
    "create_model": "lamina.registry",
    "list_models": "lamina.registry",
    "Recipe": "lamina.options.recipe",
    "Run": "lamina.runs.run",
    "list_runs": "lamina.runs.run",
    "open_exported": "lamina.runs.views.export",
    "open_run": "lamina.runs.run",
    "optimize": "lamina.export.optimising",
    "train": "lamina.runs.training",
    "load_weights": "lamina.weights.loading",
}

__all__ = [
    "DataError",
    "ExportError",
    "LaminaError",
    "Recipe",
    "Run",
    "RunError",
    "TrainingError",
    "UsageError",
    "__version__",
    "card",
    "create_model",
    "list_models",
    "list_runs",
    "load_weights",
    "open_exported",
    "open_run",
    "optimize",
    "train",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'lamina' has no attribute '{name}'")
        return getattr(importlib.import_module(_HOME[name]), name)

    def __dir__() -> list[str]:
        return sorted(__all__)
