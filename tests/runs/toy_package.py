"""A package as other people write them: models of several players, of parts, of one dense layer after the other, and
tasks with players, with sides, without targets. ``toy_install`` puts it where its entry points are found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import Metric

from lamina.cards import Card, Variant
from lamina.options.recipe import Recipe
from lamina.tasks.base import Batch, Call, Task
from lamina.tasks.kind import TaskKind, TaskSetup

# ---------------------------------------------------------------- models


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    latent: int = 4
    in_channels: int = 1
    image_size: int = 8
    width: int = 12


def expect(x: Tensor, *shape: int) -> Tensor:
    if x.shape[1:] != shape:
        raise ValueError(f"expected (batch, {', '.join(map(str, shape))}), got {tuple(x.shape)}")
    return x


class Generator(nn.Module):
    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.latent, self.shape = config.latent, (config.in_channels, config.image_size, config.image_size)
        self.hidden = nn.Linear(config.latent, config.width)
        self.head = nn.Linear(config.width, config.in_channels * config.image_size**2)

    def forward(self, z_BL: Tensor) -> Tensor:
        return self.head(functional.silu(self.hidden(expect(z_BL, self.latent)))).unflatten(1, self.shape)


class Critic(nn.Module):
    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.shape = (config.in_channels, config.image_size, config.image_size)
        self.hidden = nn.Linear(config.in_channels * config.image_size**2, config.width)
        self.head = nn.Linear(config.width, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.head(functional.silu(self.hidden(expect(x_BCHW, *self.shape).flatten(1))))


class GAN(nn.Module):
    def __init__(self, config: GANConfig) -> None:
        super().__init__()
        self.config, self.generator, self.critic = config, Generator(config), Critic(config)


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    in_features: int = 64
    width: int = 16


class Dense(nn.Module):
    """The input again, through fewer numbers than it has."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = (
            nn.Linear(config.in_features, config.width),
            nn.Linear(config.width, config.in_features),
        )

    def forward(self, x: Tensor) -> Tensor:
        flat_BF = expect(x.flatten(1), self.config.in_features)
        return self.decoder(self.encoder(flat_BF).tanh()).reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class PartsConfig:
    in_features: int = 64
    num_classes: int = 10
    encoder: str = "mlp"
    width: int = 20


class Parts(nn.Module):
    """An encoder and a head, each a variant of the registry."""

    def __init__(self, config: PartsConfig, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.config, self.encoder, self.head = config, encoder, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


def parts(config: PartsConfig) -> dict[str, Any]:
    encoder = {"in_features": config.in_features, "hidden": (config.width,), "num_classes": 0}
    head = {"in_features": config.width, "hidden": (), "num_classes": config.num_classes}
    return {"encoder": (config.encoder, encoder), "head": ("mlp", head)}


def noise_example(config: GANConfig, batch: int) -> dict[str, Tensor]:
    return {"z_BL": torch.randn(batch, config.latent, generator=torch.Generator().manual_seed(0))}


def card(title: str, **facts: Any) -> Card:
    words = {"summary": "A toy.", "paper": "none", "authors": "nobody", "year": 2020, "reference": "none"}
    return Card(**{"title": title, "recipe": "mlp", **words, **facts})


VARIANTS = {
    "toy-gan": Variant(
        build=GAN,
        config=GANConfig(),
        card=card(
            "Toy GAN",
            inputs=("image",),
            tasks=("toy-adversarial",),
            input={"generator": (4,), "critic": (1, 8, 8)},
            parameters={"generator": 5 * 12 + 13 * 64, "critic": 65 * 12 + 13},
            macs={"generator": 4 * 12 + 12 * 64, "critic": 64 * 12 + 12},
        ),
        players={"generator": noise_example, "critic": None},
    ),
    "toy-dense": Variant(
        build=Dense,
        config=DenseConfig(),
        card=card(
            "Toy autoencoder",
            inputs=("image", "table"),
            tasks=("toy-autoencoding", "toy-unpaired"),
            input=(64,),
            parameters=65 * 16 + 17 * 64,
            macs=2 * 64 * 16,
        ),
    ),
    "toy-parts": Variant(
        build=Parts,
        config=PartsConfig(),
        card=card(
            "Toy of parts",
            inputs=("table",),
            tasks=("classification",),
            input=(64,),
            parameters=65 * 20 + 21 * 10,
            macs=64 * 20 + 20 * 10,
        ),
        parts=parts,
    ),
}

# ---------------------------------------------------------------- two players


class Means(Metric):
    """Means by name, in double precision: two processes add up in another order than one."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.add_state("sums", torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, *values: Tensor, count: int) -> None:
        self.sums += torch.stack(values).double() * count
        self.count += count

    def compute(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.sums / self.count, strict=True))


@dataclass(frozen=True, kw_only=True)
class WassersteinOptions:
    n_critic: int = 3
    """steps of the critic for each of the generator"""
    penalty: float = 10.0
    """of the slope of the critic"""
    draws: bool = True
    """whether noise is drawn; else it is made from the pictures, the same in every process"""


class Adversarial(Task):
    """A Wasserstein GAN with a gradient penalty: several batches an update, rates of the players' own."""

    name = "toy-adversarial"
    players = ("generator", "critic")
    average = ("generator",)
    monitor = ("distance", "min")
    differentiated_twice = ("critic",)

    def __init__(self, options: WassersteinOptions | None = None) -> None:
        self.options = options or WassersteinOptions()
        self.penalty_dtypes: set[torch.dtype] = set()

    def recipe_of(self, player: str, recipe: Recipe) -> Recipe:
        return replace(recipe, lr=recipe.lr / 2, beta1=0.0) if player == "generator" else recipe

    def noise(self, x_BCHW: Tensor, latent: int = 4) -> Tensor:
        if self.options.draws:
            return torch.randn(len(x_BCHW), latent, dtype=x_BCHW.dtype, device=x_BCHW.device)
        return x_BCHW.mean((1, 2))[:, :latent]

    def penalty(self, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        u = torch.rand(len(real), 1, 1, 1, dtype=real.dtype, device=real.device) if self.options.draws else 0.5
        mixed = (u * real + (1 - u) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        self.penalty_dtypes |= {slope.dtype}
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def update(self, batches: Any, engine: Any) -> dict[str, Tensor]:
        generator, critic = engine.models["generator"], engine.models["critic"]
        for _ in range(self.options.n_critic):
            for _ in range(engine.accumulate):
                real = next(batches)["image"]
                with torch.no_grad():
                    fake = generator(self.noise(real)).to(real.dtype)
                ours, theirs = critic(torch.cat([real, fake])).chunk(2)
                distance, penalty = ours.mean() - theirs.mean(), self.penalty(engine.plain["critic"], real, fake)
                engine.optimise(self.options.penalty * penalty - distance, "critic")
        for _ in range(engine.accumulate):
            with engine.frozen("critic"):
                loss = -critic(generator(self.noise(real))).mean()
                engine.optimise(loss, "generator")
        return {"loss": loss.detach(), "distance": distance.detach(), "penalty": penalty.detach()}

    def metrics(self) -> Any:
        return Means("distance", "level")

    def evaluate_step(self, model: Any, batch: Batch, metrics: Any) -> None:
        fake = model.generator(self.noise(batch["image"]))
        distance = model.critic(batch["image"]).mean() - model.critic(fake).mean()
        metrics.update(distance.abs(), fake.mean(), count=len(fake))

    def predict(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        return {"picture": model.generator(self.noise(batch["image"])).float()}


def serves_anything(spec: Any) -> str | None:
    return None


ADVERSARIAL = TaskKind(
    name="toy-adversarial",
    make=lambda setup: Adversarial(setup.objective.options),
    serves=serves_anything,
    objectives={"wasserstein": WassersteinOptions},
    needs_targets=False,
    predicts_at_once=False,
)

# ---------------------------------------------------------------- two sides


class Unpaired(Task):
    """Zeros for pictures of side A, ones for those of side B."""

    name = "toy-unpaired"
    sides = ("A", "B")
    monitor = ("loss", "min")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.drawn: list[tuple[int, int]] = []
        """how many samples each update drew from each side"""

    def error(self, model: nn.Module, batch: Batch, wanted: Tensor | float) -> Tensor:
        args, kwargs = self.call(batch)
        return (model(*args, **kwargs).flatten(1).mean(1) - wanted).square()

    def update(self, batches: Any, engine: Any) -> dict[str, Tensor]:
        a, b = next(batches["A"]), next(batches["B"])
        assert set(a["target"].tolist()) == {0}
        assert set(b["target"].tolist()) == {1}
        self.drawn.append((len(a["target"]), len(b["target"])))
        model = engine.models["model"]
        errors = {"A": self.error(model, a, 0.0).mean(), "B": self.error(model, b, 1.0).mean()}
        loss = errors["A"] + errors["B"]
        engine.optimise(loss)
        return {"loss": loss.detach(), **{side: error.detach() for side, error in errors.items()}}

    def metrics(self) -> Any:
        return Means("loss")

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        error_B = self.error(model, batch, batch["target"])
        metrics.update(error_B.mean(), count=len(error_B))

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"side": self.error(model, batch, 0.0).sqrt()}


UNPAIRED = TaskKind(
    name="toy-unpaired",
    make=lambda setup: Unpaired(setup.preprocess.call),
    serves=serves_anything,
    needs_targets=False,
)

# ---------------------------------------------------------------- no targets


class Autoencoding(Task):
    """The target is the input."""

    name = "toy-autoencoding"
    monitor = ("loss", "min")

    def __init__(self, call: Call) -> None:
        self.call = call

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        (x,), _ = self.call(batch)
        return functional.mse_loss(model(x), x), {}

    def metrics(self) -> Any:
        return Means("loss")

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        metrics.update(self.loss(model, batch, None)[0], count=len(next(iter(batch.values()))))

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"again": model(self.call(batch)[0][0])}


def make_autoencoding(setup: TaskSetup) -> Task:
    return Autoencoding(setup.preprocess.call)


AUTOENCODING = TaskKind(name="toy-autoencoding", make=make_autoencoding, serves=serves_anything, needs_targets=False)
