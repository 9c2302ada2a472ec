"""What a run writes of its training: its first files, the origin of its weights, the row of an epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.data.spec import DataSpec
from lamina.errors import RunError
from lamina.runs.build import Parts, card_of
from lamina.runs.config import TrainConfig
from lamina.runs.directory import RunDirectory
from lamina.runs.places import with_places
from lamina.runs.weights import digest
from lamina.training.events import EpochDone
from lamina.weights.hub import fetch, is_hub
from lamina.weights.loading import Loaded
from lamina.weights.reading import StateDict, read_state_dict


def row(event: EpochDone) -> dict[str, float]:
    """An epoch as a row of ``metrics.csv``."""
    return {
        "epoch": event.epoch,
        "step": event.step,
        "lr": event.lr,
        **{f"train_{name}": value for name, value in event.train.items()},
        **{f"validation_{name}": value for name, value in event.validation.items()},
        "best": int(event.best),
    }


def origin(config: TrainConfig, loaded: Loaded | None) -> dict[str, Any]:
    """The origin of the initial weights."""
    if loaded is None:
        return {}
    facts = {"file": str(loaded.file), "sha256": digest(*loaded.files), "names": loaded.source}
    if is_hub(config.weights or ""):
        facts["licence"] = fetch(str(config.weights)).licence
    return {"weights": facts}


def first_weights(config: TrainConfig, found: RunDirectory | None) -> StateDict | None:
    """The initial weights; None without any, and for a run that resumes from a checkpoint.

    Raises RunError where a run without a checkpoint would start again from other weights.
    """
    if config.weights is None or (found is not None and found.checkpoints.latest() is not None):
        return None
    state = read_state_dict(config.weights, entry=config.entry)
    if found is not None and found.read("card.json")["weights"]["sha256"] != digest(*state.files):
        raise RunError(f"{state.path} is not the file of weights that {found.path} was started from: it has changed")
    return state


def files_of(
    run: Path,
    config: TrainConfig,
    spec: DataSpec,
    parts: Parts,
    parameters: int,
    fitted: Mapping[str, str],
    loaded: Loaded | None,
) -> dict[str, Mapping[str, Any]]:
    """The files of a new run in the folder ``run``, by name."""
    card = card_of(config, parts, parameters) | ({"fitted": dict(fitted)} if fitted else {}) | origin(config, loaded)
    return {
        "config.yaml": with_places(config.to_dict(), config.data, run),
        "data.json": dataclasses.asdict(spec),
        **parts.preprocess.files(),
        "card.json": card,
    }
