"""Random changes of training images, drawn for the global batch and applied to all its samples at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lamina.data.streams import Batch
from lamina.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Geometric:
    """Mirrored left to right with probability 1/2, then moved by whole pixels up to ``shift`` each way.

    Works on (B, C, H, W) images of any type and channel count, before they are normalised; what moves in from outside
    is zero, the background. Crops of a zero-padded image, as the CIFAR-10 papers have them, are the same thing.
    """

    flip: bool = False
    shift: int = 0
    """pixels"""

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise UsageError(f"shift must not be negative, got {self.shift}")

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample: "flip" (bool), "down" and "right" (int64, pixels)."""
        # all three are drawn whatever is used, so that turning one on leaves the others as they were
        flip = torch.rand(size, generator=generator) < 0.5
        move = torch.randint(-self.shift, self.shift + 1, (2, size), generator=generator)
        return {"flip": flip if self.flip else torch.zeros_like(flip), "down": move[0], "right": move[1]}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" changed."""
        image_BCHW = batch["image"]
        if not (self.flip or self.shift):
            return batch
        return {**batch, "image": _moved(image_BCHW, parameters, self.shift)}


def _moved(image_BCHW: Tensor, parameters: Batch, shift: int) -> Tensor:
    """One gather from the zero-padded image: row r comes from row r - down, column c from c - right, mirrored."""
    batch, channels, height, width = image_BCHW.shape
    device = image_BCHW.device
    padded = functional.pad(image_BCHW, (shift, shift, shift, shift))
    rows_BH = torch.arange(height, device=device) - parameters["down"][:, None] + shift
    columns_BW = torch.arange(width, device=device) - parameters["right"][:, None] + shift
    wide = width + 2 * shift
    columns_BW = torch.where(parameters["flip"][:, None], wide - 1 - columns_BW, columns_BW)
    index_BN = (rows_BH[:, :, None] * wide + columns_BW[:, None, :]).flatten(1)
    moved = padded.flatten(2).gather(2, index_BN[:, None].expand(-1, channels, -1))
    return moved.view(batch, channels, height, width)
