"""Cheap input checks: a wrong shape raises one clear error at once instead of an obscure one later."""

from __future__ import annotations

from torch import Tensor


def expect_image(x_BCHW: Tensor, channels: int, size: tuple[int, int] | None = None, min_size: int = 1) -> None:
    """Raise ValueError unless ``x_BCHW`` is (B, channels, H, W) with (H, W) equal to ``size`` or, if that is None, with
    H and W at least ``min_size``."""
    shape = tuple(x_BCHW.shape)
    if len(shape) != 4 or shape[1] != channels or (size is not None and shape[2:] != size):
        expected = f"(batch, {channels}, {size[0]}, {size[1]})" if size else f"(batch, {channels}, height, width)"
        raise ValueError(f"expected images of shape {expected}, got {shape}")
    if size is None and min(shape[2:]) < min_size:
        raise ValueError(f"expected images of at least {min_size} x {min_size} pixels, got {shape[2]} x {shape[3]}")


def expect_features(x: Tensor, features: int) -> Tensor:
    """Flatten ``x`` to (B, features). Raises ValueError if its samples do not hold ``features`` numbers.

    >>> expect_features(torch.zeros(2, 1, 28, 28), 784).shape
    torch.Size([2, 784])
    """
    if x.ndim < 2 or x.shape[1:].numel() != features:
        raise ValueError(f"expected inputs of {features} features each, (batch, {features}), got {tuple(x.shape)}")
    return x.flatten(1)
