"""Rosenblatt's rule as a task: through the whole loop it is the equation, mistake for mistake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from lamina.data.streams import InMemory, Shuffled
from lamina.equations import perceptron as equation
from lamina.models.perceptron import Perceptron, PerceptronConfig
from lamina.runs.config import make_config
from lamina.tasks.base import EngineAtRest, one_tensor
from lamina.tasks.perceptron import PerceptronRule
from lamina.training.engine import Engine
from lamina.training.events import StepDone
from lamina.training.loop import fit

FEATURES = one_tensor("features")


def separable(samples: int = 60) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points of two classes with a gap between them, their classes, and weights (bias last) that separate them."""
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(4 * samples, 3, generator=draw, dtype=torch.float64)
    truth = torch.tensor([1.0, -0.5, 0.8, 0.3], dtype=torch.float64)
    x = x[(equation.fold_bias(x) @ truth).abs() > 0.4][:samples]
    return x, equation.output(truth, equation.fold_bias(x)).long(), truth


def weights(net: Perceptron) -> torch.Tensor:
    return torch.cat([net.unit.weight.detach()[0], net.unit.bias.detach()])


def trained(**changes: Any) -> Iterator[tuple[Perceptron, Shuffled, StepDone]]:
    """The published recipe in float64, with changes; after every step the net, the stream and the event."""
    x, t, _ = separable()
    asked = {"data": "none", "precision": "fp64", "accelerator": "cpu", **changes}
    recipe = make_config("perceptron", asked).recipe
    net = Perceptron(PerceptronConfig(in_features=3))
    engine = Engine(Fabric(accelerator="cpu", devices=1), PerceptronRule(2, FEATURES), {"model": net}, recipe)
    stream = Shuffled(InMemory({"features": x, "target": t}), recipe.batch_size, recipe.seed)
    for event in fit(engine, stream):
        if isinstance(event, StepDone):
            yield net, stream, event


@pytest.mark.parametrize("lr", [1.0, 0.25])
def test_single_samples_through_the_loop_are_the_equation_step_for_step(lr: float) -> None:
    epochs, w, moved = 6, torch.zeros(4, dtype=torch.float64), 0
    steps = trained(epochs=epochs, lr=lr)
    for step, (net, stream, event) in enumerate(steps):
        if step % 60 == 0:
            batches = stream.batches(step // 60)
        sample = next(batches)
        x, t = equation.fold_bias(sample["features"])[0], sample["target"][0].double()
        wrong = equation.step(w @ x) != t
        w = equation.learn_one(w, x, t, lr)
        moved += int(wrong)
        assert torch.equal(weights(net), w)
        assert event.logs["mistakes"] == wrong
        assert event.logs["accuracy"] == 1 - wrong.double()
    assert step + 1 == epochs * 60
    assert moved > 3


def test_it_ends_without_mistakes_and_within_novikoffs_bound() -> None:
    x, t, truth = separable()
    mistakes = [int(event.logs["mistakes"]) for _, _, event in trained(epochs=20)]
    assert sum(mistakes[-60:]) == 0
    assert 0 < sum(mistakes) <= equation.mistake_bound(truth, equation.fold_bias(x), t.double())


def test_a_batch_moves_by_the_mean_of_its_corrections() -> None:
    net, stream, event = next(trained(batch_size=30))
    batch = next(stream.batches(0))
    x, t = equation.fold_bias(batch["features"]), batch["target"].double()
    correction = ((t - 1)[:, None] * x).mean(0)  # from zero, H(0) = 1: the zeros are all mistakes
    torch.testing.assert_close(weights(net), correction)
    assert event.logs["mistakes"] == (t == 0).sum()


def test_the_loss_is_the_mean_distance_of_mistakes_from_the_line() -> None:
    net, task = Perceptron(PerceptronConfig(in_features=1)).double(), PerceptronRule(2, FEATURES)
    with torch.no_grad():
        net.unit.weight.fill_(2.0)
    batch = {"features": torch.tensor([[1.0], [-3.0], [0.5], [-1.0]]).double(), "target": torch.tensor([0, 1, 1, 0])}
    loss, logs = task.loss(net, batch, EngineAtRest())
    assert loss.item() == (2 + 6) / 4  # z = 2, -6, 1, -2; the first two are mistakes
    assert (logs["mistakes"].item(), logs["accuracy"].item()) == (2, 0.5)
    weighted = PerceptronRule(2, FEATURES, class_weights=torch.tensor([0.5, 3.0]))
    assert weighted.loss(net, batch, EngineAtRest())[0].item() == (0.5 * 2 + 3 * 6) / 4
    metrics = weighted.metrics()
    task.evaluate_step(net, {name: value[:3] for name, value in batch.items()}, metrics)
    task.evaluate_step(net, {name: value[3:] for name, value in batch.items()}, metrics)
    found = {name: float(value) for name, value in metrics.compute().items()}
    facts = {"baseline_accuracy": 0.5, "constant_predictions": 0.0, "beats_baseline": 0.0}
    assert found == pytest.approx({"loss": 2.0, "accuracy": 0.5, "f1": 0.5, **facts})
    assert task.predict(net, batch)["probabilities"].tolist() == [[0, 1], [1, 0], [0, 1], [1, 0]]
