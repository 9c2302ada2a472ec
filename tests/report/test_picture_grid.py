"""Animations can be read back, frame by frame, whatever the pictures are."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from lamina.report.content import Array
from lamina.report.picture_grid import MOST_FRAMES, animation_gif, grid_png


def frames(gif: bytes) -> list[Array]:
    return [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(gif)))]


def noise(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize(
    "shapes",
    [
        [(64, 64, 1)] * 3,
        [(64, 64, 3)] * 3,
        [(16, 16, 1), (16, 16, 3), (16, 16, 1)],
        [(4, 4, 1), (8, 8, 1), (60, 72, 1)],
        [(466, 466, 1), (466, 466, 3), (528, 528, 1)],
        [(5, 9, 4), (5, 9, 4)],
        [(1, 1, 1)],
    ],
)
def test_every_frame_of_a_mixture_is_read_back(shapes: list[tuple[int, ...]], back: bool) -> None:
    pictures = [noise(i, *shape) for i, shape in enumerate(shapes)]
    found = frames(animation_gif(pictures, back))
    assert len(found) == len(pictures) + (max(len(pictures) - 2, 0) if back else 0)
    assert len({frame.shape for frame in found}) == 1
    for picture, frame in zip(pictures, found, strict=False):  # what comes back is the same once more
        shown = picture if picture.shape[2] in (1, 3) else picture.mean(2, keepdims=True)
        assert abs(shown.mean() - frame.mean()) < 9


def test_greys_keep_their_places() -> None:
    """Sixteen greys: no pixel is further than half a step from what it was; every frame is told from the others."""
    pictures = [noise(i, 64, 64, 1) for i in range(12)]
    found = frames(animation_gif(pictures, back=False))
    for picture, frame in zip(pictures, found, strict=True):
        assert np.ptp(frame, axis=2).max() == 0
        assert np.abs(frame[..., 0].astype(int) - picture[..., 0]).max() <= 9


def test_a_colour_is_not_lost_among_greys() -> None:
    grey, red = np.full((64, 64, 1), 128, np.uint8), np.tile(np.array([250, 10, 10], np.uint8), (64, 64, 1))
    for order in ([grey, red, grey], [red, grey, red]):
        for picture, frame in zip(order, frames(animation_gif(order, back=False)), strict=True):
            assert np.abs(frame.astype(int) - picture).max() <= 8


def test_a_long_training_is_shown_from_beginning_to_end() -> None:
    levels = np.linspace(0, 255, 200).astype(np.uint8)
    found = frames(animation_gif([np.full((64, 64, 1), level, np.uint8) for level in levels], back=False))
    means = [frame.mean() for frame in found]
    assert (means[0], means[-1]) == (0, 255)
    assert len(found) <= MOST_FRAMES  # Pillow joins equal ones
    assert means == sorted(means)


def test_grids_of_a_net_that_grows_are_of_one_size() -> None:
    sizes = {Image.open(io.BytesIO(grid_png([noise(0, side, side, 1)] * 4))).size for side in (4, 8, 16, 32)}
    assert len(sizes) == 1


def test_an_animation_of_small_digits_is_small() -> None:
    """Sixty-four digits of 16 pixels, forty epochs, at half the size of the grids that a run keeps."""
    blurred = [np.kron(noise(i, 64, 64), np.ones((4, 4), np.uint8))[..., None] for i in range(40)]
    assert len(animation_gif(blurred, back=False)) < 600_000
