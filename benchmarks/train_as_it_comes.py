"""How fast is `lamina train` on photographs beside the script that one writes with torchvision?

An epoch of training and validation on photographs of 128 pixels: ours as it comes, with precision, memory format and
augmentation as fitted; theirs a plain script - ImageFolder, DataLoader with the better of 0 and 2 workers, the same
augmentation, batch size and optimiser, float32 - and the same script in bfloat16 with channels last. Each side is a
process of its own, their epochs interleaved. Wall time, median over epochs; speed: median of the ratio within a round.

The first epoch is not timed. Nor are, in the columns of times, those in which ours measures the running statistics of
batch norm anew, as they have not settled: here 20 epochs, of 100 batches in all. Such an epoch, the second, is beside.

    python -m benchmarks.train_as_it_comes            # all four nets, about 20 minutes of an idle machine
    python -m benchmarks.train_as_it_comes swin-tiny  # one of them, a result file of its own
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms as T

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from lamina.training.events import EpochDone

NETS = {
    "resnet18": ("resnet18", 20),
    "mobilenet-v2": ("mobilenet_v2", 20),
    "convnext-tiny": ("convnext_tiny", 1),
    "swin-tiny": ("swin_t", 1),
}
"""torchvision's name, and the epochs until running statistics have settled"""
SIDE, ROUNDS = 128, 3
PER_CLASS = 32
"""training photographs of each of the ten classes, of 130: an epoch of a quarter, the batch size of the whole"""
AS_IT_COMES: dict[str, Any] = {"test": 0.0, "model": {"image_size": SIDE}, "accelerator": "cpu"}
BAR, MEAN_BAR, SAME_BAR = 1.7, 1.9, 1.0


class Side:
    """A process that trains an epoch when it is asked to."""

    def __init__(self, make: Callable[..., tuple[Iterator[float], Any]], *given: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, *given))
        self._process.start()
        self.about = self._pipe.recv()
        """the recipe of ours"""

    def epoch(self) -> float:
        """Seconds of the next epoch."""
        self._pipe.send("epoch")
        return float(self._pipe.recv())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, make: Callable[..., tuple[Iterator[float], Any]], *given: Any) -> None:
    epochs, about = make(*given)
    pipe.send(about)
    while pipe.recv():
        pipe.send(next(epochs))


def ours(model: str, folder: Path, batch_size: int, runs: str) -> tuple[Iterator[float], Any]:
    """Seconds of one epoch after the other; and the recipe."""
    options = {**AS_IT_COMES, "data": str(folder), "batch_size": batch_size, "epochs": 100, "patience": 100}
    training = lamina.prepare(model, options, directory=runs)

    def epochs() -> Iterator[float]:
        begin = time.perf_counter()
        for event in training.events():
            if isinstance(event, EpochDone):
                yield time.perf_counter() - begin
                begin = time.perf_counter()

    return epochs(), training.config.recipe


def loaders(folder: Path, recipe: Any, workers: int) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Of training and validation, as torchvision's references have them."""
    normalise = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    crops = recipe.augmentation.resized_crop
    augmented = [T.RandomResizedCrop(SIDE, scale=crops)] if crops else [T.Resize((SIDE, SIDE))]
    augmented += [T.RandomHorizontalFlip()] if recipe.augmentation.flip else []
    train = T.Compose([*augmented, T.ToTensor(), normalise])
    judged = T.Compose([T.Resize((SIDE, SIDE)), T.ToTensor(), normalise])
    sets = [torchvision.datasets.ImageFolder(str(folder / s), t) for s, t in (("train", train), ("val", judged))]
    return tuple(  # type: ignore[return-value]
        DataLoader(data, recipe.batch_size, shuffle=not i, num_workers=workers, persistent_workers=workers > 0)
        for i, data in enumerate(sets)
    )


def script(name: str, folder: Path, recipe: Any, workers: int, mixed: bool) -> tuple[Iterator[float], None]:
    """The same of the plain script."""
    return script_epochs(name, folder, recipe, workers, mixed), None


def script_epochs(name: str, folder: Path, recipe: Any, workers: int, mixed: bool) -> Iterator[float]:
    """Seconds of one epoch after the other."""
    train, validation = loaders(folder, recipe, workers)
    net: nn.Module = getattr(torchvision.models, name)(num_classes=10)
    net = net.to(memory_format=torch.channels_last) if mixed else net
    decay = {"lr": 1e-4, "weight_decay": recipe.weight_decay}
    sgd = recipe.optimizer == "sgd"
    optimiser = (
        torch.optim.SGD(net.parameters(), momentum=0.9, **decay)
        if sgd
        else torch.optim.AdamW(net.parameters(), **decay)
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def forward(images: Tensor) -> Tensor:
        images = images.to(memory_format=torch.channels_last) if mixed else images
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            scores: Tensor = net(images)
        return scores.float()

    while True:
        begin = time.perf_counter()
        net.train()
        for images, target in train:
            loss = criterion(forward(images), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        net.eval()
        with torch.inference_mode():
            right = sum(int((forward(images).argmax(1) == target).sum()) for images, target in validation)
        assert right >= 0
        yield time.perf_counter() - begin


def main() -> None:
    """Measure and write the result."""
    names = sys.argv[1:] or list(NETS)
    if unknown := set(names) - set(NETS):
        sys.exit(f"train_as_it_comes: unknown net {', '.join(sorted(unknown))}: one of {', '.join(NETS)}")
    if not os.environ.get("LAMINA_DATA"):
        sys.exit("train_as_it_comes: set LAMINA_DATA to the folder that holds imagenette_224_subset/")
    (archive,) = Path(os.environ["LAMINA_DATA"], "imagenette_224_subset").glob("*.tar.gz")
    rows, speeds, same = [], [], []
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(archive) as file:
            file.extractall(place, filter="data")
        (folder,) = (path.parent for path in Path(place).glob("*/train"))
        whole = {"data": str(folder), **AS_IT_COMES, "precision": "fp32", "channels_last": False}
        sizes = {
            model: lamina.prepare(model, whole, directory=str(Path(place, "whole"))).config.recipe.batch_size
            for model in names
        }
        for split, most in (("train", PER_CLASS), ("val", PER_CLASS // 3)):
            for of_class in (folder / split).iterdir():
                for surplus in sorted(of_class.iterdir())[most:]:
                    surplus.unlink()
        for model in names:
            name, settled = NETS[model]
            own = Side(ours, model, folder, sizes[model], str(Path(place, "runs")))
            recipe = own.about
            plain = {workers: Side(script, name, folder, recipe, workers, False) for workers in (0, 2)}
            seconds_of = {workers: (one.epoch(), one.epoch())[1] for workers, one in plain.items()}
            workers = min(seconds_of, key=seconds_of.__getitem__)
            plain.pop(2 - workers).close()
            first = [own.epoch() for _ in range(settled)]
            sides = {
                "lamina": own,
                "script": plain[workers],
                "script, bf16": Side(script, name, folder, recipe, workers, True),
            }
            found = interleaved({side: one.epoch for side, one in sides.items()}, ROUNDS)
            for one in sides.values():
                one.close()
            seconds = {side: statistics.median(values) for side, values in found.items()}
            speeds.append(ratio(found["script"], found["lamina"]))
            same.append(ratio(found["script, bf16"], found["lamina"]))
            unsettled = f" ({first[1]:.1f})" if settled > 1 else ""
            row = (
                f"| {model} | {recipe.batch_size} | {recipe.precision}, channels_last {recipe.channels_last} | "
                f"{seconds['lamina']:.1f}{unsettled} | {seconds['script']:.1f} ({workers} workers) | "
                f"{speeds[-1]:.2f}x | >= {BAR}x | "
                f"{seconds['script, bf16']:.1f} | {same[-1]:.2f}x | >= {SAME_BAR}x |"
            )
            print(row, flush=True)
            rows.append(row)
    head = "| net | batch | ours, as fitted | ours, s | script, s | speed | bar "
    head += "| script in bf16, channels last, s | speed | bar |"
    mean = statistics.geometric_mean(speeds)
    text = [__doc__ or "", head, "|---" * 10 + "|", *rows]
    text += ["", f"Geometric mean: {mean:.2f}x (bar of all four: >= {MEAN_BAR}x)."]
    write_result("train_as_it_comes", "\n".join(text), *sys.argv[1:])


if __name__ == "__main__":
    main()
