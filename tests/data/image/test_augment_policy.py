"""RandAugment's and TrivialAugment's operations against PIL, from which AutoAugment took them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from lamina.data.image.augment.policy import OPERATIONS, RAND, WIDE, Extent, RandAugment, TrivialAugment, _applied
from lamina.errors import UsageError

GREY = (0.5, 0.5, 0.5)


def photographs(count: int = 6, side: int = 24) -> Tensor:
    """Smooth colour images of 8 bits, not filling the range, as floats."""
    gen = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, 3, 5, 5), generator=gen)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1) * 0.8 + 0.1
    return (smooth * 255).round() / 255


def picture(image_CHW: Tensor) -> Image.Image:
    return Image.fromarray((image_CHW * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def with_pil(name: str, image: Image.Image, level: float, extent: Extent) -> Image.Image:
    """One operation as PIL has it; ``level`` is the strength with its sign."""
    factor, side = 1 + level * extent.blend, image.width
    match name:
        case "identity":
            return image
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "solarize":
            return ImageOps.solarize(image, math.ceil(256 * (1 - abs(level))))
        case "posterize":
            return ImageOps.posterize(image, 8 - round(abs(level) * extent.bits))
        case "colour":
            return ImageEnhance.Color(image).enhance(factor)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(factor)
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(factor)
        case "sharpness":
            return ImageEnhance.Sharpness(image).enhance(factor)
    c = side / 2
    a, b, d, e, tx, ty = 1.0, 0.0, 0.0, 1.0, 0.0, 0.0
    match name:
        case "rotate":
            angle = level * math.radians(extent.degrees)
            a, b, d, e = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
        case "shear-x":
            b = level * extent.shear
        case "shear-y":
            d = level * extent.shear
        case "translate-x":
            tx = level * (extent.translate * side + extent.pixels)
        case "translate-y":
            ty = level * (extent.translate * side + extent.pixels)
    matrix = (a, b, c + tx - a * c - b * c, d, e, c + ty - d * c - e * c)  # about the centre
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=(128,) * 3)


@pytest.mark.parametrize("extent", [RAND, WIDE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pils(name: str, extent: Extent) -> None:
    image = photographs()
    strengths, signs = torch.tensor([0.0, 0.2, 0.2, 0.5, 0.9, 1.0]), torch.tensor([1, 1, -1, -1, 1, -1])
    drawn = {"operation": torch.full((6, 1), OPERATIONS.index(name)), "strength": strengths[:, None]}
    out = _applied(image, {**drawn, "sign": signs[:, None]}, extent, GREY)
    for b in range(6):
        expected = as_tensor(with_pil(name, picture(image[b]), float(strengths[b] * signs[b]), extent))
        off = (out[b] - expected).abs()
        if name in OPERATIONS[9:]:  # PIL has no blend with the fill at the border: look at the inside
            assert off.median() < 2 / 255
            assert (off > 3 / 255).float().mean() < 0.15
        else:
            assert off.max() < 2.5 / 255, f"image {b}"
    if name != "identity":
        assert not torch.equal(out[4], image[4])


def test_every_image_has_an_operation_of_its_own_and_its_neighbours_do_not_matter() -> None:
    image = photographs(60, 16)
    augment = RandAugment(magnitude=9, layers=2, std=0.5, fill=GREY)
    drawn = augment.draw(60, torch.Generator().manual_seed(3))
    assert len({tuple(pair) for pair in drawn["operation"].tolist()}) > 30
    out = augment.apply({"image": image}, drawn)["image"]
    assert out.min() >= 0
    assert out.max() <= 1
    for part in (slice(0, 30), slice(30, 60), slice(7, 8)):
        alone = augment.apply({"image": image[part]}, {name: value[part] for name, value in drawn.items()})["image"]
        assert torch.equal(alone, out[part])


def test_two_layers_are_one_after_the_other() -> None:
    image = photographs(1)
    one, two = OPERATIONS.index("posterize"), OPERATIONS.index("rotate")
    drawn = {"operation": torch.tensor([[one, two]]), "strength": torch.ones(1, 2), "sign": torch.ones(1, 2)}
    first, second = ({name: value[:, i : i + 1] for name, value in drawn.items()} for i in (0, 1))
    expected = _applied(_applied(image, first, RAND, GREY), second, RAND, GREY)
    assert torch.equal(_applied(image, drawn, RAND, GREY), expected)
    other = _applied(_applied(image, second, RAND, GREY), first, RAND, GREY)
    assert not torch.allclose(expected, other)


def test_what_is_drawn() -> None:
    drawn = RandAugment(magnitude=5, layers=3, fill=GREY).draw(3000, torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn["operation"].flatten(), minlength=len(OPERATIONS))
    assert len(counts) == 14
    assert counts.min() > 0.8 * 9000 / 14
    assert counts.max() < 1.2 * 9000 / 14
    assert drawn["strength"].unique().tolist() == [0.5]
    assert drawn["sign"].unique().tolist() == [-1, 1]
    noisy = RandAugment(magnitude=5, std=0.5, fill=GREY).draw(3000, torch.Generator().manual_seed(0))["strength"]
    assert float(noisy.std()) == pytest.approx(0.05, rel=0.05)
    trivial = TrivialAugment(fill=GREY).draw(3000, torch.Generator().manual_seed(0))
    assert trivial["operation"].shape == (3000, 1)
    assert torch.equal((trivial["strength"].unique() * 30).round(), torch.arange(31.0))


@pytest.mark.parametrize("channels", [1, 2])
def test_other_numbers_of_channels(channels: int) -> None:
    image = torch.rand((56, channels, 9, 11), generator=torch.Generator().manual_seed(0))
    augment = TrivialAugment(fill=(0.5,) * channels)
    drawn = augment.draw(56, torch.Generator().manual_seed(0))
    drawn["operation"] = torch.arange(56)[:, None] % 14
    out = augment.apply({"image": image}, drawn)["image"]
    assert out.shape == image.shape
    assert out.isfinite().all()


def test_a_magnitude_out_of_range(refused: Any) -> None:
    with refused(UsageError, "rand_augment", "0 to 10", "11"):
        RandAugment(magnitude=11, fill=GREY)
