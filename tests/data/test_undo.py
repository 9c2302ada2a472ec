"""What a person looks at: pictures, rows and texts back from what a model sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.image.samples import ImageArrays
from lamina.data.modality import fit_preprocess, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs, Preprocess
from lamina.data.source import Source
from lamina.data.spec import DataSpec
from lamina.options.recipe import Augmentation

WHOLE = DataOptions(validation=0, test=0)


def images(channels: int, dtype: Any = np.uint8) -> Source:
    """Every grey level of each channel, darker ones more often."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, channels, 16, 16))
    pixels = (pixels**2 // 255).astype(np.uint8)
    values = pixels if dtype == np.uint8 else pixels.astype(np.uint16) * 257 if dtype == np.uint16 else pixels / 255
    spec = DataSpec(
        name="set", kind="image", task="none", channels=channels, height=16, width=16,
        value_range={np.uint8: (0.0, 255.0), np.uint16: (0.0, 65535.0)}.get(dtype, (0.0, 1.0)),
    )  # fmt: skip
    return Source(spec, {"train": ImageArrays(torch.from_numpy(values.astype(dtype)))})


def fitted(source: Source, normalisation: str) -> ImagePreprocess:
    found = fit_preprocess(source, Needs(augmentation=Augmentation(normalisation=normalisation)))  # type: ignore[arg-type]
    again = load_preprocess({name: dict(content) for name, content in found.files().items()})
    assert isinstance(again, ImagePreprocess)
    return again


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(("normalisation", "low"), [("unit", 0.0), ("half", -1.0)])
def test_unit_and_half_span_their_interval(channels: int, normalisation: str, low: float) -> None:
    source = images(channels)
    preprocess = fitted(source, normalisation)
    stored = preprocess.encode(source.splits["train"]).tensors
    image = preprocess.prepare(stored)["image"]
    torch.testing.assert_close(image, low + (1 - low) * stored["image"] / 255, rtol=0, atol=1e-6)
    for bound, reached in ((low, image.amin((0, 2, 3))), (1.0, image.amax((0, 2, 3)))):
        assert reached.tolist() == pytest.approx([bound] * channels, abs=2e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_unit_never_leaves_its_interval(dtype: Any) -> None:
    """So that a pixel can be a probability."""
    source = images(3, dtype)
    preprocess = fitted(source, "unit")
    image = preprocess.prepare(preprocess.encode(source.splits["train"]).tensors)["image"]
    assert (image.min().item(), image.max().item()) == (0.0, 1.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("normalisation", "channels"),
    [*[(name, n) for name in ("data", "half", "unit") for n in (1, 2, 3)], ("imagenet", 3)],
)
def test_a_picture_comes_back(normalisation: str, channels: int, dtype: Any) -> None:
    """To within one grey level of the picture as stored, whatever it is stored as."""
    source = images(channels, dtype)
    preprocess = fitted(source, normalisation)
    held = preprocess.encode(source.splits["train"]).tensors
    ready = preprocess.prepare(held)["image"]
    assert ready.dtype == torch.float32
    for stored, image in zip(held["image"], ready, strict=True):
        picture = preprocess.undo(image)
        assert (picture.dtype, picture.shape) == (np.uint8, (16, 16, channels))
        assert np.abs(picture.astype(int) - preprocess.stored_picture(stored).astype(int)).max() <= 1
    assert preprocess.undo(torch.full_like(ready[0], 1e6)).min() == 255  # of a model's output, which may lie anywhere
    assert preprocess.undo(ready[0].bfloat16().requires_grad_()).shape == (16, 16, channels)


def test_a_row_comes_back(tmp_path: Path) -> None:
    """Numbers to 1e-4 of their spread, categories and missing ones equal."""
    draws = np.random.default_rng(0)
    numbers = draws.normal(1000, 50, (40, 2)) * [1, 1e-3]
    cities = [("Turin", "Kyiv", "", "São Paulo")[i % 4] for i in range(40)]
    rows = [f"{a},{b},{city},{'xy'[i % 2]}" for i, ((a, b), city) in enumerate(zip(numbers, cities, strict=True))]
    (tmp_path / "t.csv").write_text("a,b,city,label\n" + "\n".join(rows) + "\n")
    source = open_source(str(tmp_path / "t.csv"), options=WHOLE)
    preprocess = fit_preprocess(source)
    features = preprocess.encode(source.splits["train"]).tensors["features"]
    for features_F, (a, b), city in zip(features, numbers, cities, strict=True):
        row = preprocess.undo(features_F)
        assert list(row) == ["a", "b", "city"]
        assert abs(row["a"] - a) <= 1e-4 * 50
        assert abs(row["b"] - b) <= 1e-4 * 0.05
        assert row["city"] == (city or None)
    blurred = preprocess.undo(features[0] + 0.3 * torch.rand(len(features[0])))  # as a model would give it
    assert blurred["city"] == "Turin"


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_a_text_comes_back(tmp_path: Path, kind: str) -> None:
    lines = [f"the {adjective} cat sat on the {noun}" for adjective in ("old", "red", "wet") for noun in ("mat", "hat")]
    (tmp_path / "t.csv").write_text("label,text\n" + "".join(f"{i % 2},{lines[i % 6]}\n" for i in range(24)))
    options = DataOptions(validation=0, test=0, tokenizer=kind, text="text")  # type: ignore[arg-type]
    source = open_source(str(tmp_path / "t.csv"), options=options)
    preprocess = fit_preprocess(source, Needs(options=options))
    for line in lines:
        batch = preprocess.encode_input(line)
        assert preprocess.undo(batch["tokens"][0]) == line
    both = preprocess.encode_input([lines[0], lines[0][:11]])  # the shorter one is padded
    assert preprocess.undo(both["tokens"][1]) == lines[0][:11]


@pytest.mark.parametrize("data", ["digits", "iris", "dates"])
def test_what_is_given_to_predict_comes_back(data: str) -> None:
    source = open_source(data)
    preprocess: Preprocess = fit_preprocess(source)
    item: Callable[[], Any] = {
        "digits": lambda: torch.zeros(8, 8),
        "iris": lambda: dict.fromkeys((column.name for column in source.spec.columns), 1.0),
        "dates": lambda: "3 mars 2015",
    }[data]
    batch = next(iter(preprocess.input_batches(item())))
    (value, *_), _ = preprocess.call(batch)
    looked_at = preprocess.undo(value[0])
    if data == "dates":
        assert looked_at == "3 mars 2015"
    elif data == "iris":
        assert list(looked_at.values()) == pytest.approx([1.0] * 4, abs=1e-4)
    else:
        assert not looked_at.any()
