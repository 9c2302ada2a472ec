"""Writing an inspection to a folder: its page and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamina import registry
from lamina.errors import RunError
from lamina.files import write_whole
from lamina.runs.views.base import InspectionPage
from lamina.runs.views.table import view_of
from lamina.weights.published import built_for
from lamina.weights.reading import read_state_dict

PAGE = "inspect.html"


def inspect_model(
    name: str,
    item: Any,
    target: str | int | None,
    stage: int | None,
    weights: str | None,
    entry: str | None = None,
) -> InspectionPage:
    """Inspect a variant without a run, with the view of its first kind of data; ``entry`` is of the file of weights.

    Raises UsageError for one that can only be inspected in a run.
    """
    given: Any = weights
    if weights is not None and entry is not None:
        given = read_state_dict(built_for(name, weights)[0], entry=entry)
    return view_of("", registry.card(name).inputs[0]).inspect_model(name, item, target, stage, given)


def write_inspection(content: InspectionPage, folder: Path) -> list[Path]:
    """Write the page and its pictures into ``folder``, which is made where it is missing; returns their paths, the page
    first. Raises RunError where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write into {folder}: {error.strerror}") from error
    pictures = {f"{name}.png": data for name, data in content.pictures().items()}
    files = {PAGE: content.html().encode()} | pictures
    for name, data in files.items():
        write_whole(folder / name, lambda file, data=data: file.write(data))  # type: ignore[misc]  # the default binds
    return [folder / name for name in files]
