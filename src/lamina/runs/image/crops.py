"""Ten-crop evaluation: the mean of a model's outputs over ten windows of an image (Krizhevsky et al. 2012, 4.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from torch import Tensor, nn

from lamina.data.image.preprocess import ImagePreprocess
from lamina.errors import UsageError
from lamina.tasks.base import OneOutput, Task


class TenCrops(nn.Module):
    """Images (B, C, H, W) larger than the model's -> its mean over the corners, the centre and their mirror images.

    The task defines the mean of its outputs: for classification the logits of the mean probabilities, for regression
    the mean of the values.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int], task: OneOutput) -> None:
        super().__init__()
        self.model, self.size, self.task = model, size, task

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.task.mean_of_outputs([self.model(window) for window in ten_crops(x_BCHW, self.size)])


def ten_crops(x_BCHW: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """Windows of (height, width): top left, top right, bottom left, bottom right, centre; then those mirrored."""
    height, width = size
    down, right = x_BCHW.shape[2] - height, x_BCHW.shape[3] - width
    places = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    five = [x_BCHW[:, :, top : top + height, left : left + width] for top, left in places]
    return five + [window.flip(3) for window in five]


def ten_cropped(model: nn.Module, preprocess: ImagePreprocess, task: Task) -> tuple[nn.Module, ImagePreprocess]:
    """The model over ten windows, and the preprocessing that gives it whole images: of the size that the run's own
    windows are cut from, where it was trained on such, else 8/7 of the model's (256 for 224).

    Raises UsageError for tasks whose outputs have no mean.
    """
    if not hasattr(task, "mean_of_outputs"):
        raise UsageError(f"the outputs of the task '{task.name}' have no mean over ten crops")
    size = (preprocess.height, preprocess.width)
    height, width = preprocess.held if preprocess.held != size else (round(side * 8 / 7) for side in size)
    cropped = replace(preprocess, crop=None, height=height, width=width)
    return TenCrops(model, size, cast(OneOutput, task)), cropped
