"""How fast is a DCGAN trained at 64 pixels?

The nets of pytorch/examples (dcgan/main.py) on colour photographs, batches of 16, Adam at 0.0002 and 0.5, one thread,
no worker processes. ``plain loop``: the loop of that example on pictures that lie in memory, as ours do. ``example``:
as it stands there, a folder whose files are decoded, resized, cropped and normalised one by one for each epoch, and
five ``item()`` a step. ``lamina``: the events of ``lamina.prepare`` with the same settings; ``as it comes``: with the
recipe of the variant, which also averages the generator's weights. Ours saves the gradients of the discriminator's
weights in the generator's step, which the example computes and throws away: 0.1 of 1.25 billion multiply-adds a
picture, and nothing else can be left out, so that 1.1 times the speed is what arithmetic allows on a CPU.
Milliseconds of CPU time a step, median over rounds; speed: median over rounds of the ratio within a round. CPU time,
since the machine is shared: it varies less than time on the clock, but is not free of what others do to the caches.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from lamina.training.events import StepDone

SIDE, BATCH, LR, BETA = 64, 16, 0.0002, 0.5
STEPS, ROUNDS = 6, 5
IMAGES = BATCH * (STEPS + 1)
"""an epoch: its first step is not timed"""
SUFFIXES = (".jpg", ".jpeg", ".png")


def lamina_loop(folder: Path, **options: Any) -> float:
    given: dict[str, Any] = {"data": str(folder), "validation": 0.0, "test": 0.0, "epochs": 1, "batch_size": BATCH}
    runs = tempfile.mkdtemp()
    start = end = 0.0
    for event in lamina.prepare("dcgan", {**given, "accelerator": "cpu", **options}, directory=runs).events():
        if isinstance(event, StepDone) and event.step == 1:
            start = time.process_time()
        if isinstance(event, StepDone) and event.step == STEPS + 1:
            end = time.process_time()
    shutil.rmtree(runs)
    return (end - start) / STEPS


class Photographs(Dataset[Tensor]):
    """As torchvision's ImageFolder with Resize(64), CenterCrop(64), ToTensor and Normalize."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Tensor:
        picture = Image.open(self.files[i]).convert("RGB")
        scale = SIDE / min(picture.size)
        width, height = (max(SIDE, round(scale * side)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - SIDE) // 2, (height - SIDE) // 2
        picture = picture.crop((left, top, left + SIDE, top + SIDE))
        values = torch.from_numpy(np.array(picture, copy=True)).permute(2, 0, 1).contiguous()
        return values.to(torch.float32).div(255).sub(0.5).div(0.5)


def nets() -> tuple[nn.Module, nn.Module]:
    """netG and netD."""
    up = [
        layer
        for fan_in, fan_out, stride, padding in ((100, 512, 1, 0), (512, 256, 2, 1), (256, 128, 2, 1), (128, 64, 2, 1))
        for layer in (
            nn.ConvTranspose2d(fan_in, fan_out, 4, stride, padding, bias=False),
            nn.BatchNorm2d(fan_out),
            nn.ReLU(True),
        )
    ]
    down: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for fan_in in (64, 128, 256):
        down += [nn.Conv2d(fan_in, 2 * fan_in, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * fan_in)]
        down.append(nn.LeakyReLU(0.2, inplace=True))
    generator = nn.Sequential(*up, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())
    return generator, nn.Sequential(*down, nn.Conv2d(512, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def example_loop(batches: Any, printed: bool) -> float:
    """The loop of the example; ``printed``: with the numbers that it prints at every step."""
    net_g, net_d = (net.train() for net in nets())
    criterion = nn.BCELoss()
    optimiser_d = torch.optim.Adam(net_d.parameters(), lr=LR, betas=(BETA, 0.999))
    optimiser_g = torch.optim.Adam(net_g.parameters(), lr=LR, betas=(BETA, 0.999))
    start = 0.0
    for step, real in enumerate(batches):
        net_d.zero_grad()
        label = torch.full((len(real),), 1.0)
        output = net_d(real).view(-1)
        error_real = criterion(output, label)
        error_real.backward()
        shown = [output.mean()]
        fake = net_g(torch.randn(len(real), 100, 1, 1))
        label.fill_(0.0)
        output = net_d(fake.detach()).view(-1)
        error_fake = criterion(output, label)
        error_fake.backward()
        shown += [output.mean(), error_real + error_fake]
        optimiser_d.step()
        net_g.zero_grad()
        label.fill_(1.0)
        output = net_d(fake).view(-1)
        error = criterion(output, label)
        error.backward()
        shown += [output.mean(), error]
        optimiser_g.step()
        if printed:
            " ".join(f"{value.item():.4f}" for value in shown)
        start = time.process_time() if step == 0 else start
    return (time.process_time() - start) / STEPS


def from_memory(pictures: Tensor) -> Any:
    """Shuffled batches of bytes, normalised."""
    order = torch.randperm(len(pictures))
    return (pictures[part].float().div(255).sub(0.5).div(0.5) for part in order.split(BATCH))


def main() -> None:
    """Measure and write the result."""
    if not os.environ.get("LAMINA_DATA"):
        sys.exit("dcgan_training: set LAMINA_DATA to the folder that holds imagenette_224_subset/")
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    archive = Path(os.environ["LAMINA_DATA"], "imagenette_224_subset", "imagenette_224_subset.tar.gz")
    with tarfile.open(archive) as packed:
        members = (member for member in packed if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES)
        for i, member in enumerate(islice(members, IMAGES)):
            (folder / f"{i:04}{Path(member.name).suffix}").write_bytes(packed.extractfile(member).read())  # type: ignore[union-attr] # of a file
    dataset = Photographs(sorted(folder.iterdir()))
    pictures = torch.stack([((x + 1) * 127.5).round().to(torch.uint8) for x in (dataset[i] for i in range(IMAGES))])
    same = {"ema": 0.0, "optimizer": "adam", "lr": LR, "beta1": BETA}
    sides = {
        "plain loop": lambda: example_loop(from_memory(pictures), printed=False),
        "example": lambda: example_loop(DataLoader(dataset, BATCH, shuffle=True), printed=True),
        "lamina": partial(lamina_loop, folder, **same),
        "lamina, as it comes": partial(lamina_loop, folder),
    }
    found = interleaved(sides, ROUNDS)
    shutil.rmtree(folder)
    table = "| side | ms a step |\n|---|---|\n"
    for name, times in found.items():
        table += f"| {name} | {1e3 * statistics.median(times):.0f} |\n"
    table += "\n| speed | measured | bar | reached |\n|---|---|---|---|\n"
    for ours, theirs, bar in (("lamina", "plain loop", 1.0), ("lamina, as it comes", "example", 1.3)):
        speed = ratio(found[theirs], found[ours])
        reached = "yes" if speed >= bar else "**no**"
        table += f"| {ours} against {theirs} | {speed:.3f}x | >= {bar}x | {reached} |\n"
    load = os.getloadavg()[0]
    table += f"\nLoad of the machine at the end (1 of it is this benchmark): {load:.1f} on {os.cpu_count()} cores.\n"
    write_result("dcgan_training", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
