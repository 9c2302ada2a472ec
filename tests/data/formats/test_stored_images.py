"""Images whose bytes are in Parquet parts, as Hugging Face stores them: read by row group, never all at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from tests.data.formats.test_shards import CLASSES, contents, order_of, picture

import lamina
from lamina.cli.main import main
from lamina.data.image.decoding import content_of, decode
from lamina.data.opening import index_images, open_source
from lamina.data.options import DataOptions
from lamina.data.tabular import stored
from lamina.data.tabular.stored import GROUPS
from lamina.errors import DataError, LaminaError

NAMES = {"info": {"features": {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": [*CLASSES]}}}}
LABELLED = {b"huggingface": json.dumps(NAMES).encode()}


def write_part(path: Path, numbers: Sequence[int], *, rows: int = 5, struct: bool = True, **more: Any) -> Path:
    images = [picture(number) for number in numbers]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = pa.array([{"bytes": image, "path": "x.png"} for image in images], kind) if struct else pa.array(images)
    columns = {"image": cells, "label": pa.array([number % 3 for number in numbers]), **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).replace_schema_metadata(LABELLED)
    parquet.write_table(table, path, row_group_size=rows)
    return path


@pytest.fixture(autouse=True)
def nothing_held() -> None:
    GROUPS.forget()


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Sixty images in five parts, as a repository of the hub has them."""
    root = tmp_path / "birds"
    for part in range(5):
        write_part(root / "data" / f"train-{part:05}-of-00005.parquet", range(12 * part, 12 * part + 12))
    (root / "README.md").write_text("# Birds")
    return root


def folders(tmp_path: Path) -> Path:
    """The same, in an order of names that is that of the parts."""
    for number in range(60):
        place = tmp_path / "folders" / CLASSES[number % 3] / f"{number:04}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(number))
    return tmp_path / "folders"


def test_parts_hold_what_folders_hold(parts: Path, tmp_path: Path) -> None:
    ours, theirs = contents(parts), contents(folders(tmp_path))
    assert {name: len(split) for name, split in ours.items()} == {name: len(split) for name, split in theirs.items()}
    every, others = ({k: v for split in both.values() for k, v in split.items()} for both in (ours, theirs))
    assert every == others
    assert len(every) == 60
    spec = open_source(str(parts)).spec
    assert (spec.classes, spec.channels, spec.height, spec.width) == (CLASSES, 3, 8, 8)


def write_table_of_files(root: Path) -> Path:
    lines = ["image,label"]
    for number in range(60):
        root.mkdir(exist_ok=True)
        (root / f"{number}.png").write_bytes(picture(number))
        lines.append(f"{number}.png,{CLASSES[number % 3]}")
    (root / "birds.csv").write_text("\n".join(lines))
    return root / "birds.csv"


def test_order_is_that_of_the_same_images_elsewhere(parts: Path, tmp_path: Path) -> None:
    """Same rows, same order: batches equal to the bit; workers and processes change nothing."""
    whole = order_of(parts)
    assert len(whole) > 8
    for other in (order_of(write_table_of_files(tmp_path / "files")), order_of(parts, workers=2)):
        assert all(map(torch.equal, whole, other))
    halves = zip(*(order_of(parts, rank=rank, world=2) for rank in (0, 1)), strict=True)
    assert all(torch.equal(batch, torch.cat(pair)) for batch, pair in zip(whole, halves, strict=True))


def test_few_row_groups_are_held(parts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_HELD", 1800)  # five images have about 1,200 bytes
    held: list[int] = []
    read = stored.StoredBytes.read

    def watched(cell: stored.StoredBytes) -> bytes:
        content = read(cell)
        held.append(GROUPS.held_bytes)
        return content

    monkeypatch.setattr(stored.StoredBytes, "read", watched)
    order_of(parts)
    assert len(held) > 80
    assert 0 < max(held) <= 1800
    assert GROUPS.reads > 15  # more often than there are row groups: they were let go


def test_of_large_parts_a_sample_is_read_on_opening(
    parts: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lamina.data.image.samples.MOST_COMPARED_BYTES", 0)
    before = GROUPS.reads
    source = open_source(str(parts))
    assert GROUPS.reads - before == 15  # each row group once
    GROUPS.forget()
    monkeypatch.setattr("lamina.data.image.samples.MOST_SAMPLED_BYTES", 3000)
    sampled = open_source(str(parts))
    assert 2 <= GROUPS.reads <= 3
    assert any("of 60 images were read" in note and "--index" in note for note in sampled.spec.notes)
    assert (sampled.spec.channels, sampled.spec.height) == (3, 8)
    given: dict[str, Any] = {"data": str(parts), "batch_size": 8, "memory": "stream", "epochs": 1}
    GROUPS.forget()
    lamina.prepare("lenet5", given, directory=tmp_path, dry=True, fitted=False)
    assert GROUPS.reads <= 6  # headers, and mean and deviation of the pixels
    GROUPS.forget()
    index_images(str(parts))
    GROUPS.forget()
    indexed = open_source(str(parts))
    assert GROUPS.reads == 0
    assert indexed.spec == source.spec


@pytest.mark.parametrize("layout", ["names", "folders", "one file", "bytes"])
def test_layouts(tmp_path: Path, layout: str) -> None:
    for split, first in (("train", 0), ("test", 30)):
        where = {"folders": f"{split}/0000.parquet", "one file": "birds.parquet"}
        path = tmp_path / "birds" / where.get(layout, f"{split}-00000-of-00001.parquet")
        if layout != "one file" or split == "train":
            write_part(path, range(first, first + 24), struct=layout != "bytes")
    data = tmp_path / "birds" / ("birds.parquet" if layout == "one file" else "")
    spec = open_source(str(data), options=DataOptions(validation=0.25)).spec
    assert (spec.kind, spec.classes) == ("image", CLASSES)
    assert sum(spec.sizes.values()) == (24 if layout == "one file" else 48)
    if layout != "one file":
        assert spec.sizes == {"train": 18, "validation": 6, "test": 24}


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def broken(path: Path) -> None:
    """The footer stands, the pages are zeros."""
    content = bytearray(path.read_bytes())
    content[4:3000] = bytes(2996)
    path.write_bytes(content)


def unlabelled(path: Path) -> None:
    labels = pa.array([0, -1] * 6)
    write_part(path, range(12), label=labels)


SECOND = "train-00001-of-00005.parquet"
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (Path.unlink, rf"'\S+{SECOND}' is missing; skip_bad"),
    "cut off": (lambda path: cut(path, path.stat().st_size - 100), rf"cannot read '\S+{SECOND}': .*cut off"),
    "empty": (lambda path: cut(path, 0), rf"cannot read '\S+{SECOND}'"),
    "pages damaged": (broken, rf"cannot read .*{SECOND}"),
    "no image": (lambda path: write_part(path, [12], image=pa.array([b"\xff\xd8 no"])), "columns|cannot read image"),
    "no class of that number": (
        lambda path: write_part(path, range(12), label=pa.array([5] * 12)),
        rf"{SECOND}, row 1: column 'label' holds class 5, but the file names 3",
    ),
    "no label": (unlabelled, r"row \d+: the target 'label' is missing \(6 rows in all; --skip-bad"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_one_line(parts: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    work, words = DAMAGES[damage]
    work(parts / "data" / SECOND)
    with pytest.raises(LaminaError, match=words):
        open_source(str(parts))
    assert main(["data", str(parts)]) in (1, 2)
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_empty_cell_is_skipped_or_named(parts: Path) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = [{"bytes": picture(n), "path": None} for n in range(12, 23)] + [{"bytes": None, "path": "gone.png"}]
    write_part(parts / "data" / SECOND, range(12, 24), image=pa.array(cells, kind))
    with pytest.raises(DataError, match=rf"{SECOND}, row 12': column 'image' holds nothing there; skip_bad"):
        open_source(str(parts))
    spec = open_source(str(parts), options=DataOptions(skip_bad=True)).spec
    assert spec.skipped == (f"{SECOND}, row 12",)
    assert sum(spec.sizes.values()) == 59


def test_a_part_that_goes_while_training_is_one_line(parts: Path) -> None:
    image = open_source(str(parts)).splits["train"].paths[0]  # type: ignore[attr-defined] # of images
    assert content_of(image) in {picture(number) for number in range(60)}
    cut(image.part, 60)
    with pytest.raises(DataError, match=r"cannot read image '.*parquet, row \d+': "):
        decode(image, 3)
    image.part.unlink()
    with pytest.raises(DataError, match="its file is missing"):
        decode(image, 3)


def test_a_large_row_group_is_noted_and_a_second_image_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LARGE_GROUP", 2000)
    path = write_part(tmp_path / "a.parquet", range(24), rows=24, mask=pa.array([picture(90 + n) for n in range(24)]))
    spec = open_source(str(path)).spec
    assert spec.kind == "image"
    assert spec.classes == CLASSES
    assert any("row group" in note and "row_group_size=100" in note for note in spec.notes)
    assert any("'mask' are left out" in note for note in spec.notes)
    other = open_source(str(path), options=DataOptions(drop=("image",)))
    assert content_of(other.splits["train"].paths[0]) in {picture(90 + n) for n in range(24)}  # type: ignore[attr-defined] # of images
    with pytest.raises(LaminaError, match="column 'image' holds the images"):
        open_source(str(path), options=DataOptions(suffix=".png"))


@pytest.mark.parametrize("names", [[str(n) for n in range(30)], [f"a|{n}" for n in range(30)]])
def test_classes_are_classes_whatever_they_are_called(tmp_path: Path, names: list[str]) -> None:
    features = {"label": {"_type": "ClassLabel", "names": names}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path = tmp_path / "a.parquet"
    images = pa.array([{"bytes": picture(n % 5), "path": None} for n in range(90)])
    table = pa.table({"image": images, "label": [n % 30 for n in range(90)]})
    parquet.write_table(table.replace_schema_metadata(about), path)
    spec = open_source(str(path)).spec
    assert (spec.task, len(spec.classes)) == ("classification", 30)
    assert open_source(str(path), options=DataOptions(task="classification")).spec.classes == spec.classes


def test_a_run_trains_on_parts_and_predicts_what_is_in_one(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"epochs": 1, "batch_size": 8, "memory": "stream", "report": False}
    run = lamina.train("lenet5", data=str(parts), directory=tmp_path / "run", **given)
    assert run.evaluate().keys() >= {"accuracy", "loss"}
    (tmp_path / "one.png").write_bytes(picture(13))
    part = parts / "data" / SECOND
    capsys.readouterr()
    assert main(["predict", str(run.path), str(part), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["item"] for one in found] == [f"{part}, row {row}" for row in range(1, 13)]
    assert found[1]["probabilities"] == pytest.approx(run.predict(tmp_path / "one.png")[0]["probabilities"], abs=1e-6)
    cut(part, 60)
    assert main(["predict", str(run.path), str(part)]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
