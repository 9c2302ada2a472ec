"""Mixtures of two images and of their targets: mixup and CutMix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lamina.data.image.augment.boxes import inside
from lamina.data.streams import Batch
from lamina.torch_internals import sample_dirichlet


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Each image mixed with its neighbour in the batch: mixup (arXiv 1710.09412), CutMix (arXiv 1905.04899), or one
    of both at random for each batch if both are set.

    The share lambda of the image itself is drawn for the batch from Beta(alpha, alpha), as in the papers' code. Mixup:
    lambda x_i + (1 - lambda) x_j; CutMix: a box of x_j of area 1 - lambda, cut at the border, is pasted into x_i.
    Targets are mixed in the same way: class indices (B,) become probabilities (B, K). Neighbours are 0 and 1, 2 and 3,
    ...: the order is random anyway, and a process with part of the batch has both. The last of an odd number, in the
    batch of the remainder, stays as it is.

    Example: ``Mix(classes=10, mixup=0.2, cutmix=1.0)``
    """

    classes: int
    mixup: float = 0.0
    """alpha of mixup; 0: none"""
    cutmix: float = 0.0
    """alpha of CutMix; 0: none"""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """Parameters of the batch, repeated for each sample: "share" (lambda), "cut" (bool), centre "y" and "x"."""
        cut = bool(self.cutmix) and (not self.mixup or float(torch.rand((), generator=generator)) < 0.5)
        alpha = torch.full((2,), self.cutmix if cut else self.mixup, dtype=torch.float64)
        share = sample_dirichlet(alpha, generator)[0]  # a Beta distribution's two parts
        place = torch.rand(2, generator=generator)
        drawn = {"share": share.to(torch.float32), "cut": torch.tensor(cut), "y": place[0], "x": place[1]}
        return {name: value.expand(size) for name, value in drawn.items()}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with "image" and "target" mixed."""
        image, target = batch["image"], batch["target"]
        if target.ndim == 1:
            target = functional.one_hot(target, self.classes).to(torch.float32)
        share = parameters["share"]
        if bool(parameters["cut"][0]):
            height, width = image.shape[2:]
            box = _box(parameters, height, width)
            share = 1 - (box["rows"] * box["columns"]).to(torch.float32) / (height * width)
            mixed = torch.where(inside(box, (height, width), image.device), _neighbour(image), image)
        else:
            own = share.to(image.device).view(-1, 1, 1, 1)
            mixed = own * image + (1 - own) * _neighbour(image)
        own = share.to(target.device)[:, None]
        return {**batch, "image": mixed, "target": own * target + (1 - own) * _neighbour(target)}


def _neighbour(x: Tensor) -> Tensor:
    pairs = x[: len(x) // 2 * 2].view(-1, 2, *x.shape[1:]).flip(1).flatten(0, 1)
    return pairs if len(pairs) == len(x) else torch.cat([pairs, x[-1:]])


def _box(drawn: Batch, height: int, width: int) -> Batch:
    """A box of the image's aspect ratio around the drawn centre, cut at the border."""
    side = (1 - drawn["share"]).sqrt()
    box: Batch = {}
    for at, start, extent, full in (("y", "top", "rows", height), ("x", "left", "columns", width)):
        long, centre = (full * side).long(), (full * drawn[at]).long()
        first, last = (centre - long // 2).clamp(0, full), (centre + long // 2).clamp(0, full)
        box |= {start: first, extent: last - first}
    return box
