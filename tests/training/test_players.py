"""Several players in one loss: one backward, steps of their own, and no compiler where gradients of gradients go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from toys import make_engine

from lamina.cli.main import main
from lamina.options.recipe import Recipe
from lamina.tasks.base import Task
from lamina.torch_internals import precision_plugin

X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))


class Cycle(Task):
    """There and back again: both players learn from one loss."""

    name = "cycle"
    players = ("there", "back")
    own: dict[str, dict[str, Any]] = {}  # noqa: RUF012

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        return replace(recipe, **self.own.get(player, {}))


def models() -> dict[str, nn.Module]:
    torch.manual_seed(1)
    return {"there": nn.Linear(3, 5), "back": nn.Linear(5, 3)}


def loss_of(players: Any, x: Tensor) -> Tensor:
    return (players["back"](players["there"](x).tanh()) - x).square().mean()


def weights(players: Any) -> list[Tensor]:
    return [weight.detach().clone() for player in ("there", "back") for weight in players[player].parameters()]


def test_one_backward_steps_both() -> None:
    """Five steps are those of one optimiser over all weights."""
    engine, theirs = make_engine(Cycle(), models(), optimizer="adam", lr=0.05), nn.ModuleDict(models())
    optimiser = torch.optim.Adam(theirs.parameters(), lr=0.05, fused=True)
    for _ in range(5):
        passes: list[Tensor] = []
        loss = loss_of(engine.models, X)
        loss.register_hook(passes.append)
        assert engine.optimise(loss, "there", "back")
        assert len(passes) == 1
        optimiser.zero_grad()
        loss_of(theirs, X).backward()
        optimiser.step()
    assert engine.settled
    for ours, wanted in zip(weights(engine.raw), theirs.parameters(), strict=True):
        assert torch.equal(ours, wanted)


def test_both_wait_for_the_batches_that_are_accumulated() -> None:
    engine, theirs = make_engine(Cycle(), models(), optimizer="sgd", lr=0.1, accumulate=2), nn.ModuleDict(models())
    before = weights(engine.raw)
    assert not engine.optimise(loss_of(engine.models, X[:4]), "there", "back")
    assert not engine.settled
    assert all(map(torch.equal, weights(engine.raw), before))
    assert engine.optimise(loss_of(engine.models, X[4:]), "there", "back")
    assert engine.settled
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    ((loss_of(theirs, X[:4]) + loss_of(theirs, X[4:])) / 2).backward()
    optimiser.step()
    for ours, wanted in zip(weights(engine.raw), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted.detach(), rtol=1e-5, atol=1e-7)


def test_each_has_a_rate_betas_and_a_clip_of_its_own() -> None:
    """One is clipped by its own norm and does not see the other's."""
    task = Cycle()
    task.own = {"there": {"clip": 0.01, "beta1": 0.5, "lr": 0.2}, "back": {"optimizer": "sgd"}}
    engine, theirs = make_engine(task, models(), optimizer="adam", lr=0.05, eps=0.01), nn.ModuleDict(models())
    there = torch.optim.Adam(theirs["there"].parameters(), lr=0.2, betas=(0.5, 0.999), eps=0.01)
    back = torch.optim.SGD(theirs["back"].parameters(), lr=0.05, momentum=0.9)
    for _ in range(4):
        engine.optimise(loss_of(engine.models, X), "there", "back")
        theirs.zero_grad()
        loss_of(theirs, X).backward()
        assert clip_grad_norm_(theirs["there"].parameters(), 0.01) > 0.02  # else the clip is not seen
        there.step()
        back.step()
    for ours, wanted in zip(weights(engine.raw), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours, wanted.detach(), rtol=1e-4, atol=1e-6)


def half_precision() -> Fabric:
    """fp16 as on a GPU: on a CPU Fabric takes bf16 in its place, unless the plugin is handed to it."""
    return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu"))


def test_fp16_clips_a_fused_optimiser() -> None:
    """By the norm of the gradients themselves, not of what they are scaled to."""
    found = []
    for precision, fabric in (("fp32", None), ("fp16", half_precision())):
        options = {"optimizer": "sgd", "lr": 1.0, "momentum": 0.0, "clip": 0.01, "precision": precision}
        engine = make_engine(Cycle(), models(), fabric, **options)
        before = weights(engine.raw)
        engine.optimise(loss_of(engine.models, X), "there", "back")
        found.append([b - a for a, b in zip(weights(engine.raw), before, strict=True)])
    for full, half in zip(*found, strict=True):
        torch.testing.assert_close(half, full, rtol=0.02, atol=1e-5)


def test_fp16_skips_one_player_and_scales_the_other_as_before() -> None:
    engine = make_engine(Cycle(), models(), half_precision(), optimizer="sgd", lr=0.1, momentum=0.0, precision="fp16")
    theirs = nn.ModuleDict(models())
    engine.raw["there"].weight.register_hook(lambda gradient: gradient * torch.inf)
    engine.optimise(loss_of(engine.models, X), "there", "back")
    assert precision_plugin(engine.fabric).scaler.get_scale() == 2.0**15  # it was 2^16
    loss_of(theirs, X).backward()
    assert torch.equal(engine.raw["there"].weight, theirs["there"].weight)
    step = engine.raw["back"].weight.detach() - theirs["back"].weight.detach()
    torch.testing.assert_close(step, -0.1 * theirs["back"].weight.grad, rtol=0.02, atol=1e-5)


def test_a_player_differentiated_twice_is_not_compiled_and_that_is_said() -> None:
    task = Cycle()
    task.differentiated_twice = ("back",)
    engine = make_engine(task, models(), compile=True)
    assert engine.raw["there"]._compiled_call_impl is not None
    assert engine.raw["back"]._compiled_call_impl is None
    assert engine.notes == (
        "back is not compiled: torch.compile does not support gradients of its gradients",
    )  # fmt: skip
    task.differentiated_twice = ("there", "back")
    assert make_engine(task, models(), compile=True).notes[0].startswith("there and back are not compiled")
    assert make_engine(task, models()).notes == ()


@pytest.mark.usefixtures("toys")
def test_the_command_line_says_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "toy-gan", "--data", "digits", "--compile", "--dry-run"]) == 0
    assert capsys.readouterr().err.count("critic is not compiled") == 1
