"""Folders as Hugging Face's transformers write them: which of our models their ``config.json`` names. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina.errors import DataError, UsageError

VARIANTS = {"gpt2": "gpt2"}
"""our model, by the ``model_type`` of a folder"""
CONFIG = "config.json"


def folder_config(folder: Path) -> Mapping[str, Any] | None:
    """The ``config.json`` of a folder that states a ``model_type``; None for another folder.

    Raises DataError for one that is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    return content if isinstance(content, dict) and "model_type" in content else None


def variant_of(folder: Path) -> str | None:
    """Our model of a folder: ``variant_of(Path("gpt2-medium"))`` is "gpt2"; None for a folder of another kind.

    Raises UsageError for a ``model_type`` that is no model here.
    """
    config = folder_config(folder)
    if config is None:
        return None
    kind = str(config["model_type"])
    if kind not in VARIANTS:
        raise UsageError(f"{folder / CONFIG} is of a model '{kind}', which is none here; known: {', '.join(VARIANTS)}")
    return VARIANTS[kind]
