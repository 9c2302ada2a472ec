"""Sets as they are published, found through LAMINA_DATA: a folder with mnist/, cifar10_jpeg/, ..."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.data.opening import open_source
from lamina.data.preprocess import ImagePreprocess, fit_preprocess

ROOT = os.environ.get("LAMINA_DATA")
pytestmark = pytest.mark.skipif(not ROOT, reason="LAMINA_DATA names no folder of real data sets")


def real(path: str) -> str:
    found = Path(ROOT or "") / path
    if not found.exists():
        pytest.skip(f"{path} is not among the real data sets")
    return str(found)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_sixty_thousand_images_stay_bytes(name: str) -> None:
    """Opened, fitted and encoded in a process of its own, they take little more than what they are."""
    code = """
import resource, sys
import torch
from lamina.data.opening import open_source
from lamina.data.preprocess import fit_preprocess
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = open_source(sys.argv[1])
preprocess = fit_preprocess(source, size=(32, 32), resize="pad")
held = {name: preprocess.encode(split) for name, split in source.splits.items()}
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(dict(source.spec.sizes), held["train"].tensors["image"].shape, (after - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", code, real(name)], capture_output=True, text=True, check=True)
    sizes, shape, megabytes = run.stdout.strip().rsplit("}", 1)[0], *run.stdout.rsplit("}", 1)[1].rsplit(" ", 1)
    assert sizes == "{'train': 54000, 'validation': 6000, 'test': 10000"
    assert "[54000, 1, 32, 32]" in shape
    # 55 MB as stored, twice while it is divided, and 72 MB at 32 x 32; one float copy alone would be 287 MB
    assert int(megabytes) < 260


def test_mnist_is_what_it_is_known_to_be() -> None:
    source = open_source(real("mnist"))
    assert source.splits["test"].targets.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    preprocess = fit_preprocess(source)
    assert isinstance(preprocess, ImagePreprocess)
    assert abs(preprocess.mean[0] - 0.1307) < 1e-3
    assert abs(preprocess.std[0] - 0.3081) < 1e-3


def test_an_archive_of_photographs(tmp_path: Path) -> None:
    source = open_source(real("imagenette_224_subset/imagenette_224_subset.tar.gz"))
    assert dict(source.spec.sizes) == {"train": 1040, "validation": 400, "test": 260}
    assert len(source.spec.classes) == 10
    assert source.spec.channels is None  # two of them are grey
    preprocess = fit_preprocess(source, size=(32, 32), resize="crop")
    assert len(preprocess.encode(source.splits["validation"])) == 400
