"""Cheap checks at a model's door: a wrong shape gets one clear error instead of one from deep inside."""

from __future__ import annotations

from torch import Tensor


def expect_image(x_BCHW: Tensor, channels: int, size: tuple[int, int] | None = None, min_size: int = 1) -> None:
    """Raise ValueError unless ``x_BCHW`` is (B, channels, H, W), of the height and width ``size`` where that is given,
    else of at least ``min_size`` pixels a side."""
    shape = tuple(x_BCHW.shape)
    if len(shape) != 4 or shape[1] != channels or (size is not None and shape[2:] != size):
        wanted = f"(batch, {channels}, {size[0]}, {size[1]})" if size else f"(batch, {channels}, height, width)"
        raise ValueError(f"expected images of shape {wanted}, got {shape}")
    if size is None and min(shape[2:]) < min_size:
        raise ValueError(f"expected images of at least {min_size} x {min_size} pixels, got {shape[2]} x {shape[3]}")


def expect_features(x: Tensor, features: int) -> Tensor:
    """``x``, (B, features) or of more dimensions that hold so many numbers (an image), as (B, features).

    Raises ValueError for any other shape.
    """
    if x.ndim < 2 or x.shape[1:].numel() != features:
        raise ValueError(f"expected inputs of {features} features each, (batch, {features}), got {tuple(x.shape)}")
    return x.flatten(1)
