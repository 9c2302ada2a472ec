"""Ten-crop evaluation: the mean of what a model says of ten windows of an image (Krizhevsky et al. 2012, 4.1)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.preprocess import Preprocess
from lamina.errors import UsageError

TASKS = ("classification", "multilabel", "regression")


class TenCrops(nn.Module):
    """Images (B, C, H, W) larger than the model's -> its mean over the corners, the centre and their mirror images.

    Probabilities are averaged and given as logits again, so that every task reads them as it reads one output; values
    of a regression are averaged as they are.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int], task: str) -> None:
        super().__init__()
        self.model, self.size, self.task = model, size, task

    def forward(self, x_BCHW: Tensor) -> Tensor:
        mean_BK = torch.stack([self._said(window) for window in ten_crops(x_BCHW, self.size)]).mean(0)
        match self.task:
            case "classification":
                return mean_BK.clamp_min(torch.finfo(mean_BK.dtype).tiny).log()
            case "multilabel":
                return mean_BK.logit(eps=1e-7)
        return mean_BK

    def _said(self, x_BCHW: Tensor) -> Tensor:
        out_BK: Tensor = self.model(x_BCHW)
        match self.task:
            case "classification":
                return out_BK.softmax(1)
            case "multilabel":
                return out_BK.sigmoid()
        return out_BK


def ten_crops(x_BCHW: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """Windows of (height, width): top left, top right, bottom left, bottom right, centre; then those mirrored."""
    height, width = size
    down, right = x_BCHW.shape[2] - height, x_BCHW.shape[3] - width
    places = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    five = [x_BCHW[:, :, top : top + height, left : left + width] for top, left in places]
    return five + [window.flip(3) for window in five]


def ten_cropped(model: nn.Module, preprocess: Preprocess, task: str) -> tuple[nn.Module, ImagePreprocess]:
    """The model over ten windows, and the preprocessing that gives it whole images: of the size that the run's own
    windows are cut from, where it was trained on such, else 8/7 of the model's (256 for 224).

    Raises UsageError for data that are no images, and for tasks whose outputs have no mean.
    """
    if not isinstance(preprocess, ImagePreprocess):
        what = "text" if preprocess.kind == "text" else "a table"
        raise UsageError(f"ten crops are cut from images, but the run was trained on {what}")
    if task not in TASKS:
        raise UsageError(f"the outputs of the task '{task}' have no mean over ten crops")
    size = (preprocess.height, preprocess.width)
    height, width = preprocess.held if preprocess.held != size else (round(side * 8 / 7) for side in size)
    return TenCrops(model, size, task), replace(preprocess, crop=None, height=height, width=width)
