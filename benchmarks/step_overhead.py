"""What does our loop cost over a raw PyTorch loop that does the same work?

Every side takes the same steps on the same data in memory, in a process that keeps freed memory: gather a batch,
normalise it, forward, cross-entropy, running loss and accuracy, backward, SGD with momentum. The DataLoader loop and
Lightning's Trainer draw from a TensorDataset.
Milliseconds a step, median over rounds; ratio: median over rounds of the ratio to the raw loop in the same round.
"""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Callable

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from lamina.data.streams import Batch, InMemory, Shuffled
from lamina.options.recipe import Recipe
from lamina.tasks.classification import Classification
from lamina.training.allocation import freed_memory_kept
from lamina.training.engine import Engine
from lamina.training.events import StepDone
from lamina.training.loop import fit

LR, MOMENTUM = 0.01, 0.9
SCALE, SHIFT = 1 / 255, 0.13


def normalise(x: Tensor) -> Tensor:
    return x.float().mul_(SCALE).sub_(SHIFT) if x.dtype == torch.uint8 else x


def lamina_loop(make: Callable[[], nn.Module], x: Tensor, y: Tensor, batch: int, steps: int) -> float:
    def prepare(drawn: Batch) -> Batch:
        return {"image": normalise(drawn["image"]), "target": drawn["target"]}

    recipe = Recipe(steps=steps + 1, batch_size=batch, optimizer="sgd", lr=LR, momentum=MOMENTUM)
    engine = Engine(Fabric(accelerator="cpu", devices=1), Classification(10), {"model": make()}, recipe)
    start = 0.0
    for event in fit(engine, Shuffled(InMemory({"image": x, "target": y}), batch, 0, prepare=prepare)):
        if isinstance(event, StepDone):
            if event.step == 1:
                start = time.perf_counter()
            end = time.perf_counter()
    return (end - start) / steps


def raw_loop(make: Callable[[], nn.Module], x: Tensor, y: Tensor, batch: int, steps: int) -> float:
    model = make()
    optimiser = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
    total, right, done, per_epoch, start = torch.zeros(()), torch.zeros(()), 0, len(x) // batch, 0.0
    while True:
        order = torch.randperm(len(x))
        for i in range(per_epoch):
            index = order[i * batch : (i + 1) * batch]
            target = y[index]
            logits = model(normalise(x[index]))
            loss = F.cross_entropy(logits, target)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            total += loss.detach()
            right += (logits.detach().argmax(1) == target).float().mean()
            done += 1
            if done == 1:
                start = time.perf_counter()
            if done == steps + 1:
                return (time.perf_counter() - start) / steps


def loader_loop(make: Callable[[], nn.Module], x: Tensor, y: Tensor, batch: int, steps: int) -> float:
    model = make()
    optimiser = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
    total, right, done, start = torch.zeros(()), torch.zeros(()), 0, 0.0
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True, drop_last=True)
    while True:
        for drawn, target in loader:
            logits = model(normalise(drawn))
            loss = F.cross_entropy(logits, target)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            total += loss.detach()
            right += (logits.detach().argmax(1) == target).float().mean()
            done += 1
            if done == 1:
                start = time.perf_counter()
            if done == steps + 1:
                return (time.perf_counter() - start) / steps


class _Lit(pl.LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.total, self.right, self.done, self.start, self.end = torch.zeros(()), torch.zeros(()), 0, 0.0, 0.0

    def training_step(self, drawn: tuple[Tensor, Tensor], _: int) -> Tensor:
        logits = self.model(normalise(drawn[0]))
        loss = F.cross_entropy(logits, drawn[1])
        self.total += loss.detach()
        self.right += (logits.detach().argmax(1) == drawn[1]).float().mean()
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        self.end = time.perf_counter()
        self.done += 1
        if self.done == 1:
            self.start = self.end

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM, fused=True)


def trainer(make: Callable[[], nn.Module], x: Tensor, y: Tensor, batch: int, steps: int) -> float:
    """Lightning's Trainer with everything optional switched off."""
    module = _Lit(make())
    runner = pl.Trainer(
        max_steps=steps + 1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    runner.fit(module, DataLoader(TensorDataset(x, y), batch, shuffle=True, drop_last=True))
    return (module.end - module.start) / steps


def main() -> None:
    """Measure both cases and write the result."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (20_000, 1, 32, 32), dtype=torch.uint8)
    rows = torch.randn(20_000, 784)
    y = torch.randint(0, 10, (20_000,))

    def linear() -> nn.Module:
        return lamina.create_model("mlp", hidden=())

    cases = {
        "LeNet-5, batch 64": (lambda: lamina.create_model("lenet5"), images, 64, 120, 1.03),
        "logistic regression (784 inputs), batch 256": (linear, rows, 256, 300, 1.10),
    }
    sides = {"raw PyTorch": raw_loop, "lamina": lamina_loop, "DataLoader": loader_loop, "Lightning Trainer": trainer}
    table = "| case | side | ms a step | ratio to raw | bar |\n|---|---|---|---|---|\n"
    for case, (make, x, batch, steps, bar) in cases.items():

        def timed(side, make=make, x=x, batch=batch, steps=steps):  # type: ignore[no-untyped-def]
            return lambda: side(make, x, y, batch, steps)

        with freed_memory_kept(torch.device("cpu")):  # as in lamina.train
            found = interleaved({name: timed(side) for name, side in sides.items()}, rounds=21)
        for name, times in found.items():
            limit = f"<= {bar}x" if name == "lamina" else ""
            against = ratio(times, found["raw PyTorch"])
            table += f"| {case} | {name} | {1e3 * statistics.median(times):.3f} | {against:.3f} | {limit} |\n"
    write_result("step_overhead", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
