"""The view of runs of style transfer: the verb ``style``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lamina.data.image.resizing import convert_channels
from lamina.errors import UsageError
from lamina.runs.evaluation import predicting
from lamina.runs.image.view import ImageView
from lamina.stylisation.memory import fits, inference_bytes
from lamina.stylisation.pictures import Picture, as_picture, read, within
from lamina.stylisation.tiling import fixed_statistics, tiled

TILE = 512
"""side of the tiles of a picture that does not fit into memory, without their margins"""


@dataclass(frozen=True)
class StyleView(ImageView):
    """Runs of one style."""

    def style(self, content: Any, styles: Sequence[Any], options: Any) -> Picture:
        """The picture in the run's style, in its own size. Raises UsageError for a second picture, and for a picture
        smaller than the net's ``min_size``."""
        if styles:
            raise UsageError(f"{self.run.path} has learned one style: give the picture alone")
        return self._stylised(content, self.run.model)

    def _stylised(self, content: Any, call: Callable[[Tensor], Tensor]) -> Picture:
        """A picture through the net: whole if it fits into memory, otherwise in tiles with the statistics of the whole
        picture shrunk."""
        model = self.run.model
        x_BCHW = self._normalised(read(content))
        height, width = x_BCHW.shape[2:]
        smallest = model.min_size
        if min(height, width) < int(smallest):  # type: ignore[arg-type]
            raise UsageError(f"the picture has {width} x {height} pixels, the net needs at least {smallest} a side")
        with predicting(model):
            if fits(inference_bytes(model, call, height, width), x_BCHW.device):
                y_BCHW = call(x_BCHW)
            else:
                small_BCHW = _at_most(x_BCHW, 2 * TILE)
                with fixed_statistics(model, lambda: call(small_BCHW)):
                    y_BCHW = tiled(call, x_BCHW, TILE)
            return as_picture(self._scale.to_unit(y_BCHW))

    def _normalised(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = convert_channels(x_BCHW, self.images.channels)
        device = next(self.run.model.parameters()).device
        normalised_BCHW: Tensor = self._scale.from_unit(x_BCHW.to(device))
        return normalised_BCHW

    @property
    def _scale(self) -> Any:
        """The task's ``PixelScale``."""
        task: Any = self.run.task
        return task.scale


@dataclass(frozen=True)
class ArbitraryStyleView(StyleView):
    """Runs for any style."""

    def style(self, content: Any, styles: Sequence[Any], options: Any) -> Picture:
        """The picture in the style of another. Raises UsageError without exactly one style."""
        if len(styles) != 1:
            raise UsageError(f"{self.run.path} takes any style: give one picture of it after the content")
        model: Any = self.run.model
        style_BCHW = _at_most(self._normalised(read(styles[0])), 2 * TILE)
        with predicting(model):
            style_BDHW = model.encode(style_BCHW)[-1]
        return self._stylised(content, lambda x_BCHW: model.restyle(x_BCHW, style_BDHW, options.alpha))


def _at_most(x_BCHW: Tensor, side: int) -> Tensor:
    """The picture shrunk until no side has more pixels."""
    return within(x_BCHW, min(side, max(x_BCHW.shape[2:])))
