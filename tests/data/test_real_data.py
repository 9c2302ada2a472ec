"""Sets as they are published, found through LAMINA_DATA: a folder with mnist/, cifar10_jpeg/, ..."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.source import Source
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.data.text.streams import ByLength, Ragged
from lamina.options.recipe import Augmentation

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
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.protocols import Needs
from lamina.options.recipe import Augmentation
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = open_source(sys.argv[1])
preprocess = fit_preprocess(source, Needs(size=(32, 32), augmentation=Augmentation(resize="pad")))
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
    preprocess = fit_preprocess(source, Needs(size=(32, 32), augmentation=Augmentation(resize="crop")))
    assert len(preprocess.encode(source.splits["validation"])) == 400


def fitted(path: str, **options: Any) -> tuple[Source, TextPreprocess, dict[str, int]]:
    """A source, its preprocessing, and tokens or samples of each split."""
    asked = DataOptions(**options)
    source = open_source(real(path), options=asked)
    preprocess = fit_preprocess(source, Needs(options=asked))
    assert isinstance(preprocess, TextPreprocess)
    return source, preprocess, {name: len(preprocess.encode(split)) for name, split in source.splits.items()}


def test_the_penn_treebank_by_words() -> None:
    source, preprocess, tokens = fitted("ptb", tokenizer="word")
    assert source.spec.task == "language-modelling"
    assert tokens == {"train": 929_589, "validation": 73_760, "test": 82_430}
    assert preprocess.code.size == 10_000


def test_tiny_shakespeare_by_characters() -> None:
    source, preprocess, tokens = fitted("tiny_shakespeare", test=0)
    assert sum(tokens.values()) == 1_115_394
    assert preprocess.code.size == 65 + 1
    assert abs(tokens["validation"] - 111_540) < 100
    train = source.splits["train"]
    assert isinstance(train, Text)
    assert train.text.endswith("\n")


def test_multi30k_in_both_directions() -> None:
    source, preprocess, pairs = fitted("multi30k_de_en", vocabulary=2_000, limit=10_000)
    assert pairs == {"train": 10_000, "validation": 1_014, "test": 1_000}  # of four test sets the one of 2016
    train = source.splits["train"]
    assert isinstance(train, Pairs)
    samples = preprocess.encode(train)
    assert isinstance(samples, Ragged)
    total = padding = 0
    for batch in ByLength(samples, 64, 0).batches(0):
        for rows, lengths in (("source", "source_lengths"), ("tokens", "lengths")):
            total += batch[rows].numel()
            padding += batch[rows].numel() - int(batch[lengths].sum())
    assert padding < 0.1 * total
    train = open_source(real("multi30k_de_en")).splits["train"]
    turned = open_source(real("multi30k_de_en"), options=DataOptions(languages=("en", "de"))).splits["train"]
    assert isinstance(train, Pairs)
    assert train.texts[0] == "Two young, White males are outside near many bushes."
    assert turned == Pairs(train.texts, train.sources)
    assert len(train) == 29_000


def test_tatoeba_in_its_archive() -> None:
    source = open_source(real("tatoeba_fra_eng/fra-eng.zip"))
    assert (source.spec.task, sum(source.spec.sizes.values())) == ("translation", 142_787)
    seen = {name: set(split.sources) for name, split in source.splits.items() if isinstance(split, Pairs)}
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & (seen["train"] | seen["test"])


def test_sst2_whose_files_name_the_text_differently() -> None:
    source, preprocess, texts = fitted("sst2")
    assert (source.spec.kind, source.spec.classes) == ("text", ("0", "1"))
    assert texts == {"train": 67_349, "validation": 872, "test": 1_821}
    split = source.splits["test"]
    assert isinstance(split, Texts)
    assert split.texts[0] == "no movement , no yuks , not much of anything ."
    assert split.targets.bincount().tolist() == [912, 909]
    assert preprocess.code.kind == "word"
