"""The view of runs of image translation: pictures of one side as pictures of the other, in their own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from lamina.data.image.items import image_item, images_of
from lamina.data.image.resizing import convert_channels
from lamina.data.protocols import Preprocess
from lamina.data.source import Source
from lamina.errors import DataError, UsageError
from lamina.report.adversarial.inspection import AdversarialPage
from lamina.report.blocks import Section
from lamina.report.content import Outcome, ReportContent
from lamina.report.picture_grid import grid_png
from lamina.runs.data import parts_of
from lamina.runs.evaluation import like, predicting
from lamina.runs.image.cycles import CycleInspection, cycle_findings, cycle_sections, cycles_of
from lamina.runs.image.view import ImageView
from lamina.runs.image.whole import through
from lamina.runs.views.base import TrainingSamples
from lamina.runs.views.training_pictures import training_pictures
from lamina.tasks.adversarial.cycle import SIDES, channels_of, translators
from lamina.tasks.base import Task

SHOWN = 4
"""pictures of each side that are shown after an epoch"""


@dataclass(frozen=True)
class TranslatedPictures(TrainingSamples):
    """Pictures of each side, what becomes of them, and what comes back: a row each."""

    preprocess: Preprocess
    x: dict[str, torch.Tensor]
    """normalised pictures (N, C, H, W) of each side, in the channels of the data"""

    def picture(self, model: nn.Module) -> bytes:
        return grid_png(triptychs(self.preprocess, model, self.x), columns=6)


def triptychs(preprocess: Preprocess, model: nn.Module, x: dict[str, torch.Tensor]) -> list[Any]:
    """Of both sides in turn: a picture, translated, and back, (H, W, C) uint8."""
    device, rows = next(model.parameters()).device, []
    with predicting(model):
        for side, channels in zip(SIDES, channels_of(model), strict=True):
            there, back = translators(model, side)
            x_BCHW = convert_channels(x[side].to(device), channels)
            fake = there(x_BCHW)
            rows.append([part.float().cpu() for part in (x_BCHW, fake, back(fake))])
    data = preprocess.signature()[0].shape[0]
    found = []
    for parts in zip(*(part for row in rows for part in row), strict=True):
        found += [preprocess.undo(convert_channels(part[None], int(data))[0]) for part in parts]
    return found


@dataclass(frozen=True)
class ImageTranslationView(ImageView):
    """Translation, and pictures of cycles."""

    inspects: ClassVar[str] = ""
    has_stages: ClassVar[bool] = False

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples:
        return TranslatedPictures(preprocess, some_of(task, preprocess, source))

    def predict(self, items: Sequence[Any], options: Any) -> list[dict[str, Any]]:
        """{"picture": (H, W, C) uint8} for each item, in its own size. Raises UsageError or DataError naming it."""
        task: Any = self.run.task.predicted_with(options)
        model, images = self.run.model, self.images
        number = 1 - SIDES.index(task.direction)
        there, _ = translators(model, SIDES[number])
        found = []
        size = images.height, images.width
        for item in (one for given in items for one in images_of(given, images.channels, size)):
            stored = image_item(item, channels=images.channels, dtype=images.dtype, value_range=images.value_range)
            stored = convert_channels(stored[None], images.channels)
            height, width = stored.shape[2:]
            least = int(there.min_size)  # type: ignore[arg-type]  # a number of a generator
            if min(height, width) < least:
                name = item if isinstance(item, str) or hasattr(item, "name") else "an image"
                raise DataError(f"{name} has {width} x {height} pixels, the net needs at least {least} a side")
            x_BCHW = like(model, images.normalise({"image": stored}))["image"]
            y_BCHW = through(model, there, convert_channels(x_BCHW, channels_of(model)[number]))
            found.append(task.format_prediction({"picture": y_BCHW[0]}, images.target))
        return found

    def seen(self) -> CycleInspection:
        """A few pictures of each side and their cycles."""
        return cycles_of(self.run, some_of(self.run.task, self.run.preprocess, self.run.source))

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        return [*training_pictures(self.run), *cycle_sections(self.run, self.seen())]

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> Any:
        """Cycles of some pictures, and what the discriminators look at. Raises UsageError for a class and a stage."""
        if target is not None or stage is not None:
            what = "class" if target is not None else "stage"
            raise UsageError(f"{what} is for models that predict classes, but {self.run.path} translates")
        seen = self.seen()
        return AdversarialPage(
            name=self.run.directory.name,
            model=self.run.config.name,
            seen=seen,
            sections=cycle_sections(self.run, seen),
            predictions=cycle_findings(seen),
            facts={"model": self.run.config.name, "weights": f"the last of {self.run.path}"},
            what="pictures there and back, and the patches that the discriminators judge",
        )


def some_of(task: Task, preprocess: Preprocess, source: Source) -> dict[str, torch.Tensor]:
    """A few pictures of each side, normalised: of the validation split where it has some, else of training."""
    found = {}
    for side in SIDES:
        splits = [parts_of(source, split, task) for split in ("validation", "train") if split in source.splits]
        part: Any = next(one[side] for one in splits if side in one)
        samples: Any = preprocess.encode(part.subset(range(min(SHOWN, len(part)))), hold=True)
        found[side] = preprocess.prepare(samples.tensors)["image"]
    count = min(len(x) for x in found.values())
    return {side: x[:count] for side, x in found.items()}
