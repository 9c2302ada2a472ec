"""Recipes that leave precision and memory format to the machine: one choice for all seeds, stated in the result."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lamina.reproduction import results
from lamina.reproduction.results import Expected, load_results, render_results, reproduce, save_result


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of each training; the trial of each would choose otherwise than that before."""
    given: list[dict[str, Any]] = []

    def train(**options: Any) -> Any:
        given.append(options)
        own = {"precision": "bf16" if len(given) == 1 else "fp32", "channels_last": len(given) == 1, "lr": 0.1}
        files: dict[str, Any] = {"config.yaml": {**own, **options}}
        directory = SimpleNamespace(status=lambda: {"seconds": 30.0}, read=files.__getitem__)
        return SimpleNamespace(directory=directory, evaluate=lambda split: {"accuracy": 0.9})

    monkeypatch.setattr(results, "train", train)
    monkeypatch.setattr(results, "expected", lambda recipe: Expected(seeds=(0, 1, 2), bar=0.8))
    return given


def test_all_seeds_have_what_the_trial_finds_for_the_first(
    trainings: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(results, "published", lambda recipe: {"precision": "auto", "channels_last": "auto", "lr": 0.1})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    found = reproduce("r", log=lambda line: None)
    assert "precision" not in trainings[0]
    assert [(one["precision"], one["channels_last"]) for one in trainings[1:]] == [("bf16", True)] * 2
    assert found.found == {"precision": "bf16", "channels_last": True}
    assert found.machine == "cpu, 1 thread, bf16, channels_last"
    save_result(found, tmp_path)
    assert load_results(tmp_path) == [found]
    assert "| cpu, 1 thread, bf16, channels_last |" in render_results([found])


def test_a_recipe_that_states_both_is_trained_as_it_stands(
    trainings: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "published", lambda recipe: {"lr": 0.1})
    assert reproduce("r", log=lambda line: None).found == {}
    assert all("precision" not in one for one in trainings)
