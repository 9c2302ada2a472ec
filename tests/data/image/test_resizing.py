"""Three ways to a size, the same for one image as for a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lamina.data.image.resizing import convert_channels, resize

MODES = ["stretch", "pad", "crop"]


def noise(*shape: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    high = 256 if dtype == torch.uint8 else 65536
    values = torch.randint(0, high, shape, generator=torch.Generator().manual_seed(0))
    return (values / 65535).to(dtype) if dtype.is_floating_point else values.to(dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
@pytest.mark.parametrize(("before", "after"), [((28, 28), (32, 32)), ((40, 30), (9, 16)), ((7, 20), (16, 9))])
def test_an_image_comes_out_the_same_alone_as_in_a_batch(
    mode: str, dtype: torch.dtype, before: tuple[int, int], after: tuple[int, int]
) -> None:
    for channels in (1, 2, 3):
        images = noise(5, channels, *before, dtype=dtype)
        together = resize(images, after, mode)  # type: ignore[arg-type]
        assert together.shape == (5, channels, *after)
        assert together.dtype == dtype
        alone = torch.cat([resize(images[i : i + 1], after, mode) for i in range(5)])  # type: ignore[arg-type]
        assert torch.equal(together, alone)


@pytest.mark.parametrize("after", [(14, 10), (60, 90)])
def test_stretch_is_pils_bilinear(after: tuple[int, int]) -> None:
    images = noise(1, 3, 28, 33)
    expected = np.array(
        Image.fromarray(images[0].permute(1, 2, 0).numpy()).resize(after[::-1], Image.Resampling.BILINEAR)
    )
    found = resize(images, after, "stretch")[0].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1
    floats = resize(images.float() / 255, after, "stretch")[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(floats - expected).max() <= 1
    deep = resize(images.to(torch.int32) * 257, after, "stretch")[0].permute(1, 2, 0).numpy() / 257
    assert np.abs(deep - expected).max() <= 1


def test_pad_centres_on_the_corner_colour_and_never_enlarges() -> None:
    images = noise(2, 1, 28, 28)
    padded = resize(images, (32, 36), "pad")
    assert torch.equal(padded[:, :, 2:30, 4:32], images)
    for image, original in zip(padded, images, strict=True):
        border = image.clone()
        border[:, 2:30, 4:32] = original[0, 0, 0]
        assert (border == original[0, 0, 0]).all()
    wide = resize(noise(1, 1, 20, 40), (10, 10), "pad")  # shrunk to 5 x 10
    assert torch.equal(wide[:, :, 2:7], resize(noise(1, 1, 20, 40), (5, 10), "stretch"))


def test_crop_takes_the_centre_of_the_covered_size() -> None:
    images = noise(1, 3, 20, 41)
    assert torch.equal(resize(images, (20, 21), "crop"), images[:, :, :, 10:31])
    assert torch.equal(resize(images, (10, 10), "crop"), resize(images, (10, 20), "stretch")[:, :, :, 5:15])
    assert torch.equal(resize(images, (40, 40), "crop"), resize(images, (40, 82), "stretch")[:, :, :, 21:61])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
def test_grey_and_colour(dtype: torch.dtype) -> None:
    images = noise(2, 3, 4, 5, dtype=dtype)
    grey = convert_channels(images, 1)
    scale = {torch.uint8: 255, torch.int32: 65535, torch.float32: 1}[dtype]
    bytes_ = (images.double() / scale * 255).round().to(torch.uint8)
    expected = np.stack([np.array(Image.fromarray(one.permute(1, 2, 0).numpy()).convert("L")) for one in bytes_])
    assert np.abs(grey[:, 0].double().numpy() / scale * 255 - expected).max() <= (0 if dtype == torch.uint8 else 1.5)
    back = convert_channels(grey, 3)
    assert torch.equal(back, grey.repeat(1, 3, 1, 1))
    white = torch.full((1, 3, 2, 2), scale).to(dtype)
    assert torch.equal(convert_channels(white, 1), white[:, :1])
