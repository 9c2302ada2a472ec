"""Architectures with an objective of their own, from the card to a run that is opened again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

import lamina
from lamina import registry
from lamina.errors import UsageError
from lamina.tasks.classification import Classification
from lamina.tasks.perceptron import PerceptronRule
from lamina.tasks.rbf import RBFMaximumAPosteriori
from lamina.tasks.table import TASKS


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_every_objective_of_a_card_has_a_task() -> None:
    cards = {name: card for name in lamina.list_models() if (card := lamina.card(name)).objective is not None}
    own = {"perceptron-rule", "rbf-map", "denoising", "wasserstein", "wasserstein-gp", "non-saturating"}
    own |= {"likelihood", "enas"}
    assert {card.objective for card in cards.values()} == own
    for name, card in cards.items():
        assert any(card.objective in TASKS[task].objectives for task in card.tasks), name


def test_a_perceptron_learns_tumours_and_its_run_opens_as_one(tmp_path: Path) -> None:
    run = lamina.train("perceptron", data="breast-cancer", epochs=3, directory=tmp_path)
    again = lamina.open_run(run.path)
    assert type(again.task) is PerceptronRule
    assert again.evaluate() == run.evaluate()
    assert run.evaluate()["accuracy"] >= 0.9
    said = again.outcome()["probabilities"]
    assert set(said.flatten().tolist()) == {0.0, 1.0}
    assert all(row["train_mistakes"] == pytest.approx(1 - row["train_accuracy"], abs=1e-6) for row in run.history)
    w = again.model.unit.weight
    assert w.any()
    page = (run.path / "report.html").read_text()
    assert "perceptron-breast-cancer" in page


def test_lenet5_of_1998_learns_digits_by_its_own_loss(tmp_path: Path) -> None:
    run = lamina.train("lenet5-1998", data="digits", epochs=5, directory=tmp_path, report=False)
    assert type(lamina.open_run(run.path).task) is RBFMaximumAPosteriori
    assert run.evaluate()["accuracy"] >= 0.93
    assert set(run.model.head.codes_KD.unique().tolist()) == {-1.0, 1.0}
    with torch.no_grad():
        penalties = -torch.cat([run.model(batch["image"]) for batch in run.batches("test")])
    assert penalties.min(1).values.median() < 10  # F6 looks like the digit; cross-entropy would leave it at 70


def test_the_sigmoid_neuron_finds_the_optimum_of_logistic_regression(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    run = lamina.train(
        "sigmoid-neuron", data="breast-cancer", validation=0.0, epochs=100, directory=tmp_path, report=False
    )
    assert type(run.task) is Classification
    (whole,) = [run.preprocess.encode(run.source.splits["train"]).tensors]
    x, t = whole["features"].double(), whole["target"]
    decay = run.config.recipe.weight_decay
    assert decay > 0
    peer = LogisticRegression(C=1 / (len(x) * decay), tol=1e-10, max_iter=10_000).fit(x.numpy(), t.numpy())

    def objective(w: torch.Tensor, b: torch.Tensor) -> float:
        """Mean cross-entropy and the penalty on the weights, not on the bias."""
        z = x @ w.double().flatten() + b.double()
        loss = nn.functional.binary_cross_entropy_with_logits(z, t.double())
        return (loss + decay / 2 * w.double().square().sum()).item()

    best = objective(torch.from_numpy(peer.coef_), torch.from_numpy(peer.intercept_))
    ours = objective(run.model.unit.weight.detach(), run.model.unit.bias.detach())
    assert best * (1 - 1e-6) <= ours <= best * 1.0005
    said = run.model.probability(whole["features"]).detach()
    torch.testing.assert_close(said, torch.from_numpy(peer.predict_proba(x.numpy())[:, 1]).float(), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", ["perceptron", "sigmoid-neuron"])
def test_more_classes_than_a_unit_tells_apart_are_refused_before_anything_is_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{name} is for 2 classes, but 'iris' has 3$"):
        lamina.train(name, data="iris", directory=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "data", "objective"),
    [("perceptron", "breast-cancer", "perceptron-rule"), ("lenet5-1998", "digits", "rbf-map")],
)
def test_label_smoothing_is_refused_where_there_is_no_cross_entropy(
    name: str, data: str, objective: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"label_smoothing is for cross-entropy, but the objective is '{objective}'"):
        lamina.train(name, data=data, label_smoothing=0.1, directory=tmp_path)


def test_an_objective_that_nobody_knows_is_told_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = dataclasses.replace(lamina.card("perceptron"), objective="perceptron-rules")
    monkeypatch.setattr(registry, "card", lambda _name: card)
    with pytest.raises(UsageError, match="unknown objective 'perceptron-rules'; did you mean 'perceptron-rule'"):
        lamina.train("perceptron", data="breast-cancer", directory=tmp_path)


def test_class_weights_reach_the_objective(tmp_path: Path) -> None:
    run = lamina.train(
        "perceptron", data="breast-cancer", epochs=1, class_weights=True, directory=tmp_path, report=False
    )
    assert run.evaluate()["accuracy"] >= 0.85


def test_a_module_of_the_users_own_with_the_same_name_keeps_cross_entropy(tmp_path: Path) -> None:
    class Perceptron(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(30, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    run = lamina.train(Perceptron(), data="breast-cancer", epochs=1, directory=tmp_path, report=False)
    assert type(run.task) is Classification
    assert type(lamina.open_run(run.path, model=Perceptron()).task) is Classification
