"""What the view of a run says before there is a run."""

from __future__ import annotations

from lamina.errors import unknown
from lamina.options.recipe import Recipe
from lamina.runs.build import Parts
from lamina.runs.views.base import View
from lamina.runs.views.table import view_of
from lamina.tasks.facts import ENTRY


def view_for(parts: Parts) -> type[View]:
    """The view of a run of these parts."""
    return view_of("" if parts.kind is None else parts.kind.name, parts.preprocess.kind)


def expect_metric(parts: Parts, recipe: Recipe) -> None:
    """Raise UsageError for a metric to monitor that evaluation will not have, where its names are known before."""
    names = getattr(parts.task.metrics(), "keys", None) if recipe.monitor is not None else None
    if names is not None:
        known = [*(name for name in names() if name != ENTRY), *view_for(parts).validation_metrics]
        if recipe.monitor not in known:
            raise unknown("metric to monitor", str(recipe.monitor), known)
