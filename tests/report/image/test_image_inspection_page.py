"""The inspection page and its pictures: escaped, complete, and consistent with the tensors."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from report_contents import Page

import lamina
from lamina.inspection import inspect_image
from lamina.report import figures
from lamina.report.contact_sheet import sheet
from lamina.report.image import overlays
from lamina.report.image.inspection import ImagePage, png_files, render_inspection
from lamina.report.images import tile

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
SWIN = {"image_size": 24, "width": 8, "depths": (2, 1), "heads": (2, 2), "window": 3, "stem": "small", "num_classes": 3}


def content(**changes: Any) -> ImagePage:
    torch.manual_seed(0)
    model = lamina.create_model("swin-tiny", **SWIN)
    found = ImagePage(
        name="swin-photos",
        model="swin-tiny",
        image="photo.png",
        picture_HWC=np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8),
        seen=inspect_image(model, torch.randn(1, 3, 24, 24), 1, samples=2),
        target="cat",
        predictions=[("cat", "61 %"), ("dog", "30 %"), ("hen", "9 %")],
        allowed=[None, 18],
        facts={"weights": "the best of runs/swin-photos"},
    )
    return replace(found, **changes)


def test_the_page_is_complete() -> None:
    found = Page(render_inspection(content()))
    assert not found.open
    for words in (
        "swin-photos",
        "photo.png , explained for cat",
        "trained weights",
        "61 %",
        "Grad-CAM for cat, from the last feature maps",
        "stages.0.blocks.1.attn",
        "stage 1 6 × 6 18",
        "First-layer filters",
        "Feature maps: stage 1",
        "of the logit of cat",
        "the best of runs/swin-photos",
    ):
        assert words in found.text, words
    assert "learned nothing" not in found.text
    assert all((image["src"] or "").startswith("data:image/") for image in found.all("img"))
    random = Page(render_inspection(content(random=True))).text
    assert "This model has learned nothing" in random
    assert "trained weights" not in random


def test_names_are_escaped() -> None:
    names = dict.fromkeys(("name", "model", "image", "target"), EVIL)
    text = render_inspection(content(**names, predictions=[(EVIL, "1 %")], facts={EVIL: EVIL}))
    assert not Page(text).open
    assert "<script" not in text
    assert "<img src=x" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_what_shows_nothing_is_said() -> None:
    seen = content().seen
    nothing = replace(
        seen,
        cam_HW=torch.zeros(24, 24),
        fields=[torch.zeros(24, 24)] * 2,
        filters_OIHW=None,
        attention=[],
        gradients=[("stem.conv.weight", 0.0)],
    )
    found = Page(render_inspection(content(seen=nothing))).text
    assert "no position contributes to it" in found
    assert "no gradient arrives" in found
    assert "Zero or not finite: stem.conv.weight" in found
    assert "Attention" not in found
    assert set(png_files(content(seen=nothing))) == {"cam", "receptive-field", "stage-0", "stage-1"}


def test_the_files_are_pictures() -> None:
    files = png_files(content())
    assert set(files) == {"cam", "attention", "receptive-field", "filters", "stage-0", "stage-1", "gradients"}
    for name, data in files.items():
        picture = Image.open(io.BytesIO(data))
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("RGB")).std() > 5, name
    assert files == png_files(content()), "the same look gives the same bytes"


def test_the_heat_is_where_the_values_are() -> None:
    grey = np.full((24, 24, 1), 100, np.uint8)
    values = np.zeros((6, 6))
    values[1, 4] = 2.0
    shown = overlays.blocks(grey, values)
    assert shown.shape == (288, 288, 3)
    hot = (shown != 100).any(2)
    assert hot[48:96, 192:240].all()
    assert hot.sum() == 48 * 48
    assert not (overlays.heat(grey, np.zeros((24, 24))) != 100).any()


def test_lines_lie_between_windows() -> None:
    windows = np.zeros((4, 4), int)
    windows[:, 2:] = 1
    shown = overlays.windows(np.full((40, 40, 3), 100, np.uint8), windows, (3, 0))
    changed = (shown != 100).any(2)
    assert changed[5, 19:21].all()
    assert not changed[5, :18].any()
    assert not changed[5, 23:].any()
    assert changed[30:40, 0].all(), "the frame of the position marked"
    assert not changed[35, 5]


@pytest.mark.parametrize(("count", "size"), [(1, (112, 112)), (5, (528, 112)), (12, (632, 216)), (23, (840, 320))])
def test_a_sheet_has_room_for_every_tile_in_rows_of_like_length(count: int, size: tuple[int, int]) -> None:
    tiles = [tile(np.full((8, 8, 1), 10 * i, np.uint8), side=48) for i in range(count)]
    assert base64.b64decode(tiles[0].uri.partition(",")[2])[:4] == b"\x89PNG"
    picture = np.asarray(Image.open(io.BytesIO(sheet(tiles))).convert("L"))
    assert picture.shape[::-1] == size
    assert set(np.unique(picture)) == {255, *(10 * i for i in range(count))}


def test_a_sheet_has_the_captions_of_its_tiles() -> None:
    grey = np.full((8, 8, 1), 100, np.uint8)
    plain = np.asarray(Image.open(io.BytesIO(sheet([tile(grey, side=48)] * 2))).convert("L"))
    told = np.asarray(Image.open(io.BytesIO(sheet([tile(grey, side=48, caption="one\ntwo"), tile(grey, side=48)]))))
    height = plain.shape[0]
    assert told.shape[0] > height
    assert np.array_equal(told[: height - 8].mean(2).round(), plain[: height - 8])
    below = told[height - 8 :].min(2) < 128
    assert below[:, :108].any(), "the first tile's words"
    assert not below[:, 116:].any(), "the second has none"
    lines = below.any(1).astype(int)
    assert (np.diff(lines) == 1).sum() == 2


def test_the_gradients_of_many_weights_are_named_by_their_layers() -> None:
    rows = [(f"stages.{i // 10}.blocks.{i % 10}.attn.contract.weight", 0.1 + i) for i in range(60)]
    for count in (5, 60):
        text = Page(figures.gradient_flow(rows[:count])).text
        assert "stages.0.blocks.0.attn.contract" in text
        assert ".weight" not in text
        assert "…" not in text
