"""Images from a source to a model's input: fitted on train, saved, the same held, streamed and predicted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.preprocess import ImagePreprocess, _sums_of_bytes
from lamina.data.image.samples import ImageArrays
from lamina.data.modality import fit_preprocess, holds, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.source import Source
from lamina.data.spec import DataSpec
from lamina.data.streams import InMemory, InOrder, Shuffled, Streamed
from lamina.errors import DataError, RunError, UsageError
from lamina.options.recipe import Augmentation

WHOLE = DataOptions(validation=0, test=0)


def arrays(images: torch.Tensor, **facts: Any) -> Source:
    """A source of these training images, and of a test split nothing may be learnt from."""
    count = len(images)
    spec = DataSpec(
        name="set",
        kind="image",
        task="classification",
        classes=("a", "b"),
        channels=images.shape[1],
        height=images.shape[2],
        width=images.shape[3],
        **facts,
    )
    train = ImageArrays(images, torch.arange(count) % 2)
    return Source(spec, {"train": train, "test": ImageArrays(images[:4] * 0, torch.arange(4) % 2)})


def fitted(source: Source, resize: Any = "stretch", **options: Any) -> ImagePreprocess:
    found = fit_preprocess(source, Needs(augmentation=Augmentation(resize=resize), **options))
    assert isinstance(found, ImagePreprocess)
    return found


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("size", [None, (12, 12), (5, 7)])
def test_training_images_come_out_standardised(size: tuple[int, int] | None) -> None:
    source = arrays(noise(300, 2, 8, 8) // torch.tensor([1, 5], dtype=torch.uint8).view(2, 1, 1))
    preprocess = fitted(source, size=size)
    held = preprocess.encode(source.splits["train"])
    assert isinstance(held, InMemory)
    assert held.tensors["image"].dtype == torch.uint8
    ready = preprocess.prepare(held.tensors)
    image = ready["image"]
    assert image.dtype == torch.float32
    assert torch.allclose(image.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(image.std((0, 2, 3), correction=0), torch.ones(2), atol=1e-5)
    assert torch.equal(ready["target"], source.splits["train"].targets)
    # the very formula, on values in [0, 1]
    mean, std = (torch.tensor(values).view(2, 1, 1) for values in (preprocess.mean, preprocess.std))
    assert torch.allclose(image, (held.tensors["image"] / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 100_003])
def test_moments_of_bytes_are_exact(count: int) -> None:
    values_CN = noise(3, count)
    values_CN[0] = 255  # as large as sums become
    sums, squares = _sums_of_bytes(values_CN)
    assert sums.tolist() == values_CN.long().sum(1).tolist()
    assert squares.tolist() == values_CN.long().square().sum(1).tolist()


def test_images_that_fit_are_not_copied() -> None:
    source = arrays(noise(20, 3, 8, 8))
    held = fitted(source).encode(source.splits["train"])
    assert isinstance(held, InMemory)
    assert held.tensors["image"].data_ptr() == source.splits["train"].images_NCHW.data_ptr()  # type: ignore[union-attr]


def test_a_constant_channel_does_not_divide_by_nothing() -> None:
    images = noise(20, 2, 4, 4)
    images[:, 1] = 77
    source = arrays(images)
    ready = fitted(source).prepare({"image": images})["image"]
    assert ready.isfinite().all()
    assert torch.allclose(ready[:, 1], torch.zeros(20, 4, 4), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "value_range", "stored"),
    [
        (torch.uint16, (0.0, 65535.0), torch.int32),
        (torch.float32, (0.0, 1.0), torch.float32),
        (torch.float32, (-3.5, 9.0), torch.float32),
    ],
)
def test_other_types(dtype: torch.dtype, value_range: tuple[float, float], stored: torch.dtype) -> None:
    low, high = value_range
    images = (noise(60, 1, 6, 6) / 255.0 * (high - low) + low).to(dtype)
    source = arrays(images, value_range=value_range)
    preprocess = fitted(source, channels=3, size=(8, 8))
    held = preprocess.encode(source.splits["train"])
    streamed = preprocess.encode(source.splits["train"], hold=False)
    assert isinstance(held, InMemory)
    assert held.tensors["image"].dtype == stored
    assert torch.equal(streamed[9]["image"], held.tensors["image"][9])  # type: ignore[index]
    ready = preprocess.prepare(held.tensors)["image"]
    assert torch.allclose(ready.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(ready.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
    assert 0.0 <= preprocess.mean[0] <= 1.0


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_held_and_streamed_batches_are_bit_identical(image_folder: Callable[..., Path], resize: Any) -> None:
    image_folder({"a": 9}, mode="L", size=(20, 11))
    source = open_source(str(image_folder({"b": 12}, size=(9, 30))), options=WHOLE)
    preprocess = fitted(source, size=(12, 12), resize=resize)
    split = source.splits["train"]
    batches = {}
    for hold, workers in ((True, 0), (False, 0), (False, 2)):
        samples = preprocess.encode(split, hold=hold)
        assert isinstance(samples, InMemory if hold else Streamed)
        augment = Geometric(flip=True, shift=2)
        stream = Shuffled(samples, 5, 1, prepare=preprocess.prepare, augment=augment, workers=workers)
        batches[hold, workers] = [*stream.batches(3), *InOrder(samples, 8, prepare=preprocess.prepare, workers=workers)]
    first, *others = batches.values()
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert torch.equal(one["image"], two["image"])
            assert torch.equal(one["target"], two["target"])


def test_it_survives_json(image_folder: Callable[..., Path]) -> None:
    root = image_folder({"<script>": 9, "b": 9})
    for source in (open_source("digits"), open_source(str(root))):
        preprocess = fitted(source, size=(16, 16), channels=3, resize="pad")
        text = json.dumps(preprocess.to_dict(), allow_nan=False)
        again = load_preprocess({"preprocess.json": json.loads(text)})
        assert again == preprocess
        assert again.target.classes == source.spec.classes
        batch = next(iter(InOrder(preprocess.encode(source.splits["test"]), 3)))
        assert torch.equal(again.prepare(batch)["image"], preprocess.prepare(batch)["image"])


def test_another_format_is_refused(refused: Any) -> None:
    good = fitted(open_source("digits")).to_dict()
    with refused(RunError, "format 2"):
        load_preprocess({"preprocess.json": {**good, "format": 2}})
    with refused(RunError, "damaged", "mean"):
        load_preprocess({"preprocess.json": {key: value for key, value in good.items() if key != "mean"}})


def test_what_the_model_is_told() -> None:
    preprocess = fitted(open_source("digits"))
    assert preprocess.input_key == "image"
    assert preprocess.model_options() == {"in_channels": 1, "image_size": 8, "in_features": 64, "num_classes": 10}
    oblong = fitted(open_source("digits"), size=(8, 10), channels=3)
    assert oblong.model_options() == {"in_channels": 3, "in_features": 240, "num_classes": 10}


def test_channels_that_do_not_fit(refused: Any) -> None:
    with refused(UsageError, "digits", "1 channels, but 4 are requested"):
        fitted(open_source("digits"), channels=4)
    with refused(UsageError, "4 channels, but 3 are requested"):
        fitted(arrays(noise(9, 4, 5, 5)), channels=3)
    assert fitted(arrays(noise(9, 4, 5, 5)), channels=4).channels == 4
    with refused(UsageError, "iris is a table"):
        fit_preprocess(open_source("iris"), Needs(channels=3))


def test_fitted_on_train_only() -> None:
    source = arrays(noise(40, 1, 6, 6))
    bright = {**source.splits, "test": ImageArrays(noise(40, 1, 6, 6) | 128, torch.arange(40) % 2)}
    assert fitted(Source(source.spec, bright)) == fitted(source)


def test_memory_is_counted_before_it_is_taken() -> None:
    source = arrays(noise(20, 1, 8, 8))
    preprocess = fitted(source, size=(16, 16), channels=3)
    assert preprocess.bytes_of(source.splits["train"]) == 20 * 3 * 256
    assert holds(preprocess, source)
    assert not holds(preprocess, source, "stream")
    huge = replace(preprocess, height=8192, width=8192)
    assert not holds(huge, source)
    assert holds(huge, source, "hold")


def test_regression_targets_are_standardised_over_train() -> None:
    spec = DataSpec(name="s", kind="image", task="regression", targets=("p", "q"), channels=1, height=4, width=4)
    targets = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 900.0]) + 5
    source = Source(spec, {"train": ImageArrays(noise(50, 1, 4, 4), targets)})
    preprocess = fitted(source)
    encoded = preprocess.encode(source.splits["train"])
    assert isinstance(encoded, InMemory)
    assert torch.allclose(encoded.tensors["target"].mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(encoded.tensors["target"].std(0, correction=0), torch.ones(2), atol=1e-5)
    assert torch.allclose(preprocess.target.decode(encoded.tensors["target"]), targets, rtol=1e-5, atol=1e-3)
    assert preprocess.model_options()["num_classes"] == 2


def test_another_source_that_does_not_fit(image_folder: Callable[..., Path], refused: Any) -> None:
    files = open_source(str(image_folder({"a": 9, "b": 9})), options=WHOLE).splits["train"]
    bytes_, floats = arrays(noise(20, 1, 6, 8)), arrays(noise(20, 1, 6, 8) / 255.0, value_range=(0.0, 1.0))
    with refused(DataError, "stored as uint8", "float32"):
        fitted(bytes_).encode(floats.splits["train"])
    with refused(DataError, "stored as float32", "uint8"):
        fitted(floats).encode(bytes_.splits["train"], hold=False)
    with refused(DataError, "floating-point", "files"):
        fitted(floats).encode(files)
    with refused(DataError, "5 channels", "3"):
        fitted(arrays(noise(20, 5, 6, 8))).encode(files)
    with refused(DataError, "1 channels", "5"):
        fitted(bytes_).encode(arrays(noise(20, 5, 6, 8)).splits["train"])
    assert len(fitted(bytes_).encode(files)) == 18


# --- one image to predict -------------------------------------------------------------------------------------------


@pytest.fixture
def colour(image_folder: Callable[..., Path]) -> tuple[ImagePreprocess, Path]:
    root = image_folder({"a": 9, "b": 9})
    return fitted(open_source(str(root), options=WHOLE), size=(12, 12)), root / "a" / "0.png"


def test_one_image_in_any_form_is_the_image_of_training(colour: tuple[ImagePreprocess, Path]) -> None:
    preprocess, path = colour
    pixels = np.array(Image.open(path))  # (8, 6, 3)
    expected = preprocess.load_file(path)[None]
    for item in (
        path,
        str(path),
        Image.open(path),
        pixels,
        pixels / 255,
        pixels.astype(np.int64),
        torch.from_numpy(pixels).permute(2, 0, 1),
        torch.from_numpy(pixels).permute(2, 0, 1) / 255,
        pixels.transpose(2, 0, 1),
        pixels.astype(np.uint16) * 257,
    ):
        found = preprocess.encode_input(item)["image"]
        assert found.dtype == torch.uint8
        assert torch.equal(found, expected)


def test_grey_for_a_colour_model_and_back(colour: tuple[ImagePreprocess, Path]) -> None:
    preprocess, path = colour
    grey = np.array(Image.open(path).convert("L"))
    assert preprocess.encode_input(grey)["image"].shape == (1, 3, 12, 12)
    digits = fitted(open_source("digits"))
    image = digits.encode_input(path)["image"]
    assert image.shape == (1, 1, 8, 8)
    assert torch.equal(image, digits.encode_input(grey)["image"])


def test_floats_stay_as_the_training_data_had_them() -> None:
    data = noise(40, 1, 6, 6) / 255.0
    preprocess = fitted(arrays(data, value_range=(0.0, 1.0)))
    assert torch.equal(preprocess.encode_input(data[3])["image"], data[3:4])
    image = Image.fromarray((data[3, 0] * 255).round().to(torch.uint8).numpy())
    assert torch.allclose(preprocess.encode_input(image)["image"], data[3:4])


def test_inputs_that_do_not_fit(colour: tuple[ImagePreprocess, Path], tmp_path: Path, refused: Any) -> None:
    preprocess, path = colour
    with refused(UsageError, "no such file: gone.png"):
        preprocess.encode_input("gone.png")
    (tmp_path / "text.png").write_text("no image")
    with refused(DataError, "text.png", "not an image"):
        preprocess.encode_input(tmp_path / "text.png")
    with refused(UsageError, "not dict"):
        preprocess.encode_input({})
    with refused(DataError, "(5, 5, 4)", "1 or 3 channels"):
        preprocess.encode_input(np.zeros((5, 5, 4), dtype=np.uint8))
    with refused(DataError, "from 0 to 1"):
        preprocess.encode_input(np.full((5, 5, 3), 7.0))
    with refused(DataError, "not finite"):
        preprocess.encode_input(np.full((5, 5, 3), np.nan))
    with refused(DataError, "from 0 to 255"):
        preprocess.encode_input(np.full((5, 5, 3), 300))
    strange = fitted(arrays(noise(9, 5, 4, 4) * 1.0 - 30, value_range=(-30.0, 225.0)))
    with refused(UsageError, "5 channels", str(path)):
        strange.encode_input(path)
    with refused(DataError, "from -30 to 225"):
        strange.encode_input(np.zeros((5, 4, 4), dtype=np.uint8))
    assert strange.encode_input(torch.zeros(5, 4, 4))["image"].shape == (1, 5, 4, 4)
