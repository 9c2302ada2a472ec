"""Random flips and shifts of training images.

All augmentation is drawn for the global batch and applied to whole batches; see also ``crop``, ``policy``, ``colour``
and ``mix``, which ``chain`` combines.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lamina.data.streams import Batch
from lamina.errors import UsageError

LARGE = 2**14
"""values of an image above which copying image by image is faster on the CPU than gathering values"""


@dataclass(frozen=True, kw_only=True)
class Geometric:
    """A horizontal flip with probability 1/2, then a shift by up to ``shift`` pixels in each direction.

    Works on (B, C, H, W) images of any type and number of channels before normalisation, padded with zeros. Equivalent
    to random crops of a zero-padded image, as in the CIFAR-10 papers.

    Example: ``Geometric(flip=True, shift=4)``
    """

    flip: bool = False
    shift: int = 0
    """pixels"""

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise UsageError(f"shift must not be negative, got {self.shift}")

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample: "flip" (bool), "down" and "right" (int64, pixels)."""
        # all three are always drawn, so that enabling one does not change the others
        flip = torch.rand(size, generator=generator) < 0.5
        move = torch.randint(-self.shift, self.shift + 1, (2, size), generator=generator)
        return {"flip": flip if self.flip else torch.zeros_like(flip), "down": move[0], "right": move[1]}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" changed."""
        image_BCHW = batch["image"]
        if not (self.flip or self.shift):
            return batch
        if image_BCHW.device.type == "cpu" and image_BCHW[0].numel() > LARGE:
            return {**batch, "image": _moved_one_by_one(image_BCHW, parameters)}
        on_device = {name: value.to(image_BCHW.device, non_blocking=True) for name, value in parameters.items()}
        return {**batch, "image": _moved(image_BCHW, on_device, self.shift)}


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


def _moved_one_by_one(image_BCHW: Tensor, parameters: Batch) -> Tensor:
    """The same by copying the visible part of each image with numpy, which starts no other threads."""
    height, width = image_BCHW.shape[2:]
    flips, moves = parameters["flip"], torch.stack([parameters["down"], parameters["right"]], 1).tolist()
    mirrored = iter(image_BCHW[flips].flip(3).numpy())
    out_BCHW = torch.zeros_like(image_BCHW)
    for image, out, flip, (down, right) in zip(
        image_BCHW.numpy(), out_BCHW.numpy(), flips.tolist(), moves, strict=True
    ):
        moved = next(mirrored) if flip else image
        out[:, _part(down, height), _part(right, width)] = moved[:, _part(-down, height), _part(-right, width)]
    return out_BCHW


def _part(move: int, length: int) -> slice:
    """The destination of values shifted by ``move``; with the opposite sign, their origin."""
    return slice(max(move, 0), max(length + move, 0))
