"""MLflow, by its small client: a run of the experiment that ``MLFLOW_EXPERIMENT_NAME`` names, where
``MLFLOW_TRACKING_URI`` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow

LONGEST = 500
"""characters of a parameter's value"""


class MLflow:
    """A run called as ours is."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "lamina"))
        mlflow.start_run(run_name=folder.name)
        mlflow.log_params({key: str(value)[:LONGEST] for key, value in config.items()})

    def epoch(self, step: int, values: Mapping[str, float]) -> None:
        names = {name.replace("[", "_").replace("]", "").replace(",", ""): value for name, value in values.items()}
        mlflow.log_metrics({name: float(value) for name, value in names.items()}, step=step)

    def close(self, finished: bool) -> None:
        mlflow.end_run("FINISHED" if finished else "KILLED")
