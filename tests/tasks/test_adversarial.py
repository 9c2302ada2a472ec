"""Adversarial training: games against the equations, DCGAN against a plain loop, penalties, clipping, refusals."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina.equations import adversarial as equations
from lamina.errors import UsageError
from lamina.tasks.adversarial.games import (
    GAMES,
    OPTIONS,
    AdversarialOptions,
    ClippedOptions,
    PenaltyOptions,
    aggregated,
    gradient_penalty,
    squared_slopes,
)
from lamina.tasks.adversarial.task import Adversarial
from lamina.tasks.base import one_tensor

SHAPE = (1, 16, 16)
TINY: dict[str, Any] = {
    "image_size": 16, "in_channels": 1, "generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5,
}  # fmt: skip
DISCRIMINATORS = {
    "minimax": equations.minimax_discriminator_loss,
    "non-saturating": equations.minimax_discriminator_loss,
    "least-squares": equations.least_squares_discriminator_loss,
    "hinge": equations.hinge_discriminator_loss,
    "wasserstein": equations.wasserstein_critic_loss,
    "wasserstein-gp": equations.wasserstein_critic_loss,
}
GENERATORS = {
    "minimax": equations.minimax_generator_loss,
    "non-saturating": equations.non_saturating_generator_loss,
    "least-squares": equations.least_squares_generator_loss,
    "hinge": equations.wasserstein_generator_loss,
    "wasserstein": equations.wasserstein_generator_loss,
    "wasserstein-gp": equations.wasserstein_generator_loss,
}


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", GAMES)
def test_the_games_are_the_equations(name: str) -> None:
    game, real, fake = GAMES[name], 3 * randn(0, 20), 3 * randn(1, 20)
    torch.testing.assert_close(game.real(real).mean() + game.fake(fake).mean(), DISCRIMINATORS[name](real, fake))
    torch.testing.assert_close(game.generator(fake).mean(), GENERATORS[name](fake))


class Recorder:
    """An engine that keeps each player's gradients at each of its steps, and steps plain SGD."""

    carry: Any = None
    images_seen, progress, phase = 0, 0.0, None

    def __init__(self, model: Any, accumulate: int = 1, step: int = 0) -> None:
        self.models = self.plain = {"generator": model.generator, "discriminator": model.discriminator}
        self.accumulate, self.step = accumulate, step
        self.gradients: list[tuple[str, list[Tensor]]] = []
        self.losses: list[tuple[str, float]] = []
        self.calls: dict[str, int] = {"generator": 0, "discriminator": 0}

    def optimise(self, loss: Tensor, *players: str) -> bool:
        (player,) = players
        weights = list(self.models[player].parameters())
        if self.calls[player] % self.accumulate == 0:
            for weight in weights:
                weight.grad = None
        (loss / self.accumulate).backward()
        self.losses.append((player, loss.item()))
        self.calls[player] += 1
        if self.calls[player] % self.accumulate:
            return False
        self.gradients.append((player, [weight.grad.clone() for weight in weights]))
        with torch.no_grad():
            for weight in weights:
                weight -= 0.1 * weight.grad
        return True

    def frozen(self, player: str) -> Any:
        module = self.models[player]

        class Frozen:
            def __enter__(self) -> None:
                module.requires_grad_(False)

            def __exit__(self, *_: object) -> None:
                module.requires_grad_(True)

        return Frozen()


def real_batches(count: int, size: int = 4, classes: int = 0) -> Iterator[dict[str, Tensor]]:
    for i in range(count):
        yield {"image": randn(10 + i, size, *SHAPE).tanh()} | (
            {"target": torch.arange(size) % classes} if classes else {}
        )


def make_task(objective: str = "non-saturating", classes: int = 0, **options: Any) -> Adversarial:
    return Adversarial(one_tensor("image"), SHAPE, objective, OPTIONS[objective](**options), classes)


def model_of(name: str = "dcgan", **options: Any) -> Any:
    torch.manual_seed(0)
    return lamina.create_model(name, **{**TINY, **options}).double().train()


def reference_generator(w: dict[str, Tensor], z: Tensor, stages: int = 2) -> Tensor:
    h = z[:, :, None, None]
    for i in range(stages):
        h = F.conv_transpose2d(h, w[f"stages.{i}.0.weight"], stride=2 if i else 1, padding=1 if i else 0)
        h = F.relu(F.batch_norm(h, None, None, w[f"stages.{i}.1.weight"], w[f"stages.{i}.1.bias"], training=True))
    return torch.tanh(F.conv_transpose2d(h, w["output.weight"], stride=2, padding=1))


def reference_discriminator(w: dict[str, Tensor], x: Tensor, stages: int = 2) -> Tensor:
    for i in range(stages):
        x = F.conv2d(x, w[f"stages.{i}.0.weight"], stride=2, padding=1)
        if i:
            x = F.batch_norm(x, None, None, w[f"stages.{i}.1.weight"], w[f"stages.{i}.1.bias"], training=True)
        x = F.leaky_relu(x, 0.2)
    return F.conv2d(x, w["output.weight"]).flatten()


def test_dcgan_is_the_loop_of_pytorch_examples() -> None:
    """Two updates: losses and the gradients of both players, in fp64, against plain functional calls: real and fake
    apart, then the generator on the same fake, the discriminator having stepped."""
    model = model_of()
    names = {player: [n for n, _ in getattr(model, player).named_parameters()] for player in Adversarial.players}
    w = {
        player: {n: p.detach().clone().requires_grad_() for n, p in getattr(model, player).named_parameters()}
        for player in Adversarial.players
    }
    engine, expected, losses = Recorder(model), [], []
    for step in range(2):
        torch.manual_seed(step)
        engine.step = step
        make_task().update(real_batches(1), engine)  # type: ignore[arg-type]
        torch.manual_seed(step)
        z = torch.empty(4, 5, dtype=torch.float64).normal_()
        fake = reference_generator(w["generator"], z)
        real = next(real_batches(1))["image"]
        for player in ("discriminator", "generator"):
            judged = reference_discriminator(w["discriminator"], fake.detach() if player == "discriminator" else fake)
            ones, zeros = torch.ones_like(judged), torch.zeros_like(judged)
            bce = F.binary_cross_entropy_with_logits
            if player == "discriminator":
                loss = bce(reference_discriminator(w["discriminator"], real), ones) + bce(judged, zeros)
            else:
                loss = bce(judged, ones)
            gradients = torch.autograd.grad(loss, [w[player][name] for name in names[player]], retain_graph=True)
            expected.append((player, gradients))
            losses.append((player, loss.item()))
            w[player] = {
                name: (w[player][name] - 0.1 * g).detach().requires_grad_()
                for name, g in zip(names[player], gradients, strict=True)
            }
    assert [player for player, _ in engine.gradients] == ["discriminator", "generator"] * 2
    for (_, ours), (_, theirs) in zip(engine.losses, losses, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-10)
    for (player, ours), (_, theirs) in zip(engine.gradients, expected, strict=True):
        for name, a, b in zip(names[player], ours, theirs, strict=True):
            assert (a - b).abs().max().item() <= 1e-10, f"{player} {name}"
            assert b.abs().max().item() > 1e-8


def test_the_penalties_are_the_equations() -> None:
    critic, real, fake = model_of("wgan-gp").discriminator, randn(0, 5, *SHAPE), randn(1, 5, *SHAPE)
    torch.manual_seed(4)
    ours = gradient_penalty(critic, real, fake, None)
    torch.manual_seed(4)
    epsilon_B = torch.rand(5, 1, 1, 1, dtype=torch.float64).flatten()
    theirs = equations.gradient_penalty(critic, equations.interpolates(real, fake, epsilon_B))
    torch.testing.assert_close(ours, theirs[None], rtol=1e-12, atol=0)
    r1 = squared_slopes(critic, real, None).mean() / 2
    torch.testing.assert_close(r1, equations.r1_penalty(critic, real), rtol=1e-12, atol=0)
    gradients = torch.autograd.grad(ours.sum(), critic.output.weight)[0]
    assert gradients.abs().max().item() > 0


def test_the_critic_steps_more_often_and_each_on_real_samples_of_its_own() -> None:
    model = model_of("wgan-gp")
    engine, batches = Recorder(model, accumulate=2), real_batches(6)
    logs = make_task("wasserstein-gp", n_critic=3).update(batches, engine)  # type: ignore[arg-type]
    assert [player for player, _ in engine.gradients] == ["discriminator"] * 3 + ["generator"]
    assert engine.calls == {"discriminator": 6, "generator": 2}
    assert next(batches, None) is None
    assert set(logs) == {"loss", "discriminator_loss", "real_score", "fake_score", "penalty"}
    assert all(math.isfinite(value.item()) and not value.requires_grad for value in logs.values())
    last = [value for player, value in engine.losses if player == "generator"]
    assert logs["loss"].item() == pytest.approx(sum(last) / 2)


def test_lazy_r1_has_the_weight_of_its_interval() -> None:
    """Taken at every third step of the discriminator, with three times the weight; nothing between."""
    for step, due in ((0, True), (1, False), (2, False), (3, True)):
        found = {}
        for r1 in (0.0, 2.0):
            engine = Recorder(model_of(discriminator_norm="none"), step=step)
            torch.manual_seed(1)
            make_task(r1=r1, r1_interval=3).update(real_batches(1), engine)  # type: ignore[arg-type]
            found[r1] = engine.losses[0][1]
        real = next(real_batches(1))["image"]
        term = equations.r1_penalty(model_of(discriminator_norm="none").discriminator, real).item()
        assert term > 0
        assert found[2.0] - found[0.0] == pytest.approx(3 * 2 * term if due else 0.0, rel=1e-9, abs=1e-12)


def test_the_weights_of_the_critic_stay_within_the_bound() -> None:
    model, task = model_of("wgan"), make_task("wasserstein", n_critic=2, weight_clip=0.015)
    before = [weight.detach().clone() for weight in model.generator.parameters()]
    task.initialise(model)
    assert max(weight.abs().max().item() for weight in model.discriminator.parameters()) == pytest.approx(0.015)
    task.update(real_batches(2), Recorder(model))  # type: ignore[arg-type]
    assert max(weight.abs().max().item() for weight in model.discriminator.parameters()) <= 0.015 + 1e-12
    assert any(not torch.equal(a, b) for a, b in zip(before, model.generator.parameters(), strict=True))
    assert max(weight.abs().max().item() for weight in model.generator.parameters()) > 0.5


def test_a_conditional_model_is_trained_with_the_labels_of_its_batch() -> None:
    model, task = model_of(classes=3), make_task(classes=3)
    task.initialise(model)
    seen: list[Tensor] = []
    model.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    task.update(real_batches(1, classes=3), Recorder(model))  # type: ignore[arg-type]
    assert len(seen) == 3  # real, fake, and fake again
    assert all(torch.equal(label, torch.tensor([0, 1, 2, 0])) for label in seen)


def test_the_discriminator_has_a_rate_of_its_own() -> None:
    recipe = lamina.Recipe(lr=0.01)
    task = make_task(discriminator_rate=0.5)
    assert task.recipe_of("generator", recipe).lr == 0.01
    assert task.recipe_of("discriminator", recipe).lr == 0.005


def test_evaluation_states_the_balance() -> None:
    model = model_of().eval()
    nn.init.zeros_(model.discriminator.output.weight)
    for objective, verdict in (("non-saturating", 0.0), ("least-squares", 0.5), ("wasserstein", None)):
        task = make_task(objective)
        metrics = task.metrics()
        for batch in real_batches(2):
            task.evaluate_step(model, batch, metrics)
        found = {name: float(value) for name, value in metrics.compute().items()}
        assert found.get("verdict") == verdict  # a score of 0 is neither; the middle of least squares is 1/2
        assert found["real_score"] == found["fake_score"] == 0
        if objective == "non-saturating":
            assert found["discriminator_loss"] == pytest.approx(math.log(4))
            assert found["loss"] == pytest.approx(math.log(2))


def test_the_player_that_has_won_is_named() -> None:
    task = make_task()
    assert task.shortfall({"verdict": 0.985}).startswith(  # type: ignore[union-attr]
        "is out of balance: the discriminator has won, it is right about 98.5% of the samples"
    )
    assert "the generator has won" in str(task.shortfall({"verdict": 0.01}))
    for verdict in (0.02, 0.5, 0.98):
        assert task.shortfall({"verdict": verdict}) is None
    assert task.shortfall({"loss": 1.0}) is None  # a critic's scores have no middle


AGGREGATES: list[dict[str, Any]] = [
    {"aggregate": "mean"}, {"aggregate": "max"}, {"aggregate": "softmax", "sharpness": 3.0},
]  # fmt: skip


@pytest.mark.parametrize("options", AGGREGATES, ids=lambda options: options["aggregate"])
@pytest.mark.parametrize("objective", ["non-saturating", "wasserstein-gp"])
def test_one_discriminator_is_the_plain_game_whatever_the_aggregate(objective: str, options: dict[str, Any]) -> None:
    found = []
    for given in ({}, options):
        model = model_of("wgan-gp" if objective == "wasserstein-gp" else "dcgan")
        engine = Recorder(model)
        torch.manual_seed(3)
        make_task(objective, n_critic=1, **given).update(real_batches(1), engine)  # type: ignore[arg-type]
        found.append((engine.losses, [g for _, gradients in engine.gradients for g in gradients]))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


@pytest.mark.parametrize("objective", ["non-saturating", "least-squares", "wasserstein-gp"])
@pytest.mark.parametrize("options", AGGREGATES, ids=lambda options: options["aggregate"])
def test_each_of_several_discriminators_has_its_own_loss(objective: str, options: dict[str, Any]) -> None:
    """Its gradients are those that it would have alone; the generator's are of the aggregate, written plainly."""
    norm = "layer" if objective == "wasserstein-gp" else "batch"
    model = model_of(discriminators=3, discriminator_norm=norm)
    task, real = make_task(objective, n_critic=1, **options), next(real_batches(1))["image"]
    penalty = task.penalty_weight
    torch.manual_seed(3)
    before = copy.deepcopy(model.generator)
    fake = before(before.draw(4), None).reshape(4, *SHAPE)
    epsilon_B = torch.rand(4, 1, 1, 1, dtype=torch.float64).flatten()
    expected: list[Tensor] = []
    for one in model.discriminator.each:
        loss = DISCRIMINATORS[objective](one(real), one(fake.detach()))
        if penalty:
            loss = loss + penalty * equations.gradient_penalty(one, equations.interpolates(real, fake, epsilon_B))
        expected += torch.autograd.grad(loss, list(one.parameters()))
    engine = Recorder(model)
    torch.manual_seed(3)
    task.update(real_batches(1), engine)  # type: ignore[arg-type]
    (_, judges), (_, generator) = engine.gradients
    for ours, theirs in zip(judges, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    losses = torch.stack([GENERATORS[objective](one(fake)) for one in model.discriminator.each])  # having stepped
    assert losses.max() - losses.min() > 1e-4
    whole = {
        "mean": equations.mean_of_losses(losses),
        "max": equations.largest_loss(losses),
        "softmax": equations.softmax_weighted_loss(losses, 3.0),
    }[options["aggregate"]]
    assert engine.losses[-1][1] == pytest.approx(whole.item(), abs=1e-12)
    for ours, theirs in zip(generator, torch.autograd.grad(whole, list(before.parameters())), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_softmax_lies_between_mean_and_maximum() -> None:
    loss_N = randn(5, 4)
    for found, expected in (
        (aggregated(loss_N, "softmax", 0.0), equations.mean_of_losses(loss_N)),
        (aggregated(loss_N, "softmax", 1e4), equations.largest_loss(loss_N)),
        (aggregated(loss_N, "softmax", 2.0), equations.softmax_weighted_loss(loss_N, 2.0)),
        (aggregated(loss_N, "max", 1.0), equations.largest_loss(loss_N)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    between = [aggregated(loss_N, "softmax", sharpness).item() for sharpness in (0, 0.5, 2, 8)]
    assert between == sorted(between)
    assert between[0] < between[-1] < loss_N.max().item()


def test_scores_of_other_shapes_are_means_of_one_discriminator() -> None:
    """(B,), and maps of patches (B, 1, h, w) as PatchGAN's: the same means as before."""
    scores = randn(0, 6, 1, 3, 3)
    for given in (scores, scores[:, 0, 0, 0]):
        task = make_task()
        torch.testing.assert_close(task.generator_loss(given), task.game.generator(given).mean())
    critic = nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Tanh()).double()

    def patches(x: Tensor, label_B: Tensor | None = None) -> Tensor:
        return critic(x)

    patches.parameters = critic.parameters  # type: ignore[attr-defined]
    x = randn(1, 3, *SHAPE)
    slopes = squared_slopes(patches, x, None)  # type: ignore[arg-type]
    assert slopes.shape == (3, 1)
    torch.testing.assert_close(slopes.mean() / 2, equations.r1_penalty(critic, x))


@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        (make_task("wasserstein-gp"), {}, "gradient penalty is of the gradient of each sample alone"),
        (make_task("hinge", r1=1.0), {}, "r1 is of the gradient of each sample alone"),
        (make_task(), {"classes": 3}, "classes=3 does not fit the data, which have no classes"),
        (make_task(classes=2), {"classes": 3}, "classes=3 does not fit the data, which have 2 classes"),
        (make_task(classes=1), {"classes": 1}, "the data have one class only"),
    ],
)
def test_what_cannot_be_trained_is_refused(task: Adversarial, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        task.initialise(model_of(**options))


def test_a_model_without_the_players_is_refused() -> None:
    with pytest.raises(UsageError, match="for models with a generator and a discriminator, as attributes"):
        make_task().initialise(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (AdversarialOptions, {"n_critic": 0}),
        (AdversarialOptions, {"discriminator_rate": 0.0}),
        (AdversarialOptions, {"r1": -1.0}),
        (AdversarialOptions, {"r1_interval": 0}),
        (AdversarialOptions, {"sharpness": -1.0}),
        (ClippedOptions, {"weight_clip": 0.0}),
        (PenaltyOptions, {"penalty": -1.0}),
    ],
)
def test_options_out_of_range(options: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        options(**values)
