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
from lamina.runs.image.whole import TILE, at_most, through
from lamina.stylisation.pictures import Picture, as_picture, read


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
        """A picture through the net. Raises UsageError for one that is too small."""
        model = self.run.model
        x_BCHW = self._normalised(read(content))
        height, width = x_BCHW.shape[2:]
        smallest = model.min_size
        if min(height, width) < int(smallest):  # type: ignore[arg-type]  # a number
            raise UsageError(f"the picture has {width} x {height} pixels, the net needs at least {smallest} a side")
        return as_picture(self._scale.to_unit(through(model, call, x_BCHW)))

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
        style_BCHW = at_most(self._normalised(read(styles[0])), 2 * TILE)
        with predicting(model):
            style_BDHW = model.encode(style_BCHW)[-1]
        return self._stylised(content, lambda x_BCHW: model.restyle(x_BCHW, style_BDHW, options.alpha))
