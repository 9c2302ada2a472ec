"""Images: the entry of the table of modalities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from lamina.data.image.decoding import header
from lamina.data.image.inputs import inputs
from lamina.data.image.preprocess import ImagePreprocess, fit_images
from lamina.data.image.requests import REQUESTS
from lamina.data.modality import holds
from lamina.data.protocols import Modality, Moments, Needs, Preprocess
from lamina.data.source import Source
from lamina.data.spec import DataSpec

IMAGENET: Moments = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""mean and std of ImageNet's training images, as published weights expect them"""


def fit(source: Source, needs: Needs) -> ImagePreprocess:
    """Fit the preprocess of images: channels and size from ``needs``; mean and standard deviation from the options, or
    from the resized training images (at most 10,000 evenly spaced ones of image files)."""
    augmentation = needs.augmentation
    return fit_images(
        source,
        needs.channels,
        needs.size,
        augmentation.resize,
        augmentation.crop,
        _moments(source.spec, needs),
        augmentation.colour_pca > 0,
        partial(_held, source=source, needs=needs),
        augmentation.binarise if needs.resumed is None else cast(ImagePreprocess, needs.resumed).binarise,
    )


def _held(preprocess: ImagePreprocess, source: Source, needs: Needs) -> bool:
    return holds(cast(Preprocess, preprocess), source, needs.memory)


def _moments(spec: DataSpec, needs: Needs) -> Moments | None:
    """Mean and standard deviation of the resumed run, the options or the given weights; None: fit them on the data."""
    channels = needs.channels or spec.channels or 3
    if needs.resumed is not None:
        resumed = cast(ImagePreprocess, needs.resumed)
        return resumed.mean, resumed.std
    named = needs.augmentation.normalisation
    if named == "auto" and not needs.pretrained and needs.image_range is not None:
        named = needs.image_range
    match named:
        case "imagenet":
            return IMAGENET
        case "half":
            return (0.5,) * channels, (0.5,) * channels
        case "unit":
            return (0.0,) * channels, (1.0,) * channels
        case "auto" if needs.pretrained:
            if needs.origin is None and needs.moments is not None and len(needs.moments[0]) == channels:
                return needs.moments
            if needs.origin is None:
                return IMAGENET if channels == 3 else None
            if needs.origin.kind == ImagePreprocess.kind:
                origin = cast(ImagePreprocess, needs.origin)
                return origin.mean, origin.std
    return None


def load(files: Mapping[str, Mapping[str, Any]]) -> ImagePreprocess:
    return ImagePreprocess.from_dict(files["preprocess.json"])


def describe(source: Source) -> dict[str, object]:
    """Channels, size and range of values."""
    spec = source.spec
    return {
        "channels": spec.channels,
        "height": spec.height,
        "width": spec.width,
        "value_range": list(spec.value_range),
    }


def extent(source: Source) -> tuple[int, int] | None:
    """The height and width of the images; of files that differ in size the medians of some of them."""
    spec = source.spec
    if spec.height is not None and spec.width is not None:
        return spec.height, spec.width
    files = getattr(source.splits["train"], "paths", ())
    heads = [header(file) for file in files[:: max(len(files) // SIZED, 1)]]
    heights, widths = sorted(one.height for one in heads), sorted(one.width for one in heads)
    return (heights[len(heads) // 2], widths[len(heads) // 2]) if heads else None


SIZED = 30
"""files whose size is read, of those that differ"""


MODALITY = Modality(
    name="image",
    noun="images",
    unit="image",
    fit=cast(Any, fit),
    load=cast(Any, load),
    example='"photo.png"',
    describe=describe,
    augments=True,
    extent=extent,
    enough=2000,
    inputs=inputs,
    rows=lambda item: False,
    requests=REQUESTS,
)
