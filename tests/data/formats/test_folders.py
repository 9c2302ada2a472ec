"""A folder for each class, in split folders or not, whole or with faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.image.samples import ImageFiles
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs, Preprocess
from lamina.data.source import Split
from lamina.data.streams import InMemory
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare

Make = Callable[..., Path]
HINT = "; skip_bad (--skip-bad) skips unreadable files"


def names(split: object) -> list[str]:
    assert isinstance(split, ImageFiles)
    return [f"{path.parent.name}/{path.name}" for path in split.paths]


def test_classes_are_the_folders(image_folder: Make) -> None:
    root = image_folder({"dog": 3, "<script>": 4, "cat/tabby": 2, "cat/wild": 3})
    (root / "dog" / "notes.txt").write_text("no image")
    (root / ".hidden").mkdir()
    source = open_source(str(root), options=DataOptions(validation=0, test=0))
    spec = source.spec
    assert spec.classes == ("<script>", "cat", "dog")
    assert (spec.channels, spec.height, spec.width) == (3, 8, 6)
    assert source.splits["train"].targets.tolist() == [0] * 4 + [1] * 5 + [2] * 3
    assert names(source.splits["train"])[4:6] == ["tabby/0.png", "tabby/1.png"]
    preprocess = fit_preprocess(source)
    assert preprocess.target.classes == ("<script>", "cat", "dog")


@pytest.mark.parametrize("spelling", ["val", "valid", "validation"])
def test_split_folders_also_one_folder_down(image_folder: Make, spelling: str) -> None:
    image_folder({"inner/train/a": 4, "inner/train/b": 4, f"inner/{spelling}/a": 1, f"inner/{spelling}/b": 1})
    root = image_folder({"inner/test/b": 2})
    source = open_source(str(root))
    assert dict(source.spec.sizes) == {"train": 8, "validation": 2, "test": 2}
    assert source.splits["test"].targets.tolist() == [1, 1]


def test_a_class_may_be_called_train(image_folder: Make) -> None:
    root = image_folder({"train": 6, "car": 6})
    assert open_source(str(root)).spec.classes == ("car", "train")


def test_split_folders_that_make_no_sense(image_folder: Make, refused: Any) -> None:
    root = image_folder({"train/a": 4, "train/b": 4, "tets/a": 1})
    with refused(UsageError, "tets", "did you mean 'test'?"):
        open_source(str(root))
    root = image_folder({"train/a": 4, "train/b": 4, "test": 3}, name="unlabelled")
    with refused(UsageError, "test", "outside class folders"):
        open_source(str(root))
    root = image_folder({"train/a": 4, "train/b": 4, "test/c": 3}, name="surplus")
    with refused(DataError, "class 'c'", "not in train"):
        open_source(str(root))


def test_one_class_and_an_empty_class(image_folder: Make, refused: Any) -> None:
    only = str(image_folder({"cat": 9}))
    with refused(DataError, "only one class ('cat')"):
        open_source(only, options=DataOptions(task="classification"))
    spec = open_source(only).spec
    assert (spec.task, dict(spec.sizes)) == ("none", {"train": 6, "validation": 1, "test": 2})
    assert "only one class ('cat')" in spec.hint
    with refused(UsageError, "no targets", "only one class ('cat')"):
        prepare("mlp", {"data": only}, dry=True)
    root = image_folder({"a": 5, "b": 5}, name="gap")
    (root / "c").mkdir()
    with refused(DataError, f"'{root / 'c'}'"):
        open_source(str(root))


def damage(root: Path) -> None:
    good = (root / "a" / "0.png").read_bytes()
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "b" / "text.jpg").write_text("this is no photograph")
    noise = Image.effect_noise((64, 64), 50)
    noise.save(root / "b" / "cut.png")
    whole = (root / "b" / "cut.png").read_bytes()
    (root / "b" / "cut.png").write_bytes(whole[: len(whole) // 2])  # the header is sound
    (root / "b" / "good.png").write_bytes(good)


def test_unreadable_headers_are_named_at_opening(image_folder: Make, refused: Any) -> None:
    root = image_folder({"a": 5, "b": 5})
    damage(root)
    says = ("2 of 14 images", "empty.png': the file is empty", "text.jpg': not an image", HINT)
    with refused(DataError, *says):
        open_source(str(root))


@pytest.mark.parametrize("hold", [True, False])
def test_a_truncated_file_is_named_when_it_is_decoded(image_folder: Make, hold: bool, refused: Any) -> None:
    root = image_folder({"a": 5, "b": 5}, size=(64, 64))
    source = open_source(str(root), options=DataOptions(validation=0, test=0))
    preprocess = fit_preprocess(source, Needs(memory="stream"))
    path = root / "b" / "3.png"
    path.write_bytes(path.read_bytes()[:500])
    with refused(DataError, f"cannot read image '{path}': ", HINT):
        fit_preprocess(source)
    with refused(DataError, f"cannot read image '{path}': ", HINT):
        samples = preprocess.encode(source.splits["train"], hold=hold)
        [samples[i] for i in range(10)]  # type: ignore[index]


def test_files_that_were_decoded_to_fit_are_not_decoded_again(image_folder: Make) -> None:
    root = image_folder({"a": 5, "b": 5}, size=(6, 4))
    source = open_source(str(root), options=DataOptions(validation=0.2, test=0))
    train, validation = source.splits["train"], source.splits["validation"]
    once, every_time = fit_preprocess(source), fit_preprocess(source, Needs(memory="stream"))
    assert isinstance(once, ImagePreprocess)
    assert isinstance(every_time, ImagePreprocess)
    assert once == every_time
    expected = stored(every_time, train)
    smaller = stored(replace(once, height=3, width=2), train)
    assert torch.equal(smaller, stored(replace(every_time, height=3, width=2), train))
    assert torch.equal(stored(once, validation), stored(every_time, validation))
    for path in root.rglob("*.png"):
        path.unlink()
    assert torch.equal(stored(once, train), expected)
    with pytest.raises(DataError):
        stored(once, validation)


def stored(preprocess: Preprocess, split: Split) -> torch.Tensor:
    samples = preprocess.encode(split)
    assert isinstance(samples, InMemory)
    return samples.tensors["image"]


def test_skip_bad_leaves_them_out_and_lists_them(image_folder: Make, refused: Any) -> None:
    root = image_folder({"a": 5, "b": 5})
    damage(root)
    options = DataOptions(skip_bad=True, validation=0, test=0)
    source = open_source(str(root), options=options)
    assert source.spec.skipped == ("a/empty.png", "b/cut.png", "b/text.jpg")
    assert source.spec.sizes["train"] == 11
    assert source.splits["train"].targets.tolist() == [0] * 5 + [1] * 6
    assert not {"empty.png", "cut.png", "text.jpg"} & {Path(name).name for name in names(source.splits["train"])}
    preprocess = fit_preprocess(source, Needs(size=(4, 4)))
    assert len(preprocess.encode(source.splits["train"])) == 11
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    (root / "b" / "text.jpg").unlink()
    with pytest.raises(DataError, match=r"cannot read 13 of 13 images: .*; and 3 more$"):
        open_source(str(root), options=options)


def test_the_fingerprint_follows_names_and_sizes_not_the_place(image_folder: Make) -> None:
    first = open_source(str(image_folder({"a": 5, "b": 5}, name="one"))).spec.fingerprint
    second = image_folder({"a": 5, "b": 5}, name="two")
    assert open_source(str(second)).spec.fingerprint == first
    (second / "a" / "0.png").rename(second / "a" / "x.png")
    assert open_source(str(second)).spec.fingerprint != first


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_an_error(image_folder: Make, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    root = image_folder({"a": 5, "b": 5})
    Image.new("1", (60, 50)).save(root / "b" / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2999)  # PIL would only warn of less than twice that
    with refused(DataError, "huge.png", "2999 pixels", "bomb"):
        open_source(str(root))
    options = DataOptions(skip_bad=True)
    assert open_source(str(root), options=options).spec.skipped == ("b/huge.png",)


def test_mixed_sizes_and_colours_are_said(image_folder: Make, refused: Any) -> None:
    image_folder({"a": 5}, mode="L")
    root = image_folder({"b": 5}, size=(9, 8))
    source = open_source(str(root), options=DataOptions(validation=0, test=0))
    spec = source.spec
    assert (spec.channels, spec.height, spec.width) == (None, 8 if spec.height else None, None)
    with refused(UsageError, "differ in size"):
        fit_preprocess(source)
    preprocess = fit_preprocess(source, Needs(size=(8, 8)))
    assert preprocess.model_options()["in_channels"] == 3
    images = preprocess.encode(source.splits["train"]).tensors["image"]  # type: ignore[union-attr]
    assert images.shape == (10, 3, 8, 8)
    assert torch.equal(images[:5, 0], images[:5, 2])  # grey, three times
    assert not torch.equal(images[5:, 0], images[5:, 2])
    assert fit_preprocess(source, Needs(size=(8, 8), channels=1)).model_options()["in_channels"] == 1
