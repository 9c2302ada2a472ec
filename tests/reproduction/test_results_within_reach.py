"""Recipes too long for a CPU are left out there, and said to be."""

from __future__ import annotations

import pytest
import torch

from lamina.reproduction import results
from lamina.runs.config import make_config, published_recipes


def test_an_accelerator_decides_what_all_means(monkeypatch: pytest.MonkeyPatch) -> None:
    every = set(results.results_expected())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert results.within_reach() == (results.results_expected(), [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    names, out = results.within_reach()
    assert set(names) | set(out) == every
    assert not set(names) & set(out)
    assert "resnet20-cifar10" in out
    assert "resnet-fashion-10k" in names
    assert all(results.expected(name).accelerator for name in out)


@pytest.mark.parametrize("recipe", [r for r in published_recipes() if r in results.results_expected()])
def test_every_recipe_with_a_result_is_a_whole_configuration(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina import registry

    monkeypatch.setenv("LAMINA_DATA", "/data")
    config = make_config(None, {}, config=recipe)
    assert config.data
    registry.configure(registry.variant(config.name), config.model)
