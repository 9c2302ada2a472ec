"""Arrays of images in every layout and type, and what they must not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lamina.data.image.arrays import channel_axis
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare

WHOLE = DataOptions(validation=0, test=0)
RNG = np.random.default_rng(0)
LABELS = np.arange(20) % 2


def write(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "set.npz", **arrays)
    return str(folder / "set.npz")


def images(path: str, **options: Any) -> torch.Tensor:
    source = open_source(path, options=DataOptions(validation=0, test=0, **options))
    return source.splits["train"].images_NCHW  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((20, 9, 7, 3), 3),
        ((20, 3, 9, 7), 1),
        ((20, 8, 8, 13), 3),
        ((20, 13, 8, 8), 1),
        ((20, 200, 5, 5), 1),
        ((20, 5, 5, 200), 3),
        ((20, 1, 5, 6), 1),
    ],
)
def test_the_channel_axis_is_found(tmp_path: Path, shape: tuple[int, ...], axis: int) -> None:
    assert channel_axis(shape, "x") == axis
    stored = RNG.integers(0, 256, shape, dtype=np.uint8)
    found = images(write(tmp_path, images=stored, labels=LABELS))
    assert np.array_equal(found.numpy(), stored if axis == 1 else stored.transpose(0, 3, 1, 2))


def test_a_layout_that_cannot_be_told_is_asked_for(tmp_path: Path, refused: Any) -> None:
    stored = RNG.integers(0, 256, (20, 4, 6, 4), dtype=np.uint8)
    path = write(tmp_path, x=stored, y=LABELS)
    with refused(UsageError, "(20, 4, 6, 4)", "layout"):
        open_source(path)
    assert images(path, layout="NHWC").shape == (20, 4, 4, 6)
    assert np.array_equal(images(path, layout="NCHW").numpy(), stored)


def test_types_are_stored_as_small_as_they_are(tmp_path: Path) -> None:
    base = RNG.integers(0, 256, (20, 4, 4))
    base[0, 0, 0] = 255
    for array, dtype, value_range in (
        (base.astype(np.int64), torch.uint8, (0, 255)),
        (base.astype(np.int32) * 257, torch.uint16, (0, 65535)),
        (base.astype(">u2"), torch.uint16, (0, 65535)),
        (base > 100, torch.uint8, (0, 255)),
        (base / 255, torch.float32, (0, 1)),
        ((base / 127.5 - 1).astype(np.float16), torch.float32, (-1, 1)),
        (base * 1.0, torch.float32, (0, 255)),
    ):
        source = open_source(write(tmp_path, x=array, y=LABELS), options=WHOLE)
        found = source.splits["train"].images_NCHW  # type: ignore[union-attr]
        assert found.dtype == dtype
        assert source.spec.value_range == value_range
        numbers = array * 255.0 if array.dtype == bool else array.astype(np.float32)
        assert np.array_equal(found[:, 0].to(torch.float32).numpy(), numbers)
    source = open_source(write(tmp_path, x=base - 3000.5, y=LABELS), options=WHOLE)
    assert source.spec.value_range == (base.min() - 3000.5, base.max() - 3000.5)


@pytest.mark.parametrize("spelling", ["x_{}", "{}_images"])
def test_splits_by_name(tmp_path: Path, spelling: str) -> None:
    labels = "y_{}" if spelling == "x_{}" else "{}_labels"
    arrays = {}
    for split, count in (("test", 4), ("val", 6), ("train", 20)):
        arrays[spelling.format(split)] = RNG.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        arrays[labels.format(split)] = (np.arange(count) % 2)[:, None]
    source = open_source(write(tmp_path, **arrays))
    assert dict(source.spec.sizes) == {"train": 20, "validation": 6, "test": 4}
    assert source.splits["test"].targets.tolist() == [0, 1, 0, 1]


def test_labels_of_every_kind(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (20, 4, 4), dtype=np.uint8)
    path = write(tmp_path, x=pixels, y=np.array(["dog", "cat"] * 10))
    assert open_source(path, options=WHOLE).spec.classes == ("cat", "dog")
    several = RNG.integers(0, 2, (20, 3))
    source = open_source(write(tmp_path, x=pixels, y=several), options=WHOLE)
    assert source.spec.task == "multilabel"
    assert np.array_equal(source.splits["train"].targets.numpy(), several)
    source = open_source(write(tmp_path, x=pixels, y=RNG.normal(size=(20, 2))), options=WHOLE)
    assert source.spec.task == "regression"
    assert source.splits["train"].targets.shape == (20, 2)


def test_features_make_a_table(tmp_path: Path) -> None:
    features = RNG.normal(size=(20, 3))
    source = open_source(write(tmp_path, x=features, y=LABELS), options=WHOLE)
    assert source.spec.kind == "table"
    assert fit_preprocess(source).model_options() == {"in_features": 3, "num_classes": 2}


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.path,)


def test_pickled_objects_are_not_loaded(tmp_path: Path, refused: Any) -> None:
    made = tmp_path / "made"
    hostile = np.empty(20, dtype=object)
    hostile[:] = [Payload(made)] * 20
    path = write(tmp_path, images=RNG.integers(0, 256, (20, 4, 4), dtype=np.uint8), labels=hostile)
    with refused(DataError, path, "'labels'"):
        open_source(path)
    assert not made.exists()
    with np.load(path, allow_pickle=True) as file:
        file["labels"]
    assert made.exists()  # the attack is a real one


def test_arrays_with_faults(tmp_path: Path, refused: Any) -> None:
    pixels = RNG.random((20, 4, 4)).astype(np.float32)
    with refused(DataError, "20 inputs and 19 labels"):
        open_source(write(tmp_path, x=pixels, y=LABELS[:19]))
    with refused(UsageError, "expected arrays", "found a, b"):
        open_source(write(tmp_path, a=pixels, b=LABELS))
    bad = pixels.copy()
    bad[7, 2, 2] = np.nan
    with refused(DataError, "image 8", "not finite"):
        open_source(write(tmp_path, x=bad, y=LABELS))
    with refused(DataError, "0 to 65535"):
        open_source(write(tmp_path, x=np.full((20, 4, 4), 70000), y=LABELS))
    with refused(DataError, "3 (N, H, W) or 4"):
        open_source(write(tmp_path, x=np.zeros((20, 1, 2, 3, 4)), y=LABELS))
    with refused(DataError, "only one class ('0')"):
        open_source(write(tmp_path, x=pixels, y=LABELS * 0))
    with refused(DataError, "sample 1", "not a number"):
        open_source(write(tmp_path, x=pixels, y=np.full(20, np.nan)))
    with refused(DataError, "inflate", "100 allowed"):
        open_source(write(tmp_path, x=pixels, y=LABELS), options=DataOptions(max_extracted_bytes=100))
    path = write(tmp_path, x=pixels, y=LABELS)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:300])
    with refused(DataError, path):
        open_source(path)


def test_tasks_of_text(tmp_path: Path, refused: Any) -> None:
    path = write(tmp_path, x=RNG.random((20, 3)), y=LABELS)
    assert open_source(path, options=DataOptions(task="translation")).spec.task == "classification"
    with refused(UsageError, "mlp", "not for translation"):
        prepare("mlp", {"data": path, "task": "translation"}, dry=True)
