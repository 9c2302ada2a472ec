"""Arithmetic: fp64 keeps all its digits, bf16 trains in mixed precision, compiling changes nothing but speed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn import functional
from toys import (
    Classify,
    Fit,
    accuracy,
    assert_same_fit,
    classification,
    make_engine,
    net,
    plain_net,
    points,
    run,
    run_interrupted,
)

from lamina.data.streams import Batch, InMemory, Shuffled
from lamina.tasks.base import Task
from lamina.training.engine import Engine
from lamina.training.loop import fit


def plain(**recipe: Any) -> Fit:
    options: dict[str, Any] = {"batch_size": 8, "steps": 20, "optimizer": "sgd", "lr": 0.1, "momentum": 0.0} | recipe
    engine = make_engine(Classify(), {"model": plain_net()}, **options)
    return Fit(engine, Shuffled(InMemory(points(160)), 8, 0))


def weights(engine: Engine) -> Tensor:
    return nn.utils.parameters_to_vector(engine.raw["model"].parameters()).detach()


def test_fp64_computes_in_fp64() -> None:
    """Twenty steps by hand in double arithmetic agree to fifteen digits; fp32 stops at seven."""
    made = plain(precision="fp64")
    list(fit(made.engine, made.streams))
    x = {name: p.detach().double() for name, p in plain_net().named_parameters()}
    for batch in made.streams.batches(0):
        h = torch.tanh(batch["x"].double() @ x["0.weight"].T + x["0.bias"])
        g = (functional.softmax(h @ x["2.weight"].T + x["2.bias"], 1) - functional.one_hot(batch["y"], 3)) / 8
        gh = (g @ x["2.weight"]) * (1 - h * h)
        x["2.weight"] = x["2.weight"] - 0.1 * g.T @ h
        x["2.bias"] = x["2.bias"] - 0.1 * g.sum(0)
        x["0.weight"] = x["0.weight"] - 0.1 * gh.T @ batch["x"].double()
        x["0.bias"] = x["0.bias"] - 0.1 * gh.sum(0)
    expected = torch.cat([x[name].flatten() for name, _ in plain_net().named_parameters()])
    assert weights(made.engine).dtype is torch.float64
    assert (weights(made.engine) - expected).abs().max() < 1e-14
    single, _ = run(plain)
    assert (weights(single) - expected).abs().max() > 1e-9


class Looks(Classify):
    """Reports the types it meets."""

    seen: tuple[torch.dtype, ...] = ()

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss, logs = super().loss(model, batch, engine)
        self.seen = (batch["x"].dtype, model(batch["x"]).dtype, loss.dtype)
        return loss, logs


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("fp64", torch.float64)])
def test_batches_outputs_and_losses_have_the_recipes_type(precision: str, dtype: torch.dtype) -> None:
    made = plain(precision=precision, steps=1)
    made.engine.task = task = Looks()
    list(fit(made.engine, made.streams))
    assert task.seen == (dtype, dtype, dtype)


def test_fp64_resumes_bit_for_bit(tmp_path: Path) -> None:
    case = partial(classification, epochs=2, precision="fp64", ema=0.9)
    assert_same_fit(run(case), run_interrupted(case, tmp_path, 9))


def test_bf16_trains_with_weights_in_fp32(tmp_path: Path) -> None:
    inside: list[torch.dtype] = []
    engine, _ = run(partial(plain, precision="bf16", steps=1))
    engine.raw["model"][0].register_forward_hook(lambda module, args, output: inside.append(output.dtype))
    assert engine.models["model"](points(8)["x"]).dtype is torch.float32
    assert inside == [torch.bfloat16]
    case = partial(classification, 400, epochs=8, precision="bf16", lr=0.02, ema=0.9)
    engine, log = run(case)
    assert log.rows[-1].validation["accuracy"] > 0.9
    assert weights(engine).dtype is torch.float32
    case = partial(classification, epochs=2, precision="bf16")
    assert_same_fit(run(case), run_interrupted(case, tmp_path, 9))


class AutoEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 2), nn.Linear(2, 6)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class Reconstruct(Task):
    forward_methods = {"model": ("encode", "decode")}  # noqa: RUF012

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return functional.mse_loss(model.decode(model.encode(batch["x"])), batch["x"]), {}


@pytest.mark.parametrize(("precision", "inner"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_methods_other_than_forward_run_in_the_recipes_precision(precision: str, inner: torch.dtype) -> None:
    inside: list[torch.dtype] = []
    torch.manual_seed(0)
    engine = make_engine(
        Reconstruct(), {"model": AutoEncoder()}, precision=precision, batch_size=10, lr=0.01, epochs=20
    )
    for layer in (engine.raw["model"].encoder, engine.raw["model"].decoder):
        layer.register_forward_hook(lambda module, args, output: inside.append(output.dtype))
    assert engine.models["model"].encode(points(8)["x"]).dtype is torch.float32
    rows = [e for e in fit(engine, Shuffled(InMemory({"x": points(100)["x"]}), 10, 0)) if hasattr(e, "train")]
    assert set(inside) == {inner}
    assert rows[-1].train["loss"] < 0.8 * rows[0].train["loss"]


class Own(nn.Module):
    """A user's class around the net, where ``net`` alone is one of torch's own containers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("make", [net, Own])
def test_compiling_changes_nothing_but_speed(monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Module]) -> None:
    """On the backend that traces everything and generates no code; state dicts keep their names."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **_: real(function, backend="aot_eager"))

    def case(**recipe: Any) -> Fit:
        engine = make_engine(Classify(), {"model": make()}, batch_size=10, epochs=2, ema=0.9, **recipe)
        return Fit(engine, Shuffled(InMemory(points(70)), 10, 0), accuracy(engine))

    eager, eager_log = run(case)
    counters.clear()
    traced, traced_log = run(partial(case, compile=True))
    assert counters["stats"]["unique_graphs"] == 2  # training and evaluation; 0 would be a compiler that did nothing
    assert traced.raw["model"].state_dict().keys() == eager.raw["model"].state_dict().keys()
    torch.testing.assert_close(weights(traced), weights(eager), rtol=1e-4, atol=1e-5)
    for a, b in zip(eager_log.rows, traced_log.rows, strict=True):
        assert b.train["loss"] == pytest.approx(a.train["loss"], rel=1e-4)
        assert b.validation["accuracy"] == pytest.approx(a.validation["accuracy"], abs=0.01)
    before = weights(traced).clone()
    other = copy.deepcopy(traced.raw["model"])
    with torch.no_grad():
        nn.utils.vector_to_parameters(0 * before, other.parameters())
    assert other(points(4)["x"]).abs().max() == 0  # a copy runs on its own weights
    assert torch.equal(weights(traced), before)
