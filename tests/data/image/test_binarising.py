"""Black and white images: by a threshold, by one draw for each pixel, by another one every epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lamina.data.image.binarising import drawn, thresholded
from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.modality import fit_preprocess, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import BatchOptions, Needs
from lamina.options.recipe import Augmentation, Recipe

GREY = (0.0, 255.0)


def grey_images(count: int = 400, side: int = 8) -> Tensor:
    return torch.randint(256, (count, 1, side, side), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("range_", [GREY, (0.0, 1.0), (-1.0, 1.0), (0.0, 65535.0)])
def test_a_pixel_is_white_as_often_as_it_is_bright(range_: tuple[float, float]) -> None:
    low, high = range_
    noise = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for grey in (0.0, 0.2, 0.5, 0.9, 1.0):
        images = torch.full((400, 1, 8, 8), low + grey * (high - low))
        images += 1e-3 * (high - low) * noise * (0 < grey < 1)  # equal images have equal draws
        images = images.to(torch.int32) if high > 255 else images
        made = drawn(images, range_)
        assert made.dtype == images.dtype
        assert set(made.unique().tolist()) <= {low, high}
        white = (made == high).double()
        assert white.mean().item() == pytest.approx(grey, abs=0.01 if 0 < grey < 1 else 0)
        # neither the same draw in every image nor in every pixel
        if grey == 0.5:
            assert white.mean(0).std().item() < 0.04 > white.mean((1, 2, 3)).std().item() - 0.0625
            assert 0.2 < white[0].mean() < 0.8


def test_an_image_gets_the_same_draw_wherever_it_is_met() -> None:
    images = grey_images()
    made = drawn(images, GREY)
    assert torch.equal(drawn(images.flip(0), GREY).flip(0), made)
    assert torch.equal(drawn(images[7:8], GREY), made[7:8])
    assert torch.equal(drawn(made, GREY), made)
    assert len({image.numpy().tobytes() for image in drawn(torch.full((50, 1, 8, 8), 128).byte(), GREY)}) == 1
    keys = torch.arange(50)
    other = drawn(torch.full((50, 1, 8, 8), 128, dtype=torch.uint8), GREY, keys)
    assert len({image.numpy().tobytes() for image in other}) == 50
    assert torch.equal(thresholded(images, GREY) > 0, images >= 128)


def fitted(way: str, source: str | Path = "digits") -> tuple[ImagePreprocess, object]:
    opened = open_source(str(source), options=DataOptions())
    needs = Needs(augmentation=Augmentation(binarise=way, normalisation="unit"))  # type: ignore[arg-type]
    preprocess = fit_preprocess(opened, needs)
    assert isinstance(preprocess, ImagePreprocess)
    return preprocess, opened.splits["train"]


def epochs(preprocess: ImagePreprocess, split: object, hold: bool, seed: int = 0) -> list[Tensor]:
    augmentation = Augmentation(binarise=preprocess.binarise, normalisation="unit")
    recipe = Recipe(batch_size=64, seed=seed, augmentation=augmentation)
    samples = preprocess.encode(split, hold=hold)  # type: ignore[arg-type]
    stream = preprocess.training_stream(samples, BatchOptions(recipe=recipe, task="autoencoding"))
    return [torch.cat([batch["image"] for batch in stream.batches(epoch)]) for epoch in (0, 1)]


@pytest.mark.parametrize("way", ["threshold", "once", "always"])
def test_it_is_saved_and_the_same_held_and_streamed(way: str) -> None:
    preprocess, split = fitted(way)
    held, streamed = (epochs(preprocess, split, hold) for hold in (True, False))
    assert all(map(torch.equal, held, streamed))
    assert set(held[0].unique().tolist()) == {0.0, 1.0}
    saved = load_preprocess(preprocess.files())
    assert saved == preprocess
    everything = preprocess.evaluation_batches(preprocess.encode(split), BatchOptions(recipe=Recipe(), task=""))  # type: ignore[arg-type]
    evaluated = torch.cat([batch["image"] for batch in everything])
    assert set(evaluated.unique().tolist()) == {0.0, 1.0}
    # an item of predict is drawn as the same image of a split
    item = split.images_NCHW[5]  # type: ignore[attr-defined]
    (batch,) = saved.input_batches(item.float() / item.float().max() if item.is_floating_point() else item)
    assert set(batch["image"].unique().tolist()) <= {0.0, 1.0}
    rows = lambda images: sorted(row.numpy().tobytes() for row in images)  # noqa: E731
    fixed = rows(held[0][:1000]) == rows(held[0][:1000]) and len(set(rows(held[0])) & set(rows(evaluated)))
    assert (fixed > 0.9 * len(held[0])) == (way != "always")
    assert (len(set(rows(held[0])) & set(rows(held[1]))) > 0.8 * len(held[0])) == (way != "always")


def test_files_and_items_of_them(tmp_path: Path) -> None:
    for i, image in enumerate(grey_images(30).numpy()):
        Image.fromarray(image[0]).save(tmp_path / f"{i:02}.png")
    preprocess, split = fitted("once", tmp_path)
    held = preprocess.encode(split).tensors["image"]  # type: ignore[arg-type, union-attr]
    for number in (0, 5):
        (batch,) = preprocess.input_batches(split.paths[number])  # type: ignore[attr-defined]
        assert torch.equal(batch["image"][0], held[number].float() / 255)
    picture = preprocess.undo(batch["image"][0])
    assert set(np.unique(picture)) == {0, 255}


def test_a_preprocess_of_before_is_of_grey_images() -> None:
    files = fitted("none")[0].files()
    del files["preprocess.json"]["binarise"]
    assert load_preprocess(files).binarise == "none"  # type: ignore[attr-defined]
