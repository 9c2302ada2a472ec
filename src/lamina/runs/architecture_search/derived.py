"""What a search has found, as a recipe, and the page that shows it."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import Any

import numpy as np

from lamina.data.options import DataOptions
from lamina.report.architecture_search.page import Found, SearchPage
from lamina.runs.opened import Opened

FILE = "architecture.yaml"


def derived_recipe(run: Opened) -> dict[str, Any]:
    """The recipe of the architecture that was found, on the same data, with the default training of its variant.

    ``lamina train --config runs/X/architecture.yaml`` trains it.
    """
    model: Any = run.model
    usual = asdict(DataOptions())
    options = {key: value for key, value in asdict(run.config.options).items() if value != usual[key] and key != "task"}
    data = run.config.data if isinstance(run.config.data, str) else list(run.config.data)
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    image_size = {"image_size": size} if (size := getattr(model.config, "image_size", None)) else {}
    return {"name": model.derived, "data": data, "model": {**model.derived_options(), **image_size}, **plain}


def command(run: Opened) -> str:
    """What trains it."""
    return f"lamina train --config {shlex.quote(str(run.path / FILE))}"


def found(run: Opened) -> Found:
    """What the search has found, from its best weights, and its course, from ``samples.jsonl``."""
    model: Any = run.model
    genotype = model.derive()
    rows: list[dict[str, Any]] = []
    if run.directory.samples.exists():
        *lines, _ = run.directory.samples.read_text(encoding="utf-8").split("\n")  # the last may be half a line
        rows = [json.loads(line) for line in lines]
    kinds = list(rows[0]["mixtures"]) if rows else []
    return Found(
        genotype=str(genotype),
        cells={"normal": genotype.normal, "reduce": genotype.reduce},
        operations=list(model.config.operations),
        epochs=[row["epoch"] for row in rows],
        genotypes=[row["genotype"] for row in rows],
        mixtures={kind: np.array([row["mixtures"][kind] for row in rows]) for kind in kinds},
    )


def inspect_search(run: Opened) -> SearchPage:
    """``Run.inspect`` for a search, with its page."""
    return SearchPage(
        name=run.directory.name,
        model=run.config.name,
        seen=found(run),
        command=command(run),
        facts={"model": run.config.name, "objective": run.objective.name, "data": run.config.data_name},
    )
