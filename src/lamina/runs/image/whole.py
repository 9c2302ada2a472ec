"""Pictures of any size through a fully convolutional net: whole, or in tiles where memory is short."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from lamina.runs.evaluation import predicting
from lamina.stylisation.memory import fits, inference_bytes
from lamina.stylisation.pictures import within
from lamina.stylisation.tiling import fixed_statistics, tiled

TILE = 512
"""side of the tiles of a picture that does not fit into memory, without their margins"""


def through(model: nn.Module, call: Callable[[Tensor], Tensor], x_BCHW: Tensor) -> Tensor:
    """``call``, a pass through ``model``, for a picture: whole if it fits into memory, otherwise in tiles with the
    statistics of the whole picture shrunk."""
    channels, height, width = x_BCHW.shape[1:]
    with predicting(model):
        if fits(inference_bytes(model, call, height, width, channels), x_BCHW.device):
            return call(x_BCHW)
        small_BCHW = at_most(x_BCHW, 2 * TILE)
        with fixed_statistics(model, lambda: call(small_BCHW)):
            return tiled(call, x_BCHW, TILE)


def at_most(x_BCHW: Tensor, side: int) -> Tensor:
    """The picture shrunk until no side has more pixels."""
    return within(x_BCHW, min(side, max(x_BCHW.shape[2:])))
