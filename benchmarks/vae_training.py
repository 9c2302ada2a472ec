"""How fast is a variational autoencoder trained?

784-400-20 on 12,800 digits of MNIST, batches of 128, Adam at 0.001, one thread. ``raw loop``: the same weights, batches
gathered from bytes in memory, the same loss, fused Adam, sums of the loss and its two parts. ``DataLoader``: the loop
of pytorch/examples (vae/main.py) as it stands there: a data set that gives one PIL image at a time to ``ToTensor``, a
DataLoader without workers, probabilities and ``binary_cross_entropy``, Adam as it comes, ``loss.item()`` at every step.
lamina: the events of ``lamina.prepare``, from the first step of an epoch to its last.
Milliseconds of CPU time a step, median over rounds; speed: median over rounds of the ratio within a round. CPU time,
since the machine is shared: it varies less than time on the clock, but is not free of what others do to the caches.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from lamina.training.events import StepDone

IMAGES, BATCH, LR = 12_800, 128, 0.001
STEPS = IMAGES // BATCH - 1
"""timed: the first is not"""
ROUNDS = 15


def lamina_loop(images: Tensor, labels: Tensor) -> float:
    options: dict[str, Any] = {
        "data": {"train": (images, labels), "test": (images[:10], labels[:10])},
        "objective": {"name": "elbo", "likelihood": "bernoulli"},
        "validation": 0.0,
        "epochs": 1,
        "batch_size": BATCH,
        "optimizer": "adam",
        "lr": LR,
        "schedule": "constant",
        "ema": 0.0,
        "accelerator": "cpu",
    }
    folder = tempfile.mkdtemp()
    start = end = 0.0
    for event in lamina.prepare("vae-400-20", options, directory=folder).events():
        if isinstance(event, StepDone) and event.step == 1:
            start = time.process_time()
        if isinstance(event, StepDone) and event.step == STEPS + 1:
            end = time.process_time()
    shutil.rmtree(folder)
    return (end - start) / STEPS


def raw_loop(images: Tensor, labels: Tensor) -> float:
    model = lamina.create_model("vae-400-20").train()
    optimiser = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    sums, start = torch.zeros(3), 0.0
    order = torch.randperm(IMAGES)
    for step in range(STEPS + 1):
        x = images[order[step * BATCH : (step + 1) * BATCH]].float().mul_(1 / 255)
        decoded, (mean, log_variance) = model(x)
        error = F.binary_cross_entropy_with_logits(decoded, x, reduction="none").flatten(1).sum(1).mean()
        kl = (0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)).sum(1).mean()
        loss = error + kl
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        sums += torch.stack([loss, error, kl]).detach()
        start = time.process_time() if step == 0 else start
    return (time.process_time() - start) / STEPS


class ExampleVAE(nn.Module):
    """pytorch/examples, vae/main.py."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h1 = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.fc21(h1), self.fc22(h1)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


class Digits(Dataset[tuple[Tensor, int]]):
    """As torchvision's MNIST with ``ToTensor``: one picture at a time."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.data, self.targets = images, labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.data[i].numpy())
        values = torch.from_numpy(np.array(picture, copy=True)).view(28, 28, 1).permute(2, 0, 1).contiguous()
        return values.to(torch.float32).div(255), int(self.targets[i])


def loader_loop(images: Tensor, labels: Tensor) -> float:
    model = ExampleVAE().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=LR)
    loader = DataLoader(Digits(images, labels), batch_size=BATCH, shuffle=True)
    train_loss, start = 0.0, 0.0
    for batch, (data, _) in enumerate(loader):
        optimiser.zero_grad()
        recon, mu, logvar = model(data)
        bce = F.binary_cross_entropy(recon, data.view(-1, 784), reduction="sum")
        kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss = bce + kld
        loss.backward()
        train_loss += loss.item()
        optimiser.step()
        start = time.process_time() if batch == 0 else start
    return (time.process_time() - start) / STEPS


def main() -> None:
    """Measure and write the result."""
    if not os.environ.get("LAMINA_DATA"):
        sys.exit("vae_training: set LAMINA_DATA to the folder that holds mnist/")
    torch.set_num_threads(1)
    source = lamina.open_source(str(Path(os.environ["LAMINA_DATA"], "mnist")))
    split: Any = source.splits["train"].subset(range(IMAGES))  # type: ignore[attr-defined] # of pictures in memory
    images, labels = split.images_NCHW[:, 0].contiguous(), split.targets
    sides = {"raw loop": raw_loop, "DataLoader": loader_loop, "lamina": lamina_loop}
    found = interleaved({name: lambda side=side: side(images, labels) for name, side in sides.items()}, ROUNDS)
    bars = {"raw loop": 0.97, "DataLoader": 3.0}
    table = "| side | ms a step | lamina's speed against it | bar | reached |\n|---|---|---|---|---|\n"
    for name, times in found.items():
        speed = ratio(times, found["lamina"])
        cells = ("", "", "")
        if name in bars:
            cells = (f"{speed:.3f}x", f">= {bars[name]}x", "yes" if speed >= bars[name] else "**no**")
        table += f"| {name} | {1e3 * statistics.median(times):.3f} | {' | '.join(cells)} |\n"
    load = os.getloadavg()[0]
    table += f"\nLoad of the machine at the end (1 of it is this benchmark): {load:.1f} on {os.cpu_count()} cores.\n"
    write_result("vae_training", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
