"""Frozen modules, rates by depth, stages calculated twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import Classify, make_engine, points

from lamina.data.streams import InMemory, Shuffled
from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.training.engine import Engine
from lamina.training.events import StepDone
from lamina.training.loop import fit
from lamina.training.optimisers import layer_numbers, make_optimiser


class Staged(nn.Module):
    """Stem, three stages with batch norm and dropout in them, head: the parts of an image classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = nn.Parameter(torch.ones(8))
        self.stem = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8))
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8, momentum=momentum), nn.ReLU(), nn.Dropout(0.3))
            for momentum in (0.1, None, 0.5)
        )
        self.neck, self.dropout = nn.Flatten(), nn.Dropout(0.1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) * self.scale
        for stage in self.stages:
            x = stage(x)
        out: Tensor = self.head(self.dropout(self.neck(x)))
        return out


def trained(steps: int = 12, **recipe: Any) -> tuple[Engine, list[float]]:
    engine = make_engine(Classify(), {"model": Staged()}, batch_size=16, steps=steps, lr=0.05, **recipe)
    events = list(fit(engine, Shuffled(InMemory(points(160)), 16, engine.recipe.seed)))
    return engine, [float(event.logs["loss"]) for event in events if isinstance(event, StepDone)]


def changed(engine: Engine) -> set[str]:
    """Names of the tensors, parameters and statistics, that training has changed."""
    before = Staged().state_dict()
    return {name for name, value in engine.raw["model"].state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize(
    ("freeze", "still"),
    [
        (("stem",), ("stem.",)),
        (("stages.*",), ("stages.",)),
        (("stem", "stages.0"), ("stem.", "stages.0.")),
        (("body",), ("stem.", "stages.", "scale")),
    ],
)
def test_what_is_frozen_stays_to_the_last_bit(freeze: Sequence[str], still: tuple[str, ...]) -> None:
    """Weight decay, averages and batch statistics included; all else is trained."""
    engine, _ = trained(freeze=tuple(freeze), weight_decay=0.1)
    everything = set(Staged().state_dict())
    assert changed(engine) == {name for name in everything if not name.startswith(still)}
    assert changed(trained()[0]) == everything


def test_nothing_of_a_frozen_module_is_dropped() -> None:
    engine, _ = trained(2, freeze=("stages.1",))
    engine.train_mode()
    model = engine.raw["model"]
    assert [module.training for module in model.stages] == [True, False, True]  # type: ignore[union-attr]
    assert not any(module.training for module in model.stages[1].modules())  # type: ignore[index,union-attr]
    assert model.head.training  # type: ignore[union-attr]


def test_freezing_what_is_not_there_or_everything() -> None:
    with pytest.raises(UsageError, match=r"stages\.7.*did you mean 'stages\.[012]'"):
        trained(freeze=("stages.7",))
    with pytest.raises(UsageError, match="leaves nothing of 'model' to train"):
        trained(freeze=("body", "head"))


def test_rates_fall_from_the_head_to_the_stem() -> None:
    model = Staged()
    layers = layer_numbers(model)
    assert {name.rpartition(".")[0] or name: layer for name, layer in layers.items()} == {
        "scale": 0, "stem.0": 0, "stem.1": 0, "stages.0.0": 1, "stages.0.1": 1, "stages.1.0": 2, "stages.1.1": 2,
        "stages.2.0": 3, "stages.2.1": 3, "head": 4,
    }  # fmt: skip
    optimiser = make_optimiser(model, Recipe(lr=0.8, layer_decay=0.5, weight_decay=0.1, decay_norm_and_bias=False))
    names = {id(p): name for name, p in model.named_parameters()}
    found = {
        names[id(p)]: (group["base_lr"], group["weight_decay"])
        for group in optimiser.param_groups
        for p in group["params"]
    }
    assert found.keys() == layers.keys()
    for name, (rate, decay) in found.items():
        assert rate == pytest.approx(0.8 * 0.5 ** (4 - layers[name]))
        assert decay == (0.0 if "bias" in name or name.endswith("1.weight") else 0.1), name


def test_a_schedule_turns_all_rates_alike() -> None:
    engine, _ = trained(layer_decay=0.5, schedule="cosine", optimizer="sgd")
    groups = engine.optimisers["model"].param_groups
    assert engine.rate < 0.05
    assert [group["lr"] for group in groups] == pytest.approx([engine.rate * 0.5 ** (4 - i) for i in range(5)])


@pytest.mark.parametrize("precision", ["fp32", "fp64", "bf16"])
def test_stages_calculated_twice_give_the_same_bits(precision: str) -> None:
    """Losses, weights and statistics: dropout masks are drawn again alike, batch norm counts each batch once."""
    plain, losses = trained(precision=precision)
    twice, again = trained(precision=precision, checkpointing=True)
    assert losses == again
    assert len(losses) == 12
    states = plain.raw["model"].state_dict(), twice.raw["model"].state_dict()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert states[1]["stages.1.1.num_batches_tracked"] == 12


def test_checkpointing_keeps_less_for_the_gradient() -> None:
    kept = []
    for checkpointing in (False, True):
        engine = make_engine(Classify(), {"model": Staged()}, checkpointing=checkpointing)
        engine.train_mode()
        sizes: list[int] = []
        # the hooks are innermost for what is saved outside of stages: inside, checkpoint has hooks of its own
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: (s.append(t.numel()), t)[1], lambda t: t):
            engine.models["model"](points(32)["x"]).sum()
        kept.append(sum(sizes))
    assert kept[1] < 0.7 * kept[0]


def test_checkpointing_needs_stages() -> None:
    with pytest.raises(UsageError, match="has no 'stages'"):
        make_engine(Classify(), {"model": nn.Sequential(nn.Linear(4, 3))}, checkpointing=True)
    with pytest.raises(UsageError, match="checkpointing cannot be used with compile"):
        Recipe(checkpointing=True, compile=True)
