"""The options of a model that the folder of its weights states: ``config.json``, as transformers write it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamina import registry
from lamina.cards.model_types import CONFIG, VARIANTS, folder_config, variant_of
from lamina.errors import UsageError
from lamina.weights.hub import located

MAY_DIFFER = ("dropout", "attention_dropout")
"""options of training, which are no part of the function"""


def options_beside(name: str, weights: str | Path, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``given`` options of a variant over those that the folder of the weights states; without ``vocab_size``, which
    the tokenizer decides.

        options_beside("gpt2", "gpt2-medium/")   # {"context": 1024, "width": 1024, "layers": 24, ...}

    Raises UsageError for a folder of another architecture, for one whose ``config.json`` makes it another function than
    ours, and for given options that contradict it.
    """
    given = dict(given or {})
    stated = stated_options(name, weights)
    for option, value in given.items():
        if option in stated and option not in MAY_DIFFER and stated[option] != value:
            raise UsageError(f"{option}={value}, but {_folder(weights) / CONFIG} states {stated[option]}")
    return {**{option: value for option, value in stated.items() if option != "vocab_size"}, **given}


def stated_options(name: str, weights: str | Path) -> dict[str, Any]:
    """The options that the folder of the weights states, ``vocab_size`` among them; none for another folder."""
    folder = _folder(weights)
    config = folder_config(folder)
    if config is None:
        return {}
    row = registry.variant(name)
    package, _, architecture = row.build.__module__.rpartition(".")
    if package != "lamina.models" or architecture not in VARIANTS:
        return {}
    variant = variant_of(folder)
    if variant is None or registry.variant(variant).build is not row.build:
        raise UsageError(f"{folder / CONFIG} is of a {config['model_type']}, not of {name}")
    module = importlib.import_module(f"lamina.weights.{architecture}")
    stated: dict[str, Any] = module.options(config, str(folder / CONFIG))
    return stated


def expect_vocabulary(model: object, name: str, weights: str | Path) -> None:
    """Raise UsageError where the tokenizer, and so the model, has more tokens than the folder of the weights states."""
    size, most = getattr(model, "vocab_size", None), stated_options(name, weights).get("vocab_size")
    if isinstance(size, int) and most is not None and size > most:
        raise UsageError(
            f"the tokenizer has {size:,} tokens, but {_folder(weights) / CONFIG} states a vocab_size of {most:,}: "
            "the weights are of another tokenizer"
        )


def _folder(weights: str | Path) -> Path:
    path = located(weights)
    return path if path.is_dir() else path.parent
