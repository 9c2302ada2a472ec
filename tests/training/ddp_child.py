"""What ``test_ddp.py`` runs in two processes: every fit writes, for each rank, what the test compares."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from toys import Classify, Fit, Jitter, Log, differences, gan, make_engine, plain_net, points, recall

import lamina
from lamina.data.image.augment.geometric import Geometric
from lamina.data.streams import Batch, InMemory, Shuffled
from lamina.tasks.adversarial.task import Adversarial
from lamina.tasks.base import Task, one_tensor
from lamina.training.checkpoints import Checkpoints
from lamina.training.engine import Engine
from lamina.training.events import EpochDone, StepDone
from lamina.training.loop import fit


def stream(engine: Engine, batch: Batch, size: int, **options: Any) -> Shuffled:
    rank, world = engine.fabric.global_rank, engine.fabric.world_size
    return Shuffled(InMemory(batch), size, 0, rank=rank, world=world, **options)


# ---------------------------------------------------------------- the fits


def classifier(fabric: Fabric, **recipe: Any) -> Fit:
    """Fifty steps of SGD in fp64 with augmentation, clipping and accumulation; no batch norm, no dropout."""
    options = {"batch_size": 16, "steps": 50, "optimizer": "sgd", "lr": 0.2, "schedule": "cosine", "accumulate": 2}
    options |= {"precision": "fp64", "clip": 1.0, "ema": 0.9}
    engine = make_engine(Classify(), {"model": plain_net()}, fabric, **options | recipe)
    return Fit(engine, stream(engine, points(200), 16, augment=Jitter()))


def to_float(batch: Batch) -> Batch:
    return {"x": batch["image"].float() / 255, "y": batch["y"]}


def pictures(fabric: Fabric, **recipe: Any) -> Fit:
    """Fifty steps on stored bytes, mirrored and moved as training images are."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (200,), generator=generator)
    image = torch.randint(0, 256, (200, 1, 8, 8), generator=generator, dtype=torch.uint8)
    image[torch.arange(200), :, y + 2] = 255  # the class is the bright row
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(256, 3))
    options = {"batch_size": 16, "steps": 50, "optimizer": "sgd", "lr": 0.1, "precision": "fp64", "ema": 0.9}
    engine = make_engine(Classify(), {"model": model}, fabric, **options | recipe)
    augment = Geometric(flip=True, shift=1)
    return Fit(engine, stream(engine, {"image": image, "y": y}, 16, augment=augment, prepare=to_float))


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.norm, self.decoder = nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(2, 6)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.norm(self.encoder(x)).chunk(2, -1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


class Variational(Task):
    """Calls encode and decode, never forward; the noise is each rank's own."""

    name = "variational"
    forward_methods = {"model": ("encode", "decode")}  # noqa: RUF012

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        mean, log_variance = model.encode(batch["x"])
        noise = torch.randn_like(mean)
        x = model.decode(mean + noise * (log_variance / 2).exp())
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return functional.mse_loss(x, batch["x"], reduction="none").sum(1).mean() + 0.1 * kl, {"noise": noise.mean()}


def vae(fabric: Fabric, **recipe: Any) -> Fit:
    torch.manual_seed(fabric.global_rank)  # ranks that begin with other weights are given those of the first
    options = {"batch_size": 16, "epochs": 8, "optimizer": "adam", "lr": 0.02, "ema": 0.9} | recipe
    engine = make_engine(Variational(), {"model": VAE()}, fabric, **options)
    x = points(160)["x"] @ torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    return Fit(engine, stream(engine, {"x": x}, 16))


def wgan(fabric: Fabric, **recipe: Any) -> Fit:
    return gan(320, 32, fabric=fabric, **{"epochs": 6} | recipe)


def dcgan(fabric: Fabric, **recipe: Any) -> Fit:
    """Batch norm in both players, whose statistics each rank takes of its own samples."""
    torch.manual_seed(0)
    widths = {"generator_widths": (6, 4), "discriminator_widths": (4, 6), "latent": 3}
    model = lamina.create_model("dcgan-16", **widths)
    task = Adversarial(one_tensor("image"), (1, 16, 16))
    players = {"generator": model.generator, "discriminator": model.discriminator}
    options = {"batch_size": 8, "epochs": 3, "optimizer": "adam", "lr": 0.01, "ema": 0.9} | recipe
    image = torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    engine = make_engine(task, players, fabric, **options)
    return Fit(engine, stream(engine, {"image": image}, 8))


def running(engine: Engine) -> dict[str, Tensor]:
    """Running statistics of the players and of the average."""
    whole = {**engine.raw["generator"].state_dict(prefix="generator/")}
    whole |= engine.raw["discriminator"].state_dict(prefix="discriminator/")
    whole |= {f"average/{name}": value for name, value in engine.average["generator"].items()}
    return {name: value.clone() for name, value in whole.items() if "running" in name}


def joined(fabric: Fabric) -> list[dict[str, Tensor]]:
    """Of a whole fit: what each rank has before its statistics are joined, and after."""
    made, found = dcgan(fabric), []
    join = made.engine.join_statistics

    def watched() -> None:
        before = running(made.engine)
        join()
        found.extend([before, running(made.engine)])

    made.engine.join_statistics = watched
    list(fit(made.engine, made.streams))
    return found


def judged(fabric: Fabric, **recipe: Any) -> Fit:
    """Each rank would judge epochs differently: the first rank's verdict must hold for all."""
    made = classifier(fabric, **{"steps": None, "epochs": 9, "patience": 2} | recipe)
    made.evaluate = lambda: {"accuracy": (-1.0) ** fabric.global_rank * made.engine.step}
    return made


# ---------------------------------------------------------------- running them


def full(make: Any, fabric: Fabric, folder: Path | None = None) -> dict[str, Any]:
    """With a folder as ``resumed``: where running statistics are each rank's own, saving joins them."""
    made, log = make(fabric, **({} if folder is None else {"checkpoint_every": 4})), Log()
    checkpoints = None if folder is None else Checkpoints(folder)
    update, own = made.engine.task.update, []

    def watched(*arguments: Any) -> dict[str, Tensor]:
        logs = update(*arguments)
        own.append({name: float(value) for name, value in logs.items()})
        return logs

    made.engine.task.update = watched  # what this rank logged, before it is averaged over both
    for event in fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=checkpoints):
        log.add(event)
    return report(made.engine, log) | {"own": own}


def resumed(make: Any, fabric: Fabric, folder: Path, stop: int) -> dict[str, Any]:
    """Closed after step ``stop`` by all ranks, resumed by fresh engines."""
    made, log = make(fabric, checkpoint_every=4), Log()
    for event in fit(made.engine, made.streams, checkpoints=Checkpoints(folder)):
        if isinstance(event, StepDone) and event.step == stop:
            break
    fabric.barrier()
    saved = [path.name for path in Checkpoints(folder).paths()]
    made = make(fabric, checkpoint_every=4)
    for event in fit(made.engine, made.streams, checkpoints=Checkpoints(folder), resume=True):
        log.add(event)
    return report(made.engine, log) | {"saved": saved}


def report(engine: Engine, log: Log) -> dict[str, Any]:
    mine = {"models": engine.raw, "optimisers": engine.optimisers}
    state = {kind: {player: part.state_dict() for player, part in parts.items()} for kind, parts in mine.items()}
    state |= {"average": engine.average, "carry": engine.carry, "task": engine.task.state_dict()}
    rows = [[row.epoch, row.best, row.validation, row.train] for row in log.rows if isinstance(row, EpochDone)]
    return {
        "state": state,
        "rows": rows,
        "steps": {n: logs for n, (_, _, logs) in log.steps.items()},
        "samples": engine.images_seen,
        "step": engine.step,
    }


def all_fits(fabric: Fabric, folder: Path) -> dict[str, Any]:
    long = partial(recall, epochs=3)
    return {
        "classifier": full(classifier, fabric),
        "pictures": full(pictures, fabric),
        "classifier resumed": resumed(classifier, fabric, folder / "classifier", 23),
        "vae": full(vae, fabric),
        "vae resumed": resumed(vae, fabric, folder / "vae", 33),
        "wgan": full(wgan, fabric),
        "wgan resumed": resumed(wgan, fabric, folder / "wgan", 6),
        "recall": full(lambda fabric, **recipe: long(fabric=fabric, **recipe), fabric),
        "recall resumed": resumed(
            lambda fabric, **recipe: long(fabric=fabric, **recipe), fabric, folder / "recall", 10
        ),
        "judged": full(judged, fabric),
        "dcgan": full(dcgan, fabric, folder / "dcgan whole"),
        "dcgan resumed": resumed(dcgan, fabric, folder / "dcgan", 6),
        "joined": joined(fabric),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    out = Path(sys.argv[1])
    torch.save(all_fits(fabric, out), out / f"rank{fabric.global_rank}.pt")
    assert differences(fabric.broadcast(fabric.world_size), 2) == []
    torch.distributed.destroy_process_group()
