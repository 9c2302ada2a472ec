"""One optimiser step done right: torch's own numbers, groups, clipping, accumulation, averages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import Classify, make_engine, plain_net, points

from lamina.data.streams import InMemory, Shuffled
from lamina.options.recipe import Recipe
from lamina.training.loop import fit
from lamina.training.optimisers import make_optimiser


def trained(count: int = 160, batch_size: int = 8, model: nn.Module | None = None, **recipe: Any) -> Any:
    engine = make_engine(Classify(), {"model": model or plain_net()}, batch_size=batch_size, **recipe)
    data = points(count)
    list(fit(engine, Shuffled(InMemory(data), batch_size, engine.recipe.seed)))
    return engine


def by_hand(optimiser: torch.optim.Optimizer, model: nn.Module, steps: int, clip: float | None = None) -> Any:
    """The plain training loop of the tutorials. Yields after every step."""
    stream = Shuffled(InMemory(points(160)), 8, 0)
    for batch in (batch for epoch in range(10) for batch in stream.batches(epoch)):
        if steps == 0:
            return
        steps -= 1
        optimiser.zero_grad()
        functional.cross_entropy(model(batch["x"]), batch["y"]).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        yield


def make_theirs(name: str, params: Any) -> torch.optim.Optimizer:
    match name:
        case "sgd":
            return torch.optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=0.01, fused=True)
        case "nesterov":
            return torch.optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=0.01, nesterov=True, fused=True)
        case "adam":
            return torch.optim.Adam(params, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01, fused=True)
        case "adamw":
            return torch.optim.AdamW(params, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01, fused=True)
        case _:
            return torch.optim.RMSprop(params, lr=0.05, alpha=0.95, eps=1e-6, momentum=0.9, weight_decay=0.01)


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw", "rmsprop"])
def test_twenty_steps_are_torchs_bit_for_bit(name: str, clip: float | None) -> None:
    ours = trained(
        steps=20,
        optimizer="sgd" if name == "nesterov" else name,
        nesterov=name == "nesterov",
        lr=0.05,
        beta1=0.8,
        beta2=0.95,
        eps=1e-6,
        weight_decay=0.01,
        clip=clip,
    ).raw["model"]
    theirs = plain_net()
    list(by_hand(make_theirs(name, theirs.parameters()), theirs, 20, clip))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(ours.parameters()), next(plain_net().parameters()))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_fused_form_is_the_plain_one(name: str) -> None:
    """Guards the two above against a fault in torch's own fused kernels."""
    ours = trained(steps=20, optimizer=name, lr=0.05, precision="fp64").raw["model"]
    theirs = plain_net().double()
    plain = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    options: dict[str, Any] = {"momentum": 0.9} if name == "sgd" else {"weight_decay": 0.0}
    optimiser = plain(theirs.parameters(), lr=0.05, foreach=False, **options)
    stream = Shuffled(InMemory(points(160)), 8, 0)
    for batch in stream.batches(0):
        optimiser.zero_grad()
        functional.cross_entropy(theirs(batch["x"].double()), batch["y"]).backward()
        optimiser.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


class Mixed(nn.Module):
    """A parameter of every sort: those of norms, biases of every spelling, a slope, weights, one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(4, 4), nn.Conv1d(4, 4, 1)
        self.batch, self.layer, self.group, self.rms = (
            nn.BatchNorm1d(4),
            nn.LayerNorm(4),
            nn.GroupNorm(2, 4),
            nn.RMSNorm(4),
        )
        self.lstm, self.attention = nn.LSTM(4, 4), nn.MultiheadAttention(4, 2)
        self.embedding, self.slope = nn.Embedding(5, 4), nn.PReLU()
        self.own = nn.Parameter(torch.ones(4))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def test_norms_and_biases_are_spared_decay() -> None:
    model = Mixed()
    names = {id(p): name for name, p in model.named_parameters()}
    optimiser = make_optimiser(model, Recipe(weight_decay=0.1, decay_norm_and_bias=False, lr=0.3))
    decayed, spared = ([names[id(p)] for p in group["params"]] for group in optimiser.param_groups)
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.1, 0.0]
    assert {group["base_lr"] for group in optimiser.param_groups} == {0.3}
    assert sorted(decayed) == [
        "attention.in_proj_weight", "attention.out_proj.weight", "conv.weight", "embedding.weight", "linear.weight",
        "lstm.weight_hh_l0", "lstm.weight_ih_l0", "own",
    ]  # fmt: skip
    assert sorted(spared) == [
        "attention.in_proj_bias", "attention.out_proj.bias", "batch.bias", "batch.weight", "conv.bias", "group.bias",
        "group.weight", "layer.bias", "layer.weight", "linear.bias", "lstm.bias_hh_l0", "lstm.bias_ih_l0", "rms.weight",
        "slope.weight",
    ]  # fmt: skip


def test_everything_decays_unless_told_otherwise() -> None:
    (group,) = make_optimiser(Mixed(), Recipe(weight_decay=0.1)).param_groups
    assert len(group["params"]) == 22
    assert group["weight_decay"] == 0.1
    (group,) = make_optimiser(nn.BatchNorm1d(3), Recipe(weight_decay=0.1, decay_norm_and_bias=False)).param_groups
    assert group["weight_decay"] == 0.0


def test_a_shared_parameter_is_one_parameter() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    optimiser = make_optimiser(model, Recipe(weight_decay=0.1, decay_norm_and_bias=False))
    assert [len(group["params"]) for group in optimiser.param_groups] == [1, 4]


def test_spared_parameters_are_not_decayed_by_a_step() -> None:
    engine = make_engine(
        Classify(), {"model": nn.LayerNorm(6)}, optimizer="adamw", weight_decay=0.5, decay_norm_and_bias=False, lr=0.1
    )
    before = engine.raw["model"].weight.clone()
    engine.optimise((0 * engine.models["model"](torch.randn(2, 6))).sum())
    assert torch.equal(engine.raw["model"].weight, before)


# ---------------------------------------------------------------- averages


def test_the_average_is_the_one_computed_by_hand() -> None:
    """Over parameters and floating-point buffers, after every step, from the initial weights on; its decay rises from
    1/10 to the recipe's, which is reached at the 36th step."""

    def make() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))

    engine = trained(model=make(), steps=50, optimizer="sgd", lr=0.1, ema=0.8)
    theirs = make()
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    state: dict[str, Tensor] = {n: t for n, t in theirs.state_dict().items() if t.is_floating_point()}
    average = {name: tensor.clone().double() for name, tensor in state.items()}
    for t, _ in enumerate(by_hand(optimiser, theirs, 50)):
        decay = min(0.8, (1 + t) / (10 + t))
        average = {name: decay * average[name] + (1 - decay) * state[name].double() for name in state}
    assert engine.average["model"].keys() == average.keys()
    assert "1.running_var" in average
    for name, value in average.items():
        torch.testing.assert_close(engine.average["model"][name].double(), value, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(average["3.weight"].float(), state["3.weight"], rtol=0.01)


def test_without_ema_there_is_no_average_and_averaged_changes_nothing() -> None:
    engine = trained(steps=3)
    before = [p.clone() for p in engine.raw["model"].parameters()]
    assert engine.average == {}
    with engine.averaged():
        assert all(torch.equal(a, b) for a, b in zip(before, engine.raw["model"].parameters(), strict=True))


# ---------------------------------------------------------------- clipping and accumulation


def test_clipping_bounds_the_norm_of_all_gradients_together() -> None:
    def step(clip: float | None) -> Tensor:
        """The displacement of one step of plain gradient descent at rate 1: minus the gradient."""
        engine = make_engine(Classify(), {"model": plain_net()}, optimizer="sgd", momentum=0.0, lr=1.0, clip=clip)
        before = nn.utils.parameters_to_vector(engine.raw["model"].parameters()).clone()
        data = points(8)
        engine.optimise(10 * functional.cross_entropy(engine.models["model"](data["x"]), data["y"]))
        return nn.utils.parameters_to_vector(engine.raw["model"].parameters()) - before

    free, clipped, loose = step(None), step(0.5), step(1000.0)
    assert free.norm() > 1
    assert clipped.norm().item() == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(clipped / clipped.norm(), free / free.norm(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(loose, free)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_four_batches_of_eight_are_one_of_thirty_two(optimizer: str) -> None:
    """In order, so that both see the same samples; fp64, no batch norm."""
    options = {"optimizer": optimizer, "lr": 0.05, "precision": "fp64", "clip": 0.2, "schedule": "cosine", "ema": 0.9}
    big = trained(160, 32, steps=20, **options)
    small = trained(160, 8, steps=20, accumulate=4, **options)
    assert big.images_seen == small.images_seen == 640
    for name, value in big.raw["model"].state_dict().items():
        assert (small.raw["model"].state_dict()[name] - value).abs().max() <= 1e-12
        assert (small.average["model"][name] - big.average["model"][name]).abs().max() <= 1e-12


def test_optimise_says_when_it_stepped() -> None:
    engine = make_engine(Classify(), {"model": plain_net()}, accumulate=3)
    data = points(8)
    said = [engine.optimise(functional.cross_entropy(engine.models["model"](data["x"]), data["y"])) for _ in range(6)]
    assert said == [False, False, True] * 2
    assert engine.settled


def test_a_task_that_logs_under_accumulation_logs_means() -> None:
    made = make_engine(
        Classify(), {"model": plain_net()}, batch_size=8, accumulate=4, steps=1, optimizer="sgd", lr=1e-9
    )
    (step, epoch, _) = list(fit(made, Shuffled(InMemory(points(32)), 8, 0)))
    data = points(32)
    logits = plain_net()(data["x"])
    assert step.logs["loss"].item() == pytest.approx(functional.cross_entropy(logits, data["y"]).item(), rel=1e-5)
    assert step.logs["accuracy"].item() == pytest.approx((logits.argmax(1) == data["y"]).float().mean().item())
    assert epoch.train["loss"] == pytest.approx(step.logs["loss"].item())
