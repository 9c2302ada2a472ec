"""Colour changes and erasing, on float images with black 0 and white 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lamina.data.image.augment.boxes import draw_boxes, inside
from lamina.data.streams import Batch


@dataclass(frozen=True, kw_only=True)
class ColourPCA:
    """AlexNet's colour augmentation: sum_i alpha_i lambda_i p_i is added to every pixel (Krizhevsky et al. 2012, 4.1).

    p_i and lambda_i are eigenvectors and eigenvalues of the covariance of the training pixels (black 0, white 1),
    alpha_i ~ N(0, ``std``), 0.1 in the paper, drawn once for each image. The result is not clipped.
    """

    std: float
    covariance: tuple[float, ...]
    """of the channels, row by row"""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample "offset" (C,)."""
        channels = round(len(self.covariance) ** 0.5)
        covariance = torch.tensor(self.covariance, dtype=torch.float64).view(channels, channels)
        values, vectors = torch.linalg.eigh(covariance)
        alpha_BC = torch.randn((size, channels), generator=generator, dtype=torch.float64) * self.std
        return {"offset": ((alpha_BC * values) @ vectors.T).to(torch.float32)}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" changed."""
        offset_BC = parameters["offset"].to(batch["image"].device, non_blocking=True)
        return {**batch, "image": batch["image"] + offset_BC[:, :, None, None]}


@dataclass(frozen=True, kw_only=True)
class Erasing:
    """With ``probability`` a box of the image is set to the mean colour (Zhong et al. 2017, arXiv 1708.04896).

    The box covers 2 % to 1/3 of the area, its aspect ratio lies between 0.3 and 3.3.
    """

    probability: float
    size: tuple[int, int]
    """height and width of the images"""
    fill: tuple[float, ...]
    """value of each channel in the box; the mean of the training images, which is 0 after normalisation"""

    def draw(self, size: int, generator: torch.Generator) -> Batch:
        """For each sample the box, and whether it is erased ("found")."""
        chosen = torch.rand(size, generator=generator) < self.probability
        box = draw_boxes(size, self.size, (0.02, 1 / 3), (0.3, 3.3), generator)
        return {**box, "found": box["found"] & chosen}

    def apply(self, batch: Batch, parameters: Batch) -> Batch:
        """The batch with its "image" changed."""
        image = batch["image"]
        erased = inside(parameters, self.size, image.device) & parameters["found"].to(image.device).view(-1, 1, 1, 1)
        return {**batch, "image": torch.where(erased, image.new_tensor(self.fill).view(1, -1, 1, 1), image)}
