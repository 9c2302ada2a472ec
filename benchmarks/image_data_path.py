"""How fast do images come from a folder of JPEG files to batches that a model takes?

1,300 images of 224 x 224 pixels in 10 class folders, batches of 64, each image moved by up to 16 pixels and mirrored or
not, then normalised float32. Ours: the folder opened (with 400 images of validation), mean and standard deviation taken
over the images, the images held as uint8, moved, mirrored and normalised in batches, freed memory kept as in training.
torchvision's: ImageFolder, RandomCrop(224, padding=16), RandomHorizontalFlip, ToTensor and Normalize with constants, in
a DataLoader; the better number of workers counts, for each epoch. Files are in the page cache; every round begins with
new objects. Images a second from opening the folder to the last batch (first epoch), and from there to the last batch
again (second epoch): medians; ratio: median over rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.measure import interleaved, ratio, write_result
from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.streams import Shuffled
from lamina.training.allocation import freed_memory_kept

ARCHIVE = "imagenette_224_subset/imagenette_224_subset.tar.gz"
BATCH, SHIFT = 64, 16
WORKERS = (0, 2)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPOCHS = ("first", "second")
BARS = {"first": 1.0, "second": 3.0}

Rates = dict[str, float]
"""images a second of each epoch"""


def lamina_path(root: Path) -> Rates:
    """What a training does with a folder, but for the model."""
    begun = time.perf_counter()
    source = open_source(str(root))
    preprocess = fit_preprocess(source)
    assert isinstance(preprocess, ImagePreprocess)
    samples = preprocess.encode(source.splits["train"])
    augment = Geometric(flip=True, shift=SHIFT)
    stream = Shuffled(samples, BATCH, seed=0, prepare=preprocess.prepare, augment=augment)
    with freed_memory_kept(torch.device("cpu")):
        first = drain((batch["image"] for batch in stream.batches(0)), begun)
        return {"first": first, "second": drain((batch["image"] for batch in stream.batches(1)), time.perf_counter())}


def torchvision_path(root: Path, workers: int) -> Rates:
    """What torchvision's reference scripts do with it. Workers stay from one epoch to the next."""
    begun = time.perf_counter()
    change = transforms.Compose(
        [
            transforms.RandomCrop(224, padding=SHIFT),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    data = ImageFolder(str(root / "train"), change)
    more = workers > 0
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=more)
    first = drain((images for images, _ in loader), begun)
    return {"first": first, "second": drain((images for images, _ in loader), time.perf_counter())}


def drain(batches: Iterable[torch.Tensor], begun: float) -> float:
    """Images a second since ``begun``."""
    count = 0
    for images in batches:
        assert images.shape == (BATCH, 3, 224, 224)
        assert images.dtype == torch.float32
        count += len(images)
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Measure and write the result. Needs the archive in ``$LAMINA_DATA``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds, and no result is written")
    quick = parser.parse_args().quick
    data = os.environ.get("LAMINA_DATA")
    if not data:
        sys.exit(f"image_data_path: set LAMINA_DATA to the folder that holds {ARCHIVE}")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(Path(data, ARCHIVE)) as archive:
            archive.extractall(folder, filter="data")
        (root,) = Path(folder).iterdir()
        sides = {"lamina": lambda: lamina_path(root)}
        for count in WORKERS:
            sides[f"torchvision, {count} workers"] = lambda count=count: torchvision_path(root, count)
        found = interleaved(sides, 2 if quick else 9)
    body = table(found)
    if quick:
        print(body)
    else:
        write_result("image_data_path", (__doc__ or "") + "\n" + body)


def table(found: dict[str, list[Rates]]) -> str:
    """Images a second of each side; the ratio to the better of torchvision's, and its bar, beside ours."""
    text = "| epoch | side | images/s | lamina over it | bar |\n" + "|---" * 5 + "|\n"
    for epoch in EPOCHS:
        rates = {name: [rate[epoch] for rate in rounds] for name, rounds in found.items()}
        peers = [name for name in rates if name != "lamina"]
        best = max(peers, key=lambda name: statistics.median(rates[name]))
        for name, values in rates.items():
            over = "" if name == "lamina" else f"{ratio(rates['lamina'], values):.2f}x"
            bar = f">= {BARS[epoch]:g}x" if name == best else ""
            text += f"| {epoch} | {name} | {statistics.median(values):.0f} | {over} | {bar} |\n"
    return text


if __name__ == "__main__":
    main()
