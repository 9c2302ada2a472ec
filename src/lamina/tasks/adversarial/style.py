"""Adversarial training of ProGAN and the StyleGANs: growing by phases, lazy regularisation, few pictures.

A net that grows is trained at ``start`` pixels first; each doubling is faded in over ``fade_images`` and trained for
``stable_images`` more. Data stay at their full size; they are lowered here, and faded as the generator's pictures are.

Legend: B batch, C channels, S side of the picture, N layers with a style, W numbers of w.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lamina.errors import UsageError
from lamina.layers.styles.growing import FIRST
from lamina.options.recipe import Recipe
from lamina.tasks.adversarial.few_pictures import AdaptiveProbability, augmented, cumulated, mean_over_processes
from lamina.tasks.adversarial.games import AdversarialOptions, PenaltyOptions
from lamina.tasks.adversarial.task import DISCRIMINATOR, GENERATOR, Adversarial
from lamina.tasks.base import Batch, Batches, Call, Engine, Phase, PhaseLength, Task
from lamina.tasks.kind import TaskKind, TaskSetup, serves_modalities
from lamina.tasks.verbs import VERBS

PATH_DECAY = 0.01
"""share of a batch's mean length in the running mean"""


@dataclass(frozen=True, kw_only=True)
class StyleOptions(AdversarialOptions):
    """Options of the objectives of ProGAN and the StyleGANs."""

    start: int = 0
    """side of the first pictures of a net that grows, in pixels; 0: the full size from the beginning"""
    stable_images: int = 600_000
    """growing: pictures seen at each size, once it is faded in"""
    fade_images: int = 600_000
    """growing: pictures seen while a size is faded in"""
    batch_sizes: tuple[int, ...] = ()
    """growing: batch size of each size from the first, over all processes, the last for all that follow; empty: the
    recipe's"""
    rates: tuple[float, ...] = ()
    """growing: factor on the learning rates at each size from the first, the last for all that follow"""
    path_length: float = 0.0
    """weight of the path length's penalty in the generator (StyleGAN2: 2); 0: none"""
    path_interval: int = 4
    """the path length is taken at every so many steps, with so many times the weight"""
    augment: float = 0.0
    """probability of each change of what the discriminator sees (DiffAugment); with a target where it begins"""
    augment_target: float = 0.0
    """adapt the probability so that the mean sign of D at real pictures stays here (few pictures: 0.6); 0: fixed"""
    augment_images: int = 500_000
    """pictures in which the probability can go from 0 to 1"""
    drift: float = 0.0
    """weight of the mean square of the scores of real pictures"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start and (self.start < FIRST or self.start & (self.start - 1)):
            raise UsageError(f"start must be 0 or a power of two of at least {FIRST}, got {self.start}")
        for name in ("stable_images", "path_interval", "augment_images"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("fade_images", "path_length", "drift"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("augment", "augment_target"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if min(self.batch_sizes, default=1) < 1:
            raise UsageError(f"batch_sizes must be at least 1, got {self.batch_sizes}")
        if not all(0 < rate < math.inf for rate in self.rates):
            raise UsageError(f"rates are factors greater than 0, got {self.rates}")


@dataclass(frozen=True, kw_only=True)
class StylePenaltyOptions(StyleOptions, PenaltyOptions):
    """Options of the objective "wasserstein-gp" of ProGAN."""

    n_critic: int = 1
    """steps of the discriminator for each of the generator"""
    drift: float = 0.001
    """weight of the mean square of the scores of real pictures"""


class StyleAdversarial(Adversarial):
    """``Adversarial`` for nets that grow, and for generators with styles.

    Example: ``StyleAdversarial(preprocess.call, (3, 64, 64), "non-saturating", StyleOptions(r1=10, start=8))``
    """

    name = "style-adversarial"
    options: Any
    """``StyleOptions``"""

    def __init__(
        self,
        call: Call,
        shape: tuple[int, ...],
        objective: str = "non-saturating",
        options: Any = None,
        classes: int = 0,
    ) -> None:
        options = options or OBJECTIVES[objective]()
        super().__init__(call, shape, objective, options, classes)
        full = shape[-1]
        first = options.start or full
        self.resolutions = [side for side in (first << i for i in range(20)) if side <= full] if options.start else []
        self.side, self.fade = full, 1.0
        self.find_unused_parameters = bool(self.resolutions)
        twice = (*self.differentiated_twice, *((GENERATOR,) if options.path_length else ()))
        self.differentiated_twice = twice
        self.path_mean = torch.zeros(())
        self.probability = AdaptiveProbability(options.augment_target, options.augment_images, options.augment)
        self.group = 1
        self._generator: Any = None

    def initialise(self, model: Any) -> None:
        """Raises UsageError as ``Adversarial``, for a net that does not grow, and for sizes that it does not have."""
        super().initialise(model)
        self._generator = model.generator
        full, start = self.shape[-1], self.options.start
        self.group = getattr(model.discriminator, "group", 1)
        if start and not hasattr(model.generator, "grow"):
            raise UsageError(f"start={start}: the net does not grow; use --objective.start 0")
        if start > full:
            raise UsageError(f"start={start} is more than the size of the pictures, {full} (--model.image-size)")
        if self.options.path_length and not hasattr(model.generator, "synthesis"):
            raise UsageError("path_length is for generators with styles: use --objective.path-length 0")

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        """With lazy regularisation at every k-th step the rate times c = k / (k + 1), the betas to the power of c."""
        recipe = super().recipe_of(player, recipe)
        interval = self.options.r1_interval if player == DISCRIMINATOR and self.options.r1 else 1
        if player == GENERATOR and self.options.path_length:
            interval = self.options.path_interval
        if interval == 1:
            return recipe
        c = interval / (interval + 1)
        return replace(recipe, lr=recipe.lr * c, beta1=recipe.beta1**c, beta2=recipe.beta2**c)

    # ------------------------------------------------------------------ growing

    def phase(self, images_seen: int) -> Phase | None:
        """One for each size; its first ``fade_images`` fade it in, but for the first."""
        if not self.resolutions:
            return None
        begins = cumulated(self.lengths())
        index = max(i for i, begin in enumerate(begins) if images_seen >= begin)
        done = images_seen - begins[index]
        fade = 1.0 if index == 0 or done >= self.options.fade_images else done / self.options.fade_images
        return Phase(
            index=index,
            batch_size=_of_phase(self.options.batch_sizes, index, None),
            rate=_of_phase(self.options.rates, index, 1.0),
            resolution=self.resolutions[index],
            fade=fade,
            reset_optimisers=True,
        )

    def lengths(self) -> list[int]:
        """Pictures seen at each size, but for the last, at which training stays."""
        stable, fade = self.options.stable_images, self.options.fade_images
        return [stable if i == 0 else fade + stable for i in range(len(self.resolutions))]

    def phases(self, images: int, batch_size: int) -> list[PhaseLength]:
        found = []
        for index, (side, begin) in enumerate(zip(self.resolutions, cumulated(self.lengths()), strict=True)):
            if begin < images:
                last = index == len(self.resolutions) - 1 or begin + self.lengths()[index] >= images
                size = _of_phase(self.options.batch_sizes, index, None) or batch_size
                length = None if last else self.lengths()[index]
                found.append(PhaseLength(name=f"{side} x {side}", images=length, batch_size=size))
        return found

    def length_notes(self, images: int, batch_size: int, world: int) -> list[str]:
        """Sizes that are not reached in so many pictures. Raises UsageError for a batch that does not divide among the
        processes, or is smaller than what the discriminator takes a deviation over, and for weights of a net that has
        not grown up where training does not let it grow."""
        generator = self._generator
        if not self.resolutions and getattr(generator, "side", self.shape[-1]) < self.shape[-1]:
            raise UsageError(
                f"the weights are of a net that has grown to {generator.side} pixels, and without --objective.start it "
                f"would stay there: give --objective.start {generator.side}, or weights of {self.shape[-1]} pixels"
            )
        for index in range(max(len(self.resolutions), 1)):
            size = _of_phase(self.options.batch_sizes, index, None) or batch_size
            where = f" at {self.resolutions[index]} pixels" if self.resolutions else ""
            if size % world:
                raise UsageError(f"batch size {size}{where} is not divisible by {world} processes")
            if size // world < self.group:
                each = " in each process" if world > 1 else ""
                raise UsageError(
                    f"batch size {size // world}{each}{where} is less than the {self.group} samples that the "
                    f"discriminator compares: use {self.group * world} or more, or --model.group {size // world}"
                )
        if not self.resolutions:
            return []
        missed = [
            side for side, begin in zip(self.resolutions, cumulated(self.lengths()), strict=True) if begin >= images
        ]
        if not missed:
            return []
        sizes = ", ".join(f"{side} x {side}" for side in missed)
        needed = sum(self.lengths()) - self.options.stable_images
        return [
            f"training ends before {sizes}: it sees {images:,} pictures, and all sizes are there after {needed:,} "
            "(--objective.stable-images, --objective.fade-images, or a longer training)"
        ]

    def follow(self, generator: Any) -> None:
        """Real pictures from now on are of the size that the generator makes."""
        self.side = getattr(generator, "side", self.shape[-1])
        self.fade = float(generator.faded) if getattr(generator, "fades", False) else 1.0

    def lowered(self, x_BCSS: Tensor) -> Tensor:
        """Pictures at the present size: means over blocks, faded from those of half the size."""
        if (factor := x_BCSS.shape[-1] // self.side) > 1:
            x_BCSS = F.avg_pool2d(x_BCSS, factor)
        if self.fade == 1:
            return x_BCSS
        old_BCSS = F.interpolate(F.avg_pool2d(x_BCSS, 2), scale_factor=2, mode="nearest")
        return torch.lerp(old_BCSS, x_BCSS, self.fade)

    # ------------------------------------------------------------------ training

    def update(self, batches: Batches, engine: Engine) -> dict[str, Tensor]:
        if engine.phase is not None and engine.phase.resolution is not None:
            stage = int(math.log2(engine.phase.resolution // FIRST))
            for player in self.players:
                growing: Any = engine.plain[player]
                growing.grow(stage, engine.phase.fade)
        self.follow(engine.plain[GENERATOR])
        return super().update(batches, engine)

    def input(self, batch: Batch) -> Tensor:
        return self.lowered(super().input(batch))

    def generated(self, engine: Engine | None, generator: Any, count: int, label_B: Tensor | None) -> Tensor:
        plain: Any = generator if engine is None else engine.plain[GENERATOR]
        x: Tensor = generator(plain.draw(count), label_B)
        return x

    def shown(self, x: Tensor) -> Tensor:
        return augmented(x, self.probability.value)

    def scored(self, engine: Engine, real_scores: Tensor) -> dict[str, Tensor]:
        if not self.options.augment_target:
            return {}
        sign = mean_over_processes(real_scores.detach().sign().mean())
        world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        self.probability.follow(float(sign), len(real_scores) * world)
        return {"augment": torch.tensor(self.probability.value), "sign": sign}

    def generator_penalty(
        self, engine: Engine, count: int, label_B: Tensor | None
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """The path length's penalty, at every ``path_interval``-th step, on half a batch."""
        options = self.options
        if not options.path_length or engine.step % options.path_interval:
            return None, {}
        half = max(1, count // 2)
        lengths_B = path_lengths(engine.plain[GENERATOR], half, None if label_B is None else label_B[:half])
        mean = mean_over_processes(lengths_B.detach().mean())
        self.path_mean = torch.lerp(self.path_mean.to(mean), mean, PATH_DECAY)
        penalty = (lengths_B - self.path_mean).square().mean()
        logs = {"path_length": mean, "path_penalty": penalty.detach()}
        return options.path_length * options.path_interval * penalty, logs

    def evaluate_step(self, model: Any, batch: Batch, metrics: Any) -> None:
        self.follow(model.generator)
        super().evaluate_step(model, batch, metrics)

    # ------------------------------------------------------------------ what is carried

    def state_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"path_mean": self.path_mean.cpu()} if self.options.path_length else {}
        return found | ({"augment": self.probability.value} if self.options.augment_target else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.path_mean = state.get("path_mean", self.path_mean)
        self.probability.value = float(state.get("augment", self.probability.value))

    # ------------------------------------------------------------------ generation

    def decode(self, model: Any, z_BL: Tensor, label: int | None = None) -> Tensor:
        """The pictures (B, C, S, S) of given codes, of the present size."""
        x: Tensor = model.generator.decode(z_BL, model.generator.labels(len(z_BL), label))
        return x


def path_lengths(generator: Any, count: int, label_B: Tensor | None) -> Tensor:
    """||J^T y|| of each of ``count`` pictures, (B,), itself differentiable: y from N(0, 1) / sqrt(H W), J the Jacobian
    of the picture in the styles of all layers; the root of the mean over layers of the squares."""
    z_BL = generator.draw(count)
    w_BNW = generator.spread(generator.mapping(generator.inputs(z_BL, label_B)))
    picture = generator.synthesis(w_BNW, generator.noise(count, "fresh"))
    y = torch.randn_like(picture) / math.sqrt(picture.shape[2] * picture.shape[3])
    (slope_BNW,) = torch.autograd.grad((picture * y).sum(), w_BNW, create_graph=True)
    lengths_B: Tensor = slope_BNW.square().sum(2).mean(1).sqrt()
    return lengths_B


def _of_phase(values: tuple[Any, ...], index: int, usual: Any) -> Any:
    return values[min(index, len(values) - 1)] if values else usual


OBJECTIVES: Mapping[str, type[StyleOptions]] = {
    "non-saturating": StyleOptions,
    "hinge": StyleOptions,
    "least-squares": StyleOptions,
    "wasserstein-gp": StylePenaltyOptions,
}


def make(setup: TaskSetup) -> Task:
    """Raises UsageError for label smoothing, which no objective here has, and for pictures that are not square."""
    if setup.recipe.label_smoothing:
        raise UsageError("label_smoothing is for tasks that predict classes, not for adversarial networks")
    preprocess, objective = setup.preprocess, setup.objective
    shape = tuple(int(side) for side in preprocess.signature()[0].shape)
    return StyleAdversarial(preprocess.call, shape, objective.name, objective.options, len(preprocess.target.classes))


KIND = TaskKind(
    name="style-adversarial",
    make=make,
    serves=serves_modalities("image"),
    objectives=OBJECTIVES,
    verbs=VERBS["style-adversarial"],
    needs_targets=False,
    automatic=False,
    image_range="half",
    predicts_at_once=False,
)
