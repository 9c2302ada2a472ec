"""Adversarial training: a generator against a discriminator, or against a critic that estimates a distance.

The discriminator steps first, ``n_critic`` times, on real and generated samples in batches of their own; then the
generator steps on the last of these samples, judged anew. Targets reach the players of conditional models only.

Several discriminators are one player, (B, N) scores: each minimises its own loss, the generator an ``aggregate`` of its
losses against them (Durugkar, Gemp, Mahadevan, ICLR 2017, arXiv 1611.01673).

Legend: B batch, N discriminators, P patches that each judges (mostly one of both); x any shape after the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.tasks.adversarial.games import (
    GAMES,
    OPTIONS,
    AdversarialOptions,
    aggregated,
    by_discriminator,
    gradient_penalty,
    squared_slopes,
)
from lamina.tasks.base import Batch, Batches, Call, Engine, Task
from lamina.tasks.kind import Objective, TaskKind, TaskSetup, serves_numbers
from lamina.tasks.verbs import VERBS

GENERATOR, DISCRIMINATOR = "generator", "discriminator"
BALANCED = (0.02, 0.98)
"""the share of samples that the discriminator is right about, where neither player has won"""
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Adversarial(Task):
    """A generator and a discriminator; the last weights are kept, since no loss says which were the best.

    Models hold ``generator`` (a ``layers.latent.LatentGenerator``, or what has its ``draw``, ``sample`` and
    ``classes``) and ``discriminator``.

    Example: ``Adversarial(preprocess.call, (1, 32, 32), "wasserstein-gp", PenaltyOptions(n_critic=3))``
    """

    name = "adversarial"
    players = (GENERATOR, DISCRIMINATOR)
    average = (GENERATOR,)
    monitor = None

    def __init__(
        self,
        call: Call,
        shape: tuple[int, ...],
        objective: str = "non-saturating",
        options: AdversarialOptions | None = None,
        classes: int = 0,
    ) -> None:
        """``shape`` is that of a sample, ``classes`` the number of classes in the data, 0 where there are none."""
        self.call, self.shape, self.classes = call, shape, classes
        self.game, self.options = GAMES[objective], options or OPTIONS[objective]()
        self.penalty_weight: float = getattr(self.options, "penalty", 0.0)
        self.drift: float = getattr(self.options, "drift", 0.0)
        self.weight_clip: float | None = getattr(self.options, "weight_clip", None)
        self.differentiated_twice = (DISCRIMINATOR,) if self.penalty_weight or self.options.r1 else ()

    def initialise(self, model: Any) -> None:
        """Clip the weights of a new critic. Raises UsageError for a model without the players, for batch normalisation
        under a penalty, and for classes that the data do not have."""
        missing = [player for player in self.players if not isinstance(getattr(model, player, None), nn.Module)]
        if missing:
            raise UsageError(f"the task {self.name} is for models with a {' and a '.join(missing)}, as attributes")
        norms = any(isinstance(m, BATCH_NORMS) for m in model.discriminator.modules())
        if self.differentiated_twice and norms:
            what = "r1" if self.options.r1 else "the objective's gradient penalty"
            raise UsageError(
                f"{what} is of the gradient of each sample alone, but with batch normalisation the discriminator's "
                "output depends on the other samples: use --model.discriminator_norm layer, or none"
            )
        if model.generator.classes and model.generator.classes != self.classes:
            number = {0: "no classes", 1: "1 class"}.get(self.classes, f"{self.classes} classes")
            have = f"have {number}"
            raise UsageError(f"model option classes={model.generator.classes} does not fit the data, which {have}")
        if model.generator.classes == 1:
            raise UsageError("the data have one class only: train without the model option classes")
        self._clip(model.discriminator)

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        if player == GENERATOR or self.options.discriminator_rate == 1:
            return recipe
        return replace(recipe, lr=recipe.lr * self.options.discriminator_rate)

    # ------------------------------------------------------------------ training

    def update(self, batches: Batches, engine: Engine) -> dict[str, Tensor]:
        """``n_critic`` steps of the discriminator, then one of the generator, each on ``engine.accumulate`` batches."""
        logs: dict[str, Tensor] = {}
        drawn: list[tuple[Tensor, Tensor | None]] = []
        for turn in range(self.options.n_critic):
            last = turn == self.options.n_critic - 1
            number = engine.step * self.options.n_critic + turn
            for _ in range(engine.accumulate):
                batch = next(batches)
                real, label_B = self.input(batch), self.label(engine.plain[GENERATOR], batch)
                with torch.set_grad_enabled(last):  # the generator learns from the last ones
                    fake = self.generated(engine, engine.models[GENERATOR], len(real), label_B)
                values = self.discriminator_step(engine, real, fake.detach(), label_B, number)
                if last:
                    drawn.append((fake, label_B))
                    _add(logs, values)
        for fake, label_B in drawn:
            with engine.frozen(DISCRIMINATOR):
                loss = self.generator_loss(engine.models[DISCRIMINATOR](self.shown(fake), label_B))
                penalty, values = self.generator_penalty(engine, len(fake), label_B)
                engine.optimise(loss if penalty is None else loss + penalty, GENERATOR)
            _add(logs, {"loss": loss.detach(), **values})
        return {name: value / engine.accumulate for name, value in logs.items()}

    def discriminator_step(
        self, engine: Engine, real: Tensor, fake: Tensor, label_B: Tensor | None, number: int
    ) -> dict[str, Tensor]:
        """A batch of the ``number``-th step of the discriminator; detached scalars to log."""
        judge, plain = engine.models[DISCRIMINATOR], engine.plain[DISCRIMINATOR]
        real, fake = self.shown(real), self.shown(fake)
        real_BNP, fake_BNP = by_discriminator(judge(real, label_B)), by_discriminator(judge(fake, label_B))
        loss_N = self.game.real(real_BNP).mean((0, 2)) + self.game.fake(fake_BNP).mean((0, 2))
        logs = {"discriminator_loss": loss_N, "real_score": real_BNP, "fake_score": fake_BNP}
        if self.penalty_weight:
            penalty_N = gradient_penalty(plain, real, fake, label_B)
            logs["penalty"] = penalty_N
            loss_N = loss_N + self.penalty_weight * penalty_N
        if self.options.r1 and number % self.options.r1_interval == 0:
            r1_N = squared_slopes(plain, real, label_B).mean(0) / 2
            logs["r1"] = r1_N
            loss_N = loss_N + self.options.r1 * self.options.r1_interval * r1_N
        if self.drift:
            loss_N = loss_N + self.drift * real_BNP.square().mean((0, 2))
        if engine.optimise(loss_N.sum(), DISCRIMINATOR):  # each is alone in its own term
            self._clip(plain)
        logs |= self.scored(engine, real_BNP)
        return {name: value.detach().mean() for name, value in logs.items()}

    def shown(self, x: Tensor) -> Tensor:
        """What the discriminator sees of real or generated samples."""
        return x

    def scored(self, engine: Engine, real_scores: Tensor) -> dict[str, Tensor]:
        """Called with the scores of a batch of real samples; scalars to log."""
        return {}

    def generator_penalty(
        self, engine: Engine, count: int, label_B: Tensor | None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """What the generator's loss has besides, and scalars to log."""
        return None, {}

    def generator_loss(self, scores: Tensor) -> Tensor:
        """The generator's loss from the scores of its samples, a scalar."""
        loss_N = self.game.generator(by_discriminator(scores)).mean((0, 2))
        return aggregated(loss_N, self.options.aggregate, self.options.sharpness)

    def _clip(self, discriminator: nn.Module) -> None:
        if self.weight_clip is not None:
            with torch.no_grad():
                for weight in discriminator.parameters():
                    weight.clamp_(-self.weight_clip, self.weight_clip)

    def input(self, batch: Batch) -> Tensor:
        """Real samples, (B, ...)."""
        x: Tensor = self.call(batch)[0][0]
        return x

    def label(self, generator: Any, batch: Batch) -> Tensor | None:
        """The targets (B,) of a batch, for a conditional model."""
        return batch["target"] if generator.classes else None

    def generated(self, engine: Engine | None, generator: Any, count: int, label_B: Tensor | None) -> Tensor:
        """Samples (B, ...) from noise of torch's default generator, in the shape of the data."""
        plain: Any = generator if engine is None else engine.plain[GENERATOR]
        x: Tensor = generator(plain.draw(count), label_B)
        return x.reshape(count, *self.shape)

    # ------------------------------------------------------------------ evaluation

    def metrics(self) -> Any:
        """ "loss", of the generator, "discriminator_loss", the scores of real and generated samples, and, unless scores
        have no absolute value, "verdict", the share that is judged rightly; means over the discriminators."""
        from lamina.tasks.means import Means

        names = ("loss", "discriminator_loss", "real_score", "fake_score")
        return Means(*names, *(() if self.game.middle is None else ("verdict",)))

    def evaluate_step(self, model: Any, batch: Batch, metrics: Any) -> None:
        real, label_B = self.input(batch), self.label(model.generator, batch)
        fake = self.generated(None, model.generator, len(real), label_B)
        judge = model.discriminator
        real_BNP, fake_BNP = (by_discriminator(judge(x, label_B)).float() for x in (real, fake))
        values = {
            "loss": self.game.generator(fake_BNP),
            "discriminator_loss": self.game.real(real_BNP) + self.game.fake(fake_BNP),
            "real_score": real_BNP,
            "fake_score": fake_BNP,
        }
        if self.game.middle is not None:
            values["verdict"] = ((real_BNP > self.game.middle).float() + (fake_BNP < self.game.middle).float()) / 2
        values = {name: value.mean((1, 2)) for name, value in values.items()}
        metrics.update(**values)

    def shortfall(self, metrics: Mapping[str, float]) -> str | None:
        """Which player has won, as the end of a sentence; None while both have something to learn."""
        verdict = metrics.get("verdict")
        if verdict is None or BALANCED[0] <= verdict <= BALANCED[1]:
            return None
        if verdict > BALANCED[1]:
            return (
                f"is out of balance: the discriminator has won, it is right about {verdict:.1%} of the samples, and "
                "the generator learns little from it (--objective.discriminator-rate below 1, or --objective.r1)"
            )
        return (
            f"is out of balance: the generator has won, the discriminator is right about {verdict:.1%} of the samples "
            "(--objective.n-critic above 1, or --objective.discriminator-rate)"
        )

    # ------------------------------------------------------------------ generation

    def sample(self, model: Any, count: int, seed: int, label: int | None = None) -> Tensor:
        """``count`` samples in the shape of the data, the i-th a function of seed and i."""
        return self.decode(model, model.generator.draw(count, seed), label)

    def decode(self, model: Any, z_BL: Tensor, label: int | None = None) -> Tensor:
        """The samples (B, ...) of given codes, in the shape of the data; of classes in turn where no one is given."""
        x: Tensor = model.generator.decode(z_BL, model.generator.labels(len(z_BL), label))
        return x.reshape(len(z_BL), *self.shape)


def _add(logs: dict[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        logs[name] = logs[name] + value if name in logs else value


def make(setup: TaskSetup) -> Task:
    """Raises UsageError for label smoothing, which no objective here has."""
    if setup.recipe.label_smoothing:
        raise UsageError("label_smoothing is for tasks that predict classes, not for adversarial networks")
    preprocess, objective = setup.preprocess, setup.objective
    shape = tuple(int(side) for side in preprocess.signature()[0].shape)
    return Adversarial(preprocess.call, shape, objective.name, objective.options, len(preprocess.target.classes))


def model_options(objective: Objective, preprocess: Preprocess) -> dict[str, str]:
    """The generator's last non-linearity: what the data's range asks for."""
    bounds = preprocess.signature()[0].bounds
    return {"output": {(-1.0, 1.0): "tanh", (0.0, 1.0): "sigmoid"}.get(bounds or (0.0, 0.0), "linear")}


KIND = TaskKind(
    name="adversarial",
    make=make,
    serves=serves_numbers,
    objectives=OPTIONS,
    verbs=VERBS["adversarial"],
    needs_targets=False,
    automatic=False,
    image_range="half",
    model_options=model_options,
    predicts_at_once=False,
)
