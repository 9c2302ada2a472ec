"""Every family of image classifiers with stages: calculated twice, they give the same bits."""

from __future__ import annotations

import copy
import importlib
import pkgutil

import pytest
import torch
from torch import Tensor, nn

import lamina.models
from lamina import registry
from lamina.cards import Variant
from lamina.layers.image_classifier import ImageClassifier
from lamina.training.finetuning import checkpoint_stages
from lamina.training.optimisers import layer_numbers


def families() -> dict[str, Variant]:
    """One variant of each."""
    found = {}
    for module in pkgutil.iter_modules(lamina.models.__path__):
        rows = importlib.import_module(f"lamina.models.{module.name}").VARIANTS
        name, row = next(iter(rows.items()))
        if isinstance(row.build, type) and issubclass(row.build, ImageClassifier):
            found[name] = row
    return found


FAMILIES = families()


def step(model: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor], dict[str, Tensor]]:
    torch.manual_seed(1)
    loss = model(x).square().mean()
    loss.backward()
    return loss.detach(), [p.grad for p in model.parameters() if p.grad is not None], model.state_dict()


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_calculated_twice_give_the_same_bits(name: str) -> None:
    """Loss, gradients and batch statistics, with dropout and stochastic depth as the variant has them."""
    row = FAMILIES[name]
    config = registry.configure(row, row.small)
    torch.manual_seed(0)
    model = registry.build(row, config).train()
    twice = copy.deepcopy(model)
    checkpoint_stages(twice)
    x = torch.randn(2, config.in_channels, config.image_size, config.image_size)
    (loss, slopes, state), (again, their_slopes, their_state) = step(model, x), step(twice, x)
    assert torch.equal(loss, again)
    assert len(slopes) == len(their_slopes) > 4
    assert all(torch.equal(a, b) for a, b in zip(slopes, their_slopes, strict=True))
    assert all(torch.equal(value, their_state[key]) for key, value in state.items())


@pytest.mark.parametrize("name", FAMILIES)
def test_layers_run_from_the_stem_to_the_head(name: str) -> None:
    row = FAMILIES[name]
    layers = layer_numbers(registry.build(row, registry.configure(row, row.small)))
    last = max(layers.values())
    assert {layer for parameter, layer in layers.items() if parameter.startswith("head.")} == {last}
    stages = [layer for parameter, layer in layers.items() if parameter.startswith("stages.")]
    assert stages == sorted(stages)
    assert set(layers.values()) == set(range(last + 1))
    stem = [layer for parameter, layer in layers.items() if parameter.startswith("stem.")]
    assert all(layer == 0 for layer in stem)
    assert min(stages) == (1 if stem else 0)
    assert max(stages) < last
