"""Images in tar shards and many files: read where they lie, in an order that nothing but the seed decides."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lamina
from lamina.cli.main import main
from lamina.data.image import files
from lamina.data.image.decoding import ShardMember, content_of
from lamina.data.opening import index_images, open_source
from lamina.data.options import DataOptions
from lamina.errors import DataError, LaminaError

CLASSES = ("cat", "dog", "owl")


def picture(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_shard(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def with_labels(first: int, count: int) -> dict[str, bytes]:
    """As WebDataset has them."""
    found: dict[str, bytes] = {}
    for number in range(first, first + count):
        found |= {f"{number:04}.png": picture(number), f"{number:04}.cls": CLASSES[number % 3].encode()}
    return found


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Sixty images in five shards."""
    for shard in range(5):
        write_shard(tmp_path / "data" / f"birds-{shard:03}.tar", with_labels(12 * shard, 12))
    return tmp_path / "data"


def contents(root: Path, **options: Any) -> dict[str, dict[bytes, int]]:
    source = open_source(str(root), options=DataOptions(**options))
    return {
        name: {content_of(image): int(target) for image, target in zip(split.paths, split.targets, strict=True)}  # type: ignore[attr-defined] # of images
        for name, split in source.splits.items()
    }


def test_shards_hold_what_folders_hold(shards: Path, tmp_path: Path) -> None:
    for number in range(60):
        place = tmp_path / "folders" / CLASSES[number % 3] / f"{number:04}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(number))
    ours, theirs = contents(shards), contents(tmp_path / "folders")
    assert {name: len(split) for name, split in ours.items()} == {name: len(split) for name, split in theirs.items()}
    every, others = ({k: v for split in both.values() for k, v in split.items()} for both in (ours, theirs))
    assert every == others
    assert len(every) == 60
    spec = open_source(str(shards)).spec
    assert (spec.classes, spec.channels, spec.height, spec.width) == (CLASSES, 3, 8, 8)


@pytest.mark.parametrize(
    ("members", "classes"),
    [
        ({"a/cat/1.png": 1, "a/owl/2.png": 2}, ("cat", "owl")),  # the folder next to the image
        ({"1.png": 1, "1.cls": "10", "2.png": 2, "2.cls": "9"}, ("9", "10")),  # numbers by value
        ({"1.png": 1, "1.json": '{"label": "x"}', "2.png": 2, "2.json": '{"label": "y", "by": 3}'}, ("x", "y")),
        ({"1.png": 1, "2.png": 2}, ()),
        ({"./cat/1.png": 1, "./cat/._1.txt": "", "./dog/2.png": 2}, ("cat", "dog")),
    ],
)
def test_where_labels_are(tmp_path: Path, members: dict[str, Any], classes: tuple[str, ...]) -> None:
    for shard in ("a", "b", "c"):
        made = {k: picture(v + 10 * ord(shard)) if isinstance(v, int) else v.encode() for k, v in members.items()}
        write_shard(tmp_path / f"{shard}.tar", made)
    source = open_source(str(tmp_path))
    assert source.spec.classes == classes
    assert sum(source.spec.sizes.values()) == 6


@pytest.mark.parametrize("layout", ["names", "folders", "inside"])
def test_where_splits_are(tmp_path: Path, layout: str) -> None:
    for split, first in (("train", 0), ("val", 30), ("test", 60)):
        place = {"names": f"birds-{split}-0.tar", "folders": f"{split}/0.tar", "inside": f"{first}.tar"}[layout]
        inside = f"{split}/" if layout == "inside" else ""
        members = {f"{inside}{CLASSES[n % 3]}/{n}.png": picture(n) for n in range(first, first + 12)}
        write_shard(tmp_path / place, members)
    assert open_source(str(tmp_path)).spec.sizes == {"train": 12, "validation": 12, "test": 12}


def order_of(root: Path, workers: int = 0, rank: int = 0, world: int = 1) -> list[torch.Tensor]:
    """The first images of the batches of two epochs, streamed."""
    from lamina.data.streams import Place
    from lamina.runs.build import batch_options

    options = {"data": str(root), "batch_size": 8, "memory": "stream", "workers": workers, "epochs": 1, "limit": 40}
    training = lamina.prepare("lenet5", options, directory=root.parent, dry=True, fitted=False)
    place = Place(rank=rank, world=world)
    given = batch_options(training.config.recipe, training.parts.task, training.parts.model, place)
    preprocess = training.parts.preprocess
    stream = preprocess.training_stream(preprocess.encode(training.source.splits["train"], False), given)
    return [batch["image"] for epoch in (0, 1) for batch in stream.batches(epoch)]


def test_order_depends_on_neither_workers_nor_processes(shards: Path) -> None:
    whole = order_of(shards)
    assert len(whole) > 8
    assert all(map(torch.equal, whole, order_of(shards, workers=2)))
    halves = zip(*(order_of(shards, rank=rank, world=2) for rank in (0, 1)), strict=True)
    assert all(torch.equal(batch, torch.cat(pair)) for batch, pair in zip(whole, halves, strict=True))
    assert not torch.equal(whole[0], whole[len(whole) // 2])  # another order in the next epoch


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The members that are read."""
    found: list[str] = []
    read = ShardMember.read

    def watched(member: ShardMember) -> bytes:
        found.append(member.name)
        return read(member)

    monkeypatch.setattr(ShardMember, "read", watched)
    return found


def test_of_many_images_a_sample_is_read_on_opening(
    shards: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_HEADERS", 40)
    monkeypatch.setattr(files, "SAMPLED", 10)
    monkeypatch.setattr("lamina.data.image.samples.MOST_COMPARED_BYTES", 0)
    source = open_source(str(shards))
    assert len(reads) == 10
    assert any("10 of 60 images were read" in note and "--index" in note for note in source.spec.notes)
    assert (source.spec.channels, source.spec.height) == (3, 8)


def test_with_an_index_nothing_is_read_on_opening(
    shards: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.data.image.samples.MOST_COMPARED_BYTES", 0)
    before = open_source(str(shards))
    index_images(str(shards))
    reads.clear()
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("a shard was scanned"))
    after = open_source(str(shards))
    assert reads == []
    assert after.spec == before.spec
    assert [str(image) for image in after.splits["train"].paths] == [  # type: ignore[attr-defined] # of images
        str(image)
        for image in before.splits["train"].paths  # type: ignore[attr-defined] # of images
    ]


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "missing": (
        lambda root: (root / "birds-002.tar").unlink(),
        r"'\S+birds-002.tar' is missing",
        r"'\S+birds-002.tar' is missing",
    ),
    "cut off in an image": (
        lambda root: cut(root / "birds-002.tar", 700),
        r"the shard '\S+birds-002.tar' is cut off after 700 bytes: (inside|it has)",
        r"the shard '\S+birds-002.tar' is cut off: it has 700 of [\d,]+ bytes",
    ),
    "cut off between images": (
        lambda root: cut(root / "birds-002.tar", 2048),
        r"the shard '\S+birds-002.tar' is cut off after 2,048 bytes",
        r"is cut off: it has 2,048",
    ),
    "empty": (
        lambda root: cut(root / "birds-002.tar", 0),
        "birds-002.tar' is (damaged|cut off)",
        "is cut off: it has 0",
    ),
    "the last missing": (lambda root: (root / "birds-004.tar").unlink(), "", "birds-004.tar' is missing: the index"),
    "added": (
        lambda root: write_shard(root / "birds-005.tar", with_labels(90, 3)),
        "",
        "is stale: 'birds-005.tar' is not in it; lamina data .* --index writes it anew",
    ),
    "changed": (
        lambda root: write_shard(root / "birds-001.tar", with_labels(100, 14)),
        "",
        "is stale: 'birds-001.tar' has changed since",
    ),
    "touched": (lambda root: os.utime(root / "birds-001.tar", (1, 1)), "", "'birds-001.tar' has changed since"),
    "index damaged": (lambda root: (root / ".lamina-index.parquet").write_bytes(b"PAR1"), "", "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("indexed", [False, True])
def test_a_damaged_shard_or_a_stale_index_is_one_line(
    shards: Path, damage: str, indexed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    work, without, with_index = DAMAGES[damage]
    if indexed:
        index_images(str(shards))
    work(shards)
    words = with_index if indexed else without
    if not words or (damage == "index damaged" and not indexed):
        return  # nothing tells
    with pytest.raises(DataError, match=words):
        open_source(str(shards))
    assert main(["data", str(shards)]) in (1, 2)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert re.search(words, said[0])


def test_a_stale_index_is_written_anew(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", str(shards), "--index"]) == 0
    write_shard(shards / "birds-005.tar", with_labels(90, 6))
    assert main(["data", str(shards)]) != 0
    assert main(["data", str(shards), "--index"]) == 0
    assert sum(open_source(str(shards)).spec.sizes.values()) == 66


def test_an_index_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        place = tmp_path / CLASSES[number % 3] / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(picture(number))
    before = open_source(str(tmp_path))
    index_images(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(files, "header", lambda _: pytest.fail("a header was read"))
        assert open_source(str(tmp_path)).spec == before.spec
    (tmp_path / "cat" / "99.png").write_bytes(picture(99))
    with pytest.raises(DataError, match=r"stale: 'cat/99.png' is not in it"):
        open_source(str(tmp_path))
    (tmp_path / "cat" / "99.png").unlink()
    (tmp_path / "cat" / "0.png").write_bytes(picture(0) + b"x")
    with pytest.raises(DataError, match=r"stale: 'cat/0.png' had"):
        open_source(str(tmp_path))


def test_a_shard_that_goes_while_training_is_one_line(shards: Path) -> None:
    source = open_source(str(shards))
    image = source.splits["train"].paths[0]  # type: ignore[attr-defined] # of images
    cut(image.shard, image.offset + 20)
    from lamina.data.image.decoding import decode

    with pytest.raises(DataError, match=r"cannot read image '.*tar: \d+.png': the shard is cut off"):
        decode(image, 3)
    image.shard.unlink()
    with pytest.raises(DataError, match="its shard is missing"):
        decode(image, 3)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda root: [tarfile.open(root / f"{n}.tar.gz", "w:gz").close() for n in "ab"], "compressed.*unpack it"),
        (lambda root: [write_shard(root / f"{n}.tar", {"a.txt": b"x"}) for n in "ab"], "no images in its 2 shards"),
        (
            lambda root: [
                write_shard(root / f"{n}.tar", {"1.png": picture(1), "1.cls": b"x", "2.png": picture(2)}) for n in "ab"
            ],
            "a.tar: 2.png has no label, others have one",
        ),
        (lambda root: [write_shard(root / f"test-{n}.tar", {"1.png": picture(1)}) for n in "ab"], "no shard of train"),
    ],
)  # fmt: skip
def test_what_is_no_shard_of_images(tmp_path: Path, write: Callable[[Path], Any], words: str) -> None:
    write(tmp_path)
    with pytest.raises(LaminaError, match=words):
        open_source(str(tmp_path))


def test_a_run_trains_on_shards(shards: Path, tmp_path: Path) -> None:
    given = {"epochs": 2, "batch_size": 8, "memory": "stream", "workers": 1, "directory": tmp_path, "report": False}
    run = lamina.train("lenet5", data=str(shards), **given)  # type: ignore[arg-type]
    assert len(run.history) == 2
    assert run.evaluate().keys() >= {"accuracy", "loss"}
