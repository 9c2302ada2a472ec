"""Windows against plain slices, random parts against torch's own resizing of the part alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from lamina.data.image.augment.boxes import draw_boxes, inside
from lamina.data.image.augment.crop import Crop, ResizedCrop
from lamina.errors import UsageError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
def test_a_window_is_a_slice(dtype: torch.dtype) -> None:
    image = torch.randint(0, 200, (64, 2, 9, 12), generator=generator()).to(dtype)
    crop = Crop(stored=(9, 12), size=(6, 7))
    drawn = crop.draw(64, generator(1))
    out = crop.apply({"image": image, "target": torch.arange(64)}, drawn)["image"]
    assert out.dtype == dtype
    for b in range(64):
        top, left = int(drawn["top"][b]), int(drawn["left"][b])
        assert torch.equal(out[b], image[b, :, top : top + 6, left : left + 7])
    assert drawn["top"].unique().tolist() == [0, 1, 2, 3]
    assert drawn["left"].unique().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [(8, 8), (20, 13), (40, 60)])
def test_a_random_part_is_resized_as_torch_resizes_the_part_alone(size: tuple[int, int]) -> None:
    """Smaller and larger than the parts, and across: antialiased where it shrinks."""
    image = torch.rand((40, 3, 30, 24), generator=generator())
    crop = ResizedCrop(stored=(30, 24), size=size)
    drawn = crop.draw(40, generator(1))
    out = crop.apply({"image": image}, drawn)["image"]
    for b in range(40):
        top, left, rows, columns = (int(drawn[name][b]) for name in ("top", "left", "rows", "columns"))
        part = image[b : b + 1, :, top : top + rows, left : left + columns]
        expected = functional.interpolate(part, size, mode="bilinear", antialias=True, align_corners=False)
        torch.testing.assert_close(out[b : b + 1], expected, rtol=0, atol=2e-6)


def test_whole_numbers_stay_whole_numbers() -> None:
    image = torch.randint(0, 256, (8, 1, 16, 16), generator=generator(), dtype=torch.uint8)
    crop = ResizedCrop(stored=(16, 16), size=(8, 8), scale=(1.0, 1.0))
    drawn = crop.draw(8, generator()) | {"top": torch.zeros(8).long(), "left": torch.zeros(8).long()}
    drawn |= {"rows": torch.full((8,), 16), "columns": torch.full((8,), 16)}
    out = crop.apply({"image": image}, drawn)["image"]
    assert out.dtype == torch.uint8
    expected = functional.interpolate(image.float(), (8, 8), mode="bilinear", antialias=True).round()
    assert (out.float() - expected).abs().max() <= 1


def test_boxes_cover_what_they_promise() -> None:
    box = draw_boxes(20_000, (100, 100), (0.08, 1.0), (3 / 4, 4 / 3), generator())
    area = box["rows"] * box["columns"] / 1e4
    aspect = box["columns"] / box["rows"]
    assert 0.077 < area.min() < 0.1
    assert area.max() > 0.95
    # uniform in area, but for large parts of an unlike aspect ratio, which do not fit: torchvision's moments
    assert float(area.mean()) == pytest.approx(0.480, abs=0.008)
    assert float(area.std()) == pytest.approx(0.234, abs=0.006)
    assert float(aspect.log().std()) == pytest.approx(0.161, abs=0.005)
    assert 0.73 < aspect.min() < 0.77
    assert 1.3 < aspect.max() < 1.37
    assert abs(aspect.log().mean()) < 0.01
    for start, extent in (("top", "rows"), ("left", "columns")):
        room = 100 - box[extent]
        assert (box[start] >= 0).all()
        assert (box[start] <= room).all()
        share = (box[start][room > 20] / room[room > 20]).mean()
        assert 0.48 < share < 0.52


def test_where_no_box_fits_it_is_the_whole_image() -> None:
    box = draw_boxes(50, (4, 100), (0.9, 1.0), (1.0, 1.1), generator())
    assert not box["found"].any()
    assert box["rows"].unique().tolist() == [4]
    assert box["columns"].unique().tolist() == [100]
    assert box["top"].unique().tolist() == box["left"].unique().tolist() == [0]


def test_inside_is_the_box() -> None:
    box = draw_boxes(30, (9, 7), (0.1, 0.6), (0.5, 2.0), generator())
    mask = inside(box, (9, 7), torch.device("cpu"))
    assert mask.shape == (30, 1, 9, 7)
    for b in range(30):
        expected = torch.zeros(9, 7, dtype=torch.bool)
        top, left = int(box["top"][b]), int(box["left"][b])
        expected[top : top + int(box["rows"][b]), left : left + int(box["columns"][b])] = True
        assert torch.equal(mask[b, 0], expected)


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.5, 0.2), (0.5, 1.5)])
def test_shares_that_cannot_be(scale: tuple[float, float], refused: Any) -> None:
    with refused(UsageError, "resized_crop", "(0, 1]"):
        ResizedCrop(stored=(8, 8), size=(4, 4), scale=scale)
