"""The data of a run, found again: where they were, or where they have moved to, and unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamina.data.formats.memory import MemoryData
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.errors import LaminaError, RunError
from lamina.runs.data import open_data
from lamina.runs.directory import RunDirectory
from lamina.runs.places import Data, former_folder, nowhere, where


def find_data(
    directory: RunDirectory, options: DataOptions, data: Data | MemoryData | None = None
) -> tuple[Data | MemoryData, Source]:
    """The place of a run's data and their source: of the places where something is the first that holds the same data.

    ``data``: their new place, instead of those in config.yaml, or the data themselves. Raises RunError where there is
    nothing, and for other data than those of the run.
    """
    config, wanted = directory.read("config.yaml"), directory.read("data.json")["fingerprint"]
    places: list[Data | MemoryData] = [*where(config, directory.path)] if data is None else [data]
    if not places:
        looked = nowhere(config, directory.path)
        raise RunError(
            f"the data of {directory.path} are not where they were, {looked}: give their new place with --data "
            "(evaluate, export, train --resume; in Python data=)"
        )
    failure: LaminaError | None = None
    tries = [(place, read) for place in places for read in _readings(options, config["data"], place)]
    for place, read in tries:
        try:
            source = open_data(place, read)
        except LaminaError as error:
            failure = failure or error
            continue
        if source.spec.fingerprint == wanted:
            return place, source
        what = f"'{source.spec.name}' has changed" if place is not data else f"'{source.spec.name}' holds others"
        failure = RunError(f"the data of {directory.path} are not those it was trained on: {what}")
    assert failure is not None
    raise failure


def _readings(options: DataOptions, named: Any, place: Data | MemoryData) -> Iterator[DataOptions]:
    """The options of the run, and with its ``root`` in the folder in which it was given."""
    yield options
    folder = former_folder(named, place)
    if options.root is not None and folder is not None:
        root = folder / Path(options.root).expanduser()
        if root.is_dir() and not Path(options.root).is_absolute():
            yield replace(options, root=str(root))
