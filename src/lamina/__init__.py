"""Lamina: the canonical deep-learning architectures, faithful to their papers, trainable, and open to look inside.

Names are imported when first used: ``import lamina`` costs almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lamina.version import __version__

if TYPE_CHECKING:
    from lamina.cards import Card, Variant
    from lamina.data.catalogue import list_data
    from lamina.data.description import describe
    from lamina.data.opening import open_source
    from lamina.data.options import DataOptions
    from lamina.errors import DataError, ExportError, LaminaError, RunError, TrainingError, UsageError
    from lamina.export.optimising import optimize
    from lamina.hub.pushing import push
    from lamina.options.recipe import Augmentation, Recipe
    from lamina.registry import card, is_model, list_models, register_model
    from lamina.runs.advising import advise
    from lamina.runs.comparison import compare
    from lamina.runs.config import list_recipes
    from lamina.runs.folds import cross_validate
    from lamina.runs.published import evaluate, open_pretrained
    from lamina.runs.run import Run, list_runs, open_run
    from lamina.runs.training import prepare, train
    from lamina.runs.views.exported import open_exported
    from lamina.search.api import search
    from lamina.search.searching import open_search
    from lamina.stylisation.gatys import style
    from lamina.tasks.base import Task
    from lamina.weights.creation import create_model
    from lamina.weights.loading import load_weights

_HOME = {
    "Augmentation": "lamina.options.recipe",
    "Card": "lamina.cards",
    "DataError": "lamina.errors",
    "DataOptions": "lamina.data.options",
    "ExportError": "lamina.errors",
    "LaminaError": "lamina.errors",
    "Recipe": "lamina.options.recipe",
    "Run": "lamina.runs.run",
    "RunError": "lamina.errors",
    "Task": "lamina.tasks.base",
    "TrainingError": "lamina.errors",
    "UsageError": "lamina.errors",
    "Variant": "lamina.cards",
    "advise": "lamina.runs.advising",
    "card": "lamina.registry",
    "compare": "lamina.runs.comparison",
    "cross_validate": "lamina.runs.folds",
    "create_model": "lamina.weights.creation",
    "describe": "lamina.data.description",
    "evaluate": "lamina.runs.published",
    "is_model": "lamina.registry",
    "list_data": "lamina.data.catalogue",
    "list_models": "lamina.registry",
    "list_recipes": "lamina.runs.config",
    "list_runs": "lamina.runs.run",
    "load_weights": "lamina.weights.loading",
    "open_exported": "lamina.runs.views.exported",
    "open_pretrained": "lamina.runs.published",
    "open_run": "lamina.runs.run",
    "open_source": "lamina.data.opening",
    "optimize": "lamina.export.optimising",
    "open_search": "lamina.search.searching",
    "prepare": "lamina.runs.training",
    "push": "lamina.hub.pushing",
    "register_model": "lamina.registry",
    "search": "lamina.search.api",
    "style": "lamina.stylisation.gatys",
    "train": "lamina.runs.training",
}

__all__ = [
    "Augmentation",
    "Card",
    "DataError",
    "DataOptions",
    "ExportError",
    "LaminaError",
    "Recipe",
    "Run",
    "RunError",
    "Task",
    "TrainingError",
    "UsageError",
    "Variant",
    "__version__",
    "advise",
    "card",
    "compare",
    "create_model",
    "cross_validate",
    "describe",
    "evaluate",
    "is_model",
    "list_data",
    "list_models",
    "list_recipes",
    "list_runs",
    "load_weights",
    "open_exported",
    "open_pretrained",
    "open_run",
    "open_search",
    "open_source",
    "optimize",
    "prepare",
    "push",
    "register_model",
    "search",
    "style",
    "train",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'lamina' has no attribute '{name}'")
        return getattr(importlib.import_module(_HOME[name]), name)

    def __dir__() -> list[str]:
        return sorted(__all__)
