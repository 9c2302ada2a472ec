"""The examples in the docstrings of models, layers, equations, cards and checks run as they are printed."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch

import lamina
import lamina.cards
import lamina.conformance
import lamina.equations
import lamina.layers
import lamina.layers.cells
import lamina.layers.series
import lamina.models
from lamina import registry

PACKAGES = (
    lamina.models,
    lamina.layers,
    lamina.layers.cells,
    lamina.layers.series,
    lamina.equations,
    lamina.cards,
    lamina.conformance,
)
MODULES = [package.__name__ for package in PACKAGES] + [
    f"{package.__name__}.{info.name}"
    for package in PACKAGES
    for info in pkgutil.iter_modules(package.__path__)
    if info.name != "__main__"
]
ARCHITECTURES = {registry.variant(name).build for name in lamina.list_models()}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    torch.manual_seed(0)
    result = doctest.testmod(importlib.import_module(name), extraglobs={"lamina": lamina, "torch": torch})
    assert result.failed == 0, f"{result.failed} examples of {name} fail: see the output above"


@pytest.mark.parametrize("build", sorted(ARCHITECTURES, key=str), ids=lambda build: build.__name__)
def test_every_architecture_has_an_example(build: type) -> None:
    assert ">>> model = lamina.create_model(" in (inspect.getdoc(build) or "")
