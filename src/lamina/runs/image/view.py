"""The view of runs on images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import nn

from lamina.data.image.preprocess import ImagePreprocess, Picture
from lamina.data.image.samples import ImageFiles
from lamina.data.source import Samples, Source
from lamina.report.content import Array, Internals
from lamina.report.image.inspection import ImagePage
from lamina.runs.evaluation import like, predicting
from lamina.runs.image.crops import ten_cropped
from lamina.runs.image.inspection import inspect_model, inspect_run
from lamina.runs.views.base import View
from lamina.runs.views.mistakes import Sample


@dataclass(frozen=True)
class ImageView(View):
    """Images: mistakes as pictures, filters, feature maps, Grad-CAM; evaluation over ten crops."""

    inspects: ClassVar[str] = "image"
    has_stages: ClassVar[bool] = True

    @classmethod
    def inspect_model(
        cls, name: str, item: Any, target: str | int | None, stage: int | None, weights: str | None
    ) -> ImagePage:
        return inspect_model(name, item, target, stage, weights)

    @property
    def images(self) -> ImagePreprocess:
        return cast(ImagePreprocess, self.run.preprocess)

    def assumed(self) -> Mapping[str, object]:
        """Size and normalisation of the images."""
        images = self.images
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (images.mean, images.std))
        given = self.run.config.recipe.augmentation.normalisation
        fitted = given == "data" or (given == "auto" and images.channels != 3)
        whose = " of these data (--normalisation sets others)" if fitted else ""
        size = f"{images.channels} x {images.height} x {images.width}, {images.resize}"
        return {"images": size, "normalisation": f"mean {mean}, deviation {std}{whose}"}

    def evaluate(self, split: str | None, source: Source | None, options: Any) -> dict[str, float]:
        """``crops=10``: metrics of the mean over ten windows of each image (corners, centre, mirrored)."""
        if getattr(options, "crops", 1) == 1:
            return super().evaluate(split, source, options)
        model, larger = ten_cropped(self.run.model, self.images, self.run.task)
        return self.run.measure(split, source, model, larger)

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> ImagePage:
        return inspect_run(self.run, self.images, item, target, stage)

    def sample(self, split: str, index: int, output: int) -> Sample:
        samples = self.run.source.splits[split]
        where = samples.paths[index].name if isinstance(samples, ImageFiles) else f"{split} image {index}"
        return {"where": where, "image_HWC": self.picture(split, index)}

    def internals(self, split: str) -> Internals:
        found: dict[str, Any] = {}
        convolutions = [module for module in self.run.model.modules() if isinstance(module, nn.Conv2d)]
        if convolutions:
            found["filters_OIHW"] = convolutions[0].weight.detach().float().numpy()
        if hasattr(self.run.model, "features"):
            found["example_HWC"] = self.picture(split, 0)
            found["maps"] = self.maps(split)
        return Internals(gradients=self.gradients(), **found)

    def picture(self, split: str, index: int) -> Picture:
        """One image as it is held, before normalisation: (H, W, C) uint8."""
        return self.images.stored_picture(self._one(split, index)["image"][0])

    def maps(self, split: str) -> list[tuple[str, Array]]:
        """The feature maps of the first image by stage."""
        batch = like(self.run.model, self.images.prepare(self._one(split, 0)))
        with predicting(self.run.model):
            maps = self.run.model.features(batch[self.images.input_key])  # type: ignore[operator]
        return [(f"stage {i}", stage[0].float().numpy()) for i, stage in enumerate(maps)]

    def _one(self, split: str, index: int) -> dict[str, Any]:
        one = cast(Samples, self.run.source.splits[split]).subset([index])
        samples: Any = self.images.encode(one, hold=True)
        return dict(samples.tensors)
