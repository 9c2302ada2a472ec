"""Random crops of the model's size, and random resized crops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lamina.data.image.augment.boxes import draw_boxes
from lamina.data.streams import Batch
from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A random crop of ``size`` from a larger image, without resizing (Krizhevsky et al. 2012, 4.1)."""

    stored: tuple[int, int]
    """height and width of the images"""
    size: tuple[int, int]
    """height and width of the crops"""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample "top" and "left" (int64, pixels)."""
        down, right = (whole - window + 1 for whole, window in zip(self.stored, self.size, strict=True))
        return {
            "top": torch.randint(down, (size,), generator=generator),
            "left": torch.randint(right, (size,), generator=generator),
        }

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" (B, C, H, W), of any type, cropped."""
        image = batch["image"]
        device, width = image.device, image.shape[3]
        rows_BH = parameters["top"].to(device)[:, None] + torch.arange(self.size[0], device=device)
        columns_BW = parameters["left"].to(device)[:, None] + torch.arange(self.size[1], device=device)
        index_BN = (rows_BH[:, :, None] * width + columns_BW[:, None, :]).flatten(1)
        cut = image.flatten(2).gather(2, index_BN[:, None].expand(-1, image.shape[1], -1))
        return {**batch, "image": cut.view(*image.shape[:2], *self.size)}


@dataclass(frozen=True, kw_only=True)
class ResizedCrop:
    """A random box of the image resized to ``size`` by antialiased bilinear interpolation (Szegedy et al. 2014).

    The box covers a share of the area uniform in ``scale``, its aspect ratio is between 3/4 and 4/3; it is the whole
    image if ten attempts find none that fits.
    """

    stored: tuple[int, int]
    size: tuple[int, int]
    scale: tuple[float, float] = (0.08, 1.0)

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise UsageError(
                f"resized_crop must be two shares of the area in (0, 1], smallest first, got {low:g},{high:g}"
            )

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample "top", "left", "rows", "columns" (int64, pixels)."""
        return draw_boxes(size, self.stored, self.scale, (3 / 4, 4 / 3), generator)

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" (B, C, H, W) resampled, in its own type."""
        image = batch["image"]
        box = {name: value.to(image.device) for name, value in parameters.items()}
        down_BHR = _weights(box["top"], box["rows"], self.size[0], image.shape[2])
        across_BWC = _weights(box["left"], box["columns"], self.size[1], image.shape[3])
        out = down_BHR[:, None] @ image.to(torch.float32) @ across_BWC[:, None].transpose(2, 3)
        return {**batch, "image": out if image.dtype.is_floating_point else out.round_().to(image.dtype)}


def _weights(start_B: Tensor, length_B: Tensor, out: int, full: int) -> Tensor:
    """(B, out, full): interpolation weights from ``full`` pixels to the ``out`` pixels of the part from ``start`` on.

    A triangle around the centre, one pixel of the coarser grid wide, cut at the ends of the part: the same as
    ``interpolate(..., antialias=True)`` of the part alone.
    """
    device = start_B.device
    start, length = start_B[:, None, None].to(torch.float32), length_B[:, None, None].to(torch.float32)
    centre = start + (torch.arange(out, device=device)[None, :, None] + 0.5) * (length / out)
    pixel = torch.arange(full, device=device)[None, None, :] + 0.5
    weight = (1 - (pixel - centre).abs() / (length / out).clamp_min(1.0)).clamp_min_(0.0)
    weight = weight * ((pixel > start) & (pixel < start + length))
    return weight / weight.sum(2, keepdim=True)
