"""Unpaired image translation (CycleGAN): two generators that undo each other against two discriminators.

A step draws a batch of each side. The generators step first, on the discriminators as they are; then the
discriminators, on real pictures and on generated ones, of which half are of earlier steps.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.stylisation.pictures import with_channels
from lamina.tasks.adversarial.cycle_options import ADVISED, CycleOptions, DirectionOptions
from lamina.tasks.adversarial.games import GAMES
from lamina.tasks.adversarial.task import model_options
from lamina.tasks.base import Batch, Batches, Call, Engine, Task
from lamina.tasks.kind import TaskKind, TaskSetup, serves_modalities
from lamina.tasks.means import Means
from lamina.tasks.verbs import VERBS

GENERATORS, DISCRIMINATORS = "generators", "discriminators"
SIDES = ("A", "B")
GREY = 255
"""grey levels of pictures in a pool, less one"""


class Pool:
    """Generated pictures of earlier steps (Shrivastava et al. 2017, arXiv 1612.07828), as uint8 on the CPU.

    >>> pool = Pool(50, (-1.0, 1.0))
    >>> pool.exchange(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 3, 8, 8])
    """

    def __init__(self, size: int, bounds: tuple[float, float]) -> None:
        self.size, self.bounds = size, bounds
        self.pictures: list[Tensor] = []

    def exchange(self, x_BCHW: Tensor) -> Tensor:
        """Each picture, or with probability 1/2, once the pool is full, an old one in whose place it is kept. Draws
        from torch's default generator of the CPU."""
        if not self.size:
            return x_BCHW
        low, high = self.bounds
        stored = ((x_BCHW.detach().float().cpu() - low) / (high - low) * GREY).round().clamp(0, GREY).byte()
        given = list(x_BCHW)
        for i, picture in enumerate(stored):
            if len(self.pictures) < self.size:
                self.pictures.append(picture.clone())
            elif torch.rand(()) > 0.5:
                place = int(torch.randint(self.size, ()))
                old, self.pictures[place] = self.pictures[place], picture.clone()
                given[i] = (old.to(x_BCHW) / GREY) * (high - low) + low
        return torch.stack(given)

    def state(self) -> Tensor:
        """The pictures (N, C, H, W), uint8; empty without any."""
        return torch.stack(self.pictures) if self.pictures else torch.empty(0, dtype=torch.uint8)

    def load(self, state: Tensor) -> None:
        self.pictures = list(state.cpu())


class ImageTranslation(Task):
    """Training of a CycleGAN; the last weights are kept, since no loss says which were the best.

    Example: ``ImageTranslation(preprocess.call, (-1.0, 1.0), "least-squares", CycleOptions(identity=0))``
    """

    name = "image-translation"
    players = (GENERATORS, DISCRIMINATORS)
    average = (GENERATORS,)
    monitor = None
    sides = SIDES

    def __init__(
        self, call: Call, bounds: tuple[float, float], objective: str = "least-squares", options: Any = None
    ) -> None:
        """``bounds`` are the lowest and the highest value of a picture."""
        self.call, self.options = call, options or CycleOptions()
        self.game = GAMES[objective]
        # least squares are halved for the discriminators alone, as in the released code
        self.adversarial = 2.0 if objective == "least-squares" else 1.0
        self.pools = {side: Pool(self.options.pool, bounds) for side in SIDES}
        self.direction = "B"
        self.channels: tuple[int, int] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """An identity loss that is off, or too strong."""
        weight, found = self.options.identity, []
        if weight and self.channels is not None and self.channels[0] != self.channels[1]:
            a, b = self.channels
            found.append(f"no identity loss: side A has {a} channels, side B {b}")
        elif weight > ADVISED:
            found.append(
                f"identity {weight:g} is more than half of the cycle's weight: the generators may learn to change "
                f"nothing (--objective.identity {ADVISED:g} or less, 0 for none)"
            )
        return tuple(found)

    def initialise(self, model: Any) -> None:
        """Raises UsageError for a model without the players."""
        missing = [player for player in self.players if not isinstance(getattr(model, player, None), nn.Module)]
        if missing:
            raise UsageError(f"the task {self.name} is for models with {' and '.join(missing)}, as attributes")
        self.channels = channels_of(model)

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        if player == GENERATORS or self.options.discriminator_rate == 1:
            return recipe
        return replace(recipe, lr=recipe.lr * self.options.discriminator_rate)

    # ------------------------------------------------------------------ training

    def update(self, batches: Batches, engine: Engine) -> dict[str, Tensor]:
        """One step of the generators, then one of the discriminators, each on ``engine.accumulate`` batches a side."""
        logs: dict[str, Tensor] = {}
        drawn: list[dict[str, Tensor]] = []
        channels = channels_of(engine.plain[GENERATORS])
        for _ in range(engine.accumulate):
            real = {side: self.input(next(batches[side]), C) for side, C in zip(SIDES, channels, strict=True)}
            with engine.frozen(DISCRIMINATORS):
                made = engine.models[GENERATORS](real["A"], real["B"], self.options.identity > 0)
                scores = engine.models[DISCRIMINATORS](made.fake_a, made.fake_b)
                values = {name: value_B.mean() for name, value_B in self.generator_losses(real, made, scores).items()}
                engine.optimise(values["loss"], GENERATORS)
            _add(logs, values)
            drawn.append({**real, "fake A": made.fake_a.detach(), "fake B": made.fake_b.detach()})
        for one in drawn:
            fake = [self.pools[side].exchange(one[f"fake {side}"]) for side in SIDES]
            scores = engine.models[DISCRIMINATORS](*(torch.cat([one[s], x]) for s, x in zip(SIDES, fake, strict=True)))
            halves = [score.tensor_split([len(one[s])]) for s, score in zip(SIDES, scores, strict=True)]
            loss, values = self.discriminator_loss(halves)
            engine.optimise(loss, DISCRIMINATORS)
            _add(logs, values)
        return {name: value / engine.accumulate for name, value in logs.items()}

    def generator_losses(
        self, real: Mapping[str, Tensor], made: Any, scores: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """What the generators minimise, "loss", and its parts, each of both sides, (B,)."""
        judged_B = sum(_each(self.adversarial * self.game.generator(score)) for score in scores)
        cycle_B = _each((made.back_a - real["A"]).abs()) + _each((made.back_b - real["B"]).abs())
        losses = {"loss": judged_B + self.options.cycle * cycle_B, "adversarial": judged_B, "cycle": cycle_B}
        if made.same_a is not None and self.options.identity:
            same_B = _each((made.same_b - real["B"]).abs()) + _each((made.same_a - real["A"]).abs())
            losses["loss"] = losses["loss"] + self.options.identity * self.options.cycle * same_B
            losses["identity"] = same_B
        return cast(dict[str, Tensor], losses)

    def discriminator_loss(self, scores: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Of real and generated scores of each side: the loss, and scalars to log."""
        loss = sum(self.game.real(real).mean() + self.game.fake(fake).mean() for real, fake in scores)
        means = {
            "discriminator_loss": loss,
            "real_score": sum(real.mean() for real, _ in scores) / 2,
            "fake_score": sum(fake.mean() for _, fake in scores) / 2,
        }
        return cast(Tensor, loss), cast(dict[str, Tensor], means)

    def input(self, batch: Batch, channels: int) -> Tensor:
        """The pictures (B, C, H, W) of a batch, with a side's channels."""
        return with_channels(self.call(batch)[0][0], channels)

    # ------------------------------------------------------------------ evaluation

    def metrics(self) -> Any:
        """ "loss" of the generator that a picture goes through, and its parts: "adversarial", and "cycle", the L1
        distance of what comes back."""
        return Means("loss", "adversarial", "cycle")

    def evaluate_step(self, model: Any, batch: Batch, metrics: Any) -> None:
        """Each picture goes to the other side, is judged there, and comes back."""
        for number, side in enumerate(SIDES):
            chosen = batch["target"] == number
            if not chosen.any():
                continue
            x = self.input({**batch, **_rows(batch, chosen)}, channels_of(model)[number])
            there, back = translators(model, side)
            fake = there(x)
            judge = model.discriminators.b if side == "A" else model.discriminators.a
            judged_B = _each(self.adversarial * self.game.generator(judge(fake)))
            cycle_B = _each((back(fake) - x).abs())
            metrics.update(loss=judged_B + self.options.cycle * cycle_B, adversarial=judged_B, cycle=cycle_B)

    # ------------------------------------------------------------------ prediction

    def predicted_with(self, options: DirectionOptions) -> ImageTranslation:
        task = copy(self)
        task.direction = options.to
        return task

    def predict(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """{"picture": (B, C, H, W)} of the side ``direction``; of an exported file, which has one, of side B."""
        generators = getattr(model, GENERATORS, None)
        if generators is None:
            return {"picture": model(self.call(batch)[0][0])}
        number = SIDES.index(self.direction)
        there, _ = translators(model, SIDES[1 - number])
        return {"picture": there(self.input(batch, channels_of(model)[1 - number]))}

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """{"picture": (H, W, C) uint8}"""
        low, high = self.pools["A"].bounds
        picture_CHW = ((prediction["picture"].float() - low) / (high - low) * GREY).round().clamp(0, GREY)
        return {"picture": picture_CHW.byte().permute(1, 2, 0).cpu().numpy()}

    # ------------------------------------------------------------------ the pools

    def state_dict(self) -> dict[str, Any]:
        return {"pools": {side: pool.state() for side, pool in self.pools.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for side, pictures in state["pools"].items():
            self.pools[side].load(pictures)


def channels_of(model: Any) -> tuple[int, int]:
    """Channels of side A and side B, of a model or of its generators."""
    generators = getattr(model, GENERATORS, model)
    return generators.a_to_b.channels, generators.b_to_a.channels


def translators(model: Any, side: str) -> tuple[nn.Module, nn.Module]:
    """The generator that takes pictures of ``side`` to the other, and the one that brings them back."""
    pair = model.generators.a_to_b, model.generators.b_to_a
    return pair if side == "A" else pair[::-1]


def _each(value: Tensor) -> Tensor:
    """The mean of each sample, (B,)."""
    return value.flatten(1).mean(1)


def _rows(batch: Batch, chosen: Tensor) -> Batch:
    return {name: value[chosen] for name, value in batch.items() if len(value) == len(chosen)}


def _add(logs: dict[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        logs[name] = logs[name] + value.detach() if name in logs else value.detach()


def make(setup: TaskSetup) -> Task:
    """Raises UsageError for label smoothing, which no objective here has, and data without bounds."""
    if setup.recipe.label_smoothing:
        raise UsageError("label_smoothing is for tasks that predict classes, not for image translation")
    bounds = setup.preprocess.signature()[0].bounds
    if bounds is None:
        raise UsageError(f"image translation is for images, not for {setup.preprocess.kind} data")
    return ImageTranslation(setup.preprocess.call, bounds, setup.objective.name, setup.objective.options)


KIND = TaskKind(
    name="image-translation",
    make=make,
    serves=serves_modalities("image"),  # that there are two sides is seen when they are divided
    objectives={"least-squares": CycleOptions, "non-saturating": CycleOptions},
    verbs=VERBS["image-translation"],
    needs_targets=False,
    automatic=False,
    image_range="half",
    model_options=model_options,
)
