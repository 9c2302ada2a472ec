"""Metric networks that are recipes of ours: trained the first time they are asked for."""

from __future__ import annotations

from pathlib import Path

from lamina.cli.output import note
from lamina.runs.folders import find_folder


def expect_trained(name: str | None, runs: str) -> None:
    """Train the recipe called ``name`` where it is one, and there is neither a run nor a file of that name yet."""
    if name is None or find_folder(name, runs) is not None or Path(name).expanduser().exists():
        return

    from lamina.runs.sample_metrics.network import is_recipe
    from lamina.runs.training import train

    if is_recipe(name):
        note(f"the metric network {name} is trained first, once; it is kept in {Path(runs) / name}")
        train(config=name, name=name, directory=runs, report=False)
