"""A sequence of augmentations."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lamina.data.streams import Augment, Batch


@dataclass(frozen=True, kw_only=True)
class Chain:
    """First ``pixels``, on stored images, then ``colours``, on float32 images with black 0 and white 1.

    With any ``colours`` the result is float32, in the stored range of values.
    """

    pixels: tuple[Augment, ...] = ()
    colours: tuple[Augment, ...] = ()
    value_range: tuple[float, float] = (0.0, 255.0)
    """stored values of black and white"""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """The parameters of each part, drawn in order: adding one at the end does not change the others."""
        parts = enumerate((*self.pixels, *self.colours))
        return {f"{i}.{name}": v for i, part in parts for name, v in part.draw(size, generator).items()}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" changed, and "target" if images are mixed."""
        low, high = self.value_range
        for i, part in enumerate((*self.pixels, *self.colours)):
            if i == len(self.pixels):
                batch = {**batch, "image": (batch["image"].to(torch.float32) - low) / (high - low)}
            batch = part.apply(batch, {n.partition(".")[2]: v for n, v in parameters.items() if n.startswith(f"{i}.")})
        return {**batch, "image": batch["image"] * (high - low) + low} if self.colours else batch
