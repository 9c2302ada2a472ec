"""Pictures too large for the memory, computed in tiles without seams.

Instance normalisation knows the whole picture: its statistics are measured on the picture shrunk until it fits, and
fixed for the tiles. Tiles overlap by more than the receptive field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lamina.layers.instance_statistics import InstanceNorm, InstanceStatistics


@contextmanager
def fixed_statistics(model: nn.Module, measure: Callable[[], object]) -> Iterator[None]:
    """Inside, instance statistics are those of the first pass of ``measure``, in place of each tile's own."""
    layers = [layer for layer in model.modules() if isinstance(layer, InstanceNorm | InstanceStatistics)]

    def fix(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, InstanceNorm | InstanceStatistics)
        layer.fixed = layer.measure(args[0])

    hooks = [layer.register_forward_pre_hook(fix) for layer in layers]
    try:
        with torch.no_grad():
            measure()
        for hook in hooks:
            hook.remove()
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            layer.fixed = None


def tiled(
    call: Callable[[Tensor], Tensor], x_BCHW: Tensor, tile: int, *, margin: int = 128, multiple: int = 8
) -> Tensor:
    """``call`` on tiles of at most ``tile`` pixels a side, each with ``margin`` pixels around it that are cut off.

    Tiles begin at multiples of ``multiple``, so that every layer's grid is that of the whole picture.
    """
    height, width = x_BCHW.shape[2:]
    step = max(tile // multiple, 1) * multiple
    out_BCHW: Tensor | None = None
    for top in range(0, height, step):
        for left in range(0, width, step):
            bottom, right = min(top + step, height), min(left + step, width)
            above, before = max(top - margin, 0), max(left - margin, 0)
            part = call(x_BCHW[:, :, above : bottom + margin, before : right + margin])
            if out_BCHW is None:
                out_BCHW = part.new_empty(*part.shape[:2], height, width)
            out_BCHW[:, :, top:bottom, left:right] = part[
                :, :, top - above : bottom - above, left - before : right - before
            ]
    assert out_BCHW is not None
    return out_BCHW
