"""Preprocessing of images: channels and size as stored, then (on the device) normalised floats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lamina.data.image.augment.recipe import make_augment
from lamina.data.image.binarising import drawn, thresholded
from lamina.data.image.decoding import ImageFile, decode, decode_all, unreadable
from lamina.data.image.in_graph import PictureInput
from lamina.data.image.items import AT_ONCE, image_item, images_of
from lamina.data.image.resizing import Resize, centre, convert_channels, resize
from lamina.data.image.samples import ImageArrays, ImageFiles, spaced
from lamina.data.protocols import BatchOptions, Input, Moments, Signature
from lamina.data.source import Source, Split
from lamina.data.streams import Batch, InMemory, Stream, Streamed, in_order, shuffled
from lamina.data.targets.code import TargetCode, fit_targets
from lamina.errors import DataError, UsageError

Stored = Literal["uint8", "int32", "float32"]
CHUNK_VALUES = 2**20
"""pixel values processed at once, to avoid a float copy of the whole data set"""
FILES_MEASURED = 10_000
"""maximum number of evenly spaced files for mean and std: enough for five digits"""
Binarise = Literal["none", "threshold", "once", "always"]
Picture = np.ndarray[Any, np.dtype[np.uint8]]
"""(H, W, C)"""


@dataclass(frozen=True, kw_only=True)
class ImagePreprocess:
    """All processing of an image before the model; fitted on train, saved with the run.

    Example: ``fit_preprocess(open_source("digits"), Needs(size=(32, 32))).encode_input("seven.png")``
    """

    kind: ClassVar[str] = "image"
    input_key: ClassVar[str] = "image"
    notes: ClassVar[tuple[str, ...]] = ()

    target: TargetCode
    channels: int
    height: int
    width: int
    resize: Resize = "stretch"
    crop: int | None = None
    """side that images are resized to and held at, larger than the model's, which sees crops of them"""
    dtype: Stored = "uint8"
    """type in memory until ``prepare``; 16-bit images are int32, since torch lacks operations for uint16"""
    value_range: tuple[float, float] = (0.0, 255.0)
    """stored values that become 0 and 1"""
    mean: tuple[float, ...]
    """of each channel, with black 0 and white 1: of the resized training images, or given"""
    std: tuple[float, ...]
    covariance: tuple[float, ...] = ()
    """of the channels over the same pixels, row by row, if requested; not saved, since only training needs it"""
    binarise: Binarise = "none"
    """how pixels become black or white: not; by a threshold; by one draw each; in training by another every epoch"""
    kept: tuple[ImageFiles, Tensor] | None = field(default=None, compare=False, repr=False)
    """files decoded for fitting and their encoded images, so that they are not decoded again"""

    @property
    def held(self) -> tuple[int, int]:
        """Height and width of images in memory."""
        return (self.height, self.width) if self.crop is None else (self.crop, self.crop)

    def model_options(self) -> dict[str, int]:
        """Model options determined by the data; those that the model has are set."""
        options = {
            "in_channels": self.channels,
            "in_features": self.channels * self.height * self.width,
            "num_classes": self.target.outputs,
        }
        return options | ({"image_size": self.height} if self.height == self.width else {})

    def signature(self) -> Signature:
        scaled = [[(value - mean) / std for mean, std in zip(self.mean, self.std, strict=True)] for value in (0, 1)]
        bounds = min(scaled[0]), max(scaled[1])
        return (Input(self.input_key, "float32", (self.channels, self.height, self.width), bounds=bounds),)

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """One tensor, by position."""
        return (batch[self.input_key],), {}

    def bytes_of(self, split: Split) -> int:
        """Bytes of memory of a split that is held."""
        each = {"uint8": 1, "int32": 4, "float32": 4}[self.dtype]
        height, width = self.held
        return len(split) * self.channels * height * width * each

    def encode(self, split: Split, hold: bool = True) -> InMemory | Streamed:
        """A split as {"image": (N, C, H, W) as stored, "target"}: decoded and resized now (``hold``), or
        sample by sample, with the same results.

        Raises DataError, naming the files, for unreadable files (now, or when they are loaded), and for images whose
        type or channels cannot be converted to those of training.
        """
        self._check(split)
        targets = self.target.encoded(split)
        if not hold:
            loader = FileLoader(self, split.paths, targets) if isinstance(split, ImageFiles) else None
            return Streamed(len(split), loader or ArrayLoader(self, _arrays(split).images_NCHW, targets))
        return InMemory({"image": self._held(split), **targets})

    def adapt(self, images_NCHW: Tensor) -> Tensor:
        """Convert stored images to the model's channels and the held size, black and white where that is requested;
        the type is unchanged (uint16 becomes int32)."""
        if images_NCHW.dtype == torch.uint16:
            images_NCHW = images_NCHW.to(torch.int32)
        adapted = resize(convert_channels(images_NCHW, self.channels), self.held, self.resize)
        return self._binary(adapted) if self.held_binary else adapted

    @property
    def held_binary(self) -> bool:
        """Whether images are made black and white before they are held."""
        return self.binarise in ("threshold", "once")

    def _binary(self, images_NCHW: Tensor) -> Tensor:
        make = thresholded if self.binarise == "threshold" else drawn
        return make(images_NCHW, self.value_range)

    def prepare(self, batch: Batch) -> Batch:
        """On the device: larger images centre-cropped, then normalised; other entries unchanged.

        ``binarise="always"``: drawn here, unless they are in black and white already, drawn for training.
        """
        image = centre(batch["image"], (self.height, self.width))
        return self.normalise({**batch, "image": self._binary(image) if self.binarise == "always" else image})

    def normalise(self, batch: Batch) -> Batch:
        """Images of any size as float32, scaled to [0, 1] and normalised; other entries unchanged."""
        image = batch["image"]
        scale, shift = _affine(self.value_range, self.mean, self.std, image.device)
        values = image.to(torch.float32)
        # in place if the floats are a copy: touching new memory costs more than the arithmetic
        return {**batch, "image": torch.addcmul(shift, values, scale, out=None if values is image else values)}

    def encode_input(self, item: object) -> Batch:
        """One image, {"image": (1, C, H, W)}, encoded as by ``encode``: a path, a PIL image, or an array.

        Arrays: numpy (H, W) or (H, W, C), torch (H, W) or (C, H, W); integers, or floats from 0 to 1 unless the
        training data were floats. Raises UsageError or DataError.
        """
        image_CHW = image_item(
            item, channels=self.channels, dtype=self.dtype, value_range=self.value_range, min_size=max(self.held)
        )
        return {"image": self.adapt(image_CHW[None])}

    def input_batches(self, item: object) -> Iterator[Batch]:
        """``encode_input``, prepared: one image, or many as a list or an array (N, ...), in batches.

        Raises UsageError or DataError.
        """
        images = images_of(item, self.channels, (self.height, self.width))
        while batch := [self.encode_input(image)["image"] for image in islice(images, AT_ONCE)]:
            yield self.prepare({"image": torch.cat(batch)})

    def pictures(self, item: object) -> Iterator[Tensor]:
        """The images of an input as they are, (1, H, W, C) uint8 in the channels of training: what a file takes that
        holds this preprocessing itself. Raises UsageError or DataError."""
        for image in images_of(item, self.channels, (self.height, self.width)):
            image_CHW = image_item(
                image, channels=self.channels, dtype=self.dtype, value_range=self.value_range, min_size=max(self.held)
            )
            yield convert_channels(image_CHW[None], self.channels).permute(0, 2, 3, 1).contiguous()

    def as_module(self) -> nn.Module:
        """From ``pictures`` to what the model takes, as operations on tensors. Raises UsageError for preprocessing that
        cannot be: of other images than bytes, or to black and white."""
        if self.dtype != "uint8":
            raise UsageError(f"with_preprocessing is for images of bytes, but these are stored as {self.dtype}")
        if self.binarise != "none":
            raise UsageError(f"with_preprocessing cannot make images black and white (binarise={self.binarise})")
        affine = _affine(self.value_range, self.mean, self.std, torch.device("cpu"))
        return PictureInput(self.held, (self.height, self.width), self.resize, *affine)

    def undo(self, value: Tensor) -> Picture:
        """A picture (H, W, C) uint8 from a normalised image (C, H, W), of ``prepare`` or a model."""
        mean_C11, std_C11 = (value.new_tensor(part)[:, None, None] for part in (self.mean, self.std))
        return _picture(value * std_C11 + mean_C11)

    def attributed(self, values: Tensor) -> dict[str, float]:
        """Values of a sample (C, H, W) by pixel, channels added up."""
        by_pixel_HW = values.reshape(self.channels, self.height, self.width).sum(0).tolist()
        return {f"row {i}, column {j}": v for i, row in enumerate(by_pixel_HW) for j, v in enumerate(row)}

    def stored_picture(self, value: Tensor) -> Picture:
        """A picture (H, W, C) uint8 from an encoded image (C, H, W) of any size."""
        low, high = self.value_range
        return _picture((value.float() - low) / (high - low))

    def training_stream(self, samples: InMemory | Streamed, options: BatchOptions) -> Stream:
        """Shuffled training batches with the recipe's augmentation."""
        augment = make_augment(self, options)
        return shuffled(samples, options.recipe, options.place, self.prepare, augment, options.whole)

    def evaluation_batches(
        self, samples: InMemory | Streamed, options: BatchOptions, workers: int = 0
    ) -> Iterable[Batch]:
        """Every image once, in order."""
        return in_order(samples, options.recipe, options.place, self.prepare, workers)

    def load_file(self, path: ImageFile) -> Tensor:
        """The encoded image (C, H, W) of a file. Raises DataError naming it."""
        image_CHW = decode(path, self.channels, deep=self.dtype == "int32", min_size=max(self.held))
        return self.adapt(image_CHW[None])[0]

    def files(self) -> dict[str, dict[str, Any]]:
        return {"preprocess.json": self.to_dict()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data; ``load_preprocess`` reads it."""
        return {
            "format": 1,
            "kind": self.kind,
            "target": self.target.to_dict(),
            "channels": self.channels,
            "height": self.height,
            "width": self.width,
            "resize": self.resize,
            "crop": self.crop,
            "dtype": self.dtype,
            "value_range": list(self.value_range),
            "mean": list(self.mean),
            "std": list(self.std),
            "binarise": self.binarise,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImagePreprocess:
        values: dict[str, Any] = {key: data[key] for key in ("channels", "height", "width", "resize", "dtype")}
        values["crop"] = data.get("crop")  # runs of the first versions have none
        values["binarise"] = data.get("binarise", "none")
        values |= {key: tuple(data[key]) for key in ("value_range", "mean", "std")}
        return cls(target=TargetCode.from_dict(data["target"]), **values)

    def _check(self, split: Split) -> None:
        """Raise DataError for images of another source that cannot be converted correctly."""
        if isinstance(split, ImageArrays):
            images = split.images_NCHW
            dtype = torch.int32 if images.dtype == torch.uint16 else images.dtype
            if dtype != getattr(torch, self.dtype):
                raise DataError(f"the model was trained on images stored as {self.dtype}, but these are {images.dtype}")
            have = {images.shape[1]}
        else:
            if self.dtype == "float32":
                raise DataError("the model was trained on arrays of floating-point images, but these are files")
            have = {3}
        if have != {self.channels} and not {*have, self.channels} <= {1, 3}:
            raise DataError(f"the model was trained on images of {self.channels} channels, but these have {have.pop()}")

    def _held(self, split: Split) -> Tensor:
        if isinstance(split, ImageArrays):
            images = split.images_NCHW
            same = tuple(images.shape[1:]) == (self.channels, *self.held) and images.dtype != torch.uint16
            if same and not self.held_binary:
                return images
        elif self.kept is not None and self.kept[0] is split and self.kept[1].shape[2:] == self.held:
            return self.kept[1]
        out = torch.empty(len(split), self.channels, *self.held, dtype=getattr(torch, self.dtype))
        if isinstance(split, ImageFiles):
            to_NCHW = out.numpy()

            def fill(index: int) -> None:
                to_NCHW[index] = self.load_file(split.paths[index]).numpy()

            for _ in decode_all(range(len(split)), fill):
                pass
            return out
        start = 0
        for chunk in _chunks(self, split):
            out[start : start + len(chunk)] = chunk
            start += len(chunk)
        return out


@dataclass(frozen=True)
class FileLoader:
    """Loads sample i from image files; a picklable object for workers."""

    preprocess: ImagePreprocess
    paths: tuple[ImageFile, ...]
    targets: Batch

    def __call__(self, index: int) -> Batch:
        try:
            image = self.preprocess.load_file(self.paths[index])
        except DataError as error:
            raise unreadable([error], len(self.paths)) from error
        return {"image": image, **{name: value[index] for name, value in self.targets.items()}}


@dataclass(frozen=True)
class ArrayLoader:
    """Loads sample i from an array, resized on demand."""

    preprocess: ImagePreprocess
    images_NCHW: Tensor
    targets: Batch

    def __call__(self, index: int) -> Batch:
        image = self.preprocess.adapt(self.images_NCHW[index : index + 1])[0]
        return {"image": image, **{name: value[index] for name, value in self.targets.items()}}


def fit_images(
    source: Source,
    channels: int | None,
    size: tuple[int, int] | None,
    mode: Resize,
    crop: int | None = None,
    moments: Moments | None = None,
    covariance: bool = False,
    hold: Callable[[ImagePreprocess], bool] = lambda _: False,
    binarise: Binarise = "none",
) -> ImagePreprocess:
    """The preprocess of an image source; see ``image.modality.fit``. ``hold`` decides whether its images are held."""
    spec = source.spec
    have = spec.channels or 3  # grey and colour mixed: colour
    target = have if channels is None else channels
    if target != have and not {target, have} <= {1, 3}:
        raise UsageError(
            f"images of {spec.name} have {have} channels, but {target} are requested: only 1 and 3 can be converted"
        )
    if size is None:
        if spec.height is None or spec.width is None:
            raise UsageError(
                f"images of {spec.name} differ in size: set the size to resize them to (--model.image-size)"
            )
        size = (spec.height, spec.width)
    if crop is not None and crop < max(size):
        raise UsageError(f"crop={crop}: windows of {size[0]} x {size[1]} pixels cannot be cut from smaller images")
    if moments is not None and len(moments[0]) != target:
        raise UsageError(f"normalisation: mean and std are for {len(moments[0])} channels, but the model has {target}")
    train = source.splits["train"]
    deep = spec.value_range == (0.0, 65535.0)
    stored: Stored = "int32" if deep else "uint8"
    if isinstance(train, ImageArrays) and train.images_NCHW.dtype == torch.float32:
        stored = "float32"
    draft = ImagePreprocess(
        target=fit_targets(source),
        channels=target,
        height=size[0],
        width=size[1],
        resize=mode,
        crop=crop,
        dtype=stored,
        value_range=spec.value_range,
        mean=(0.0,) * target,
        std=(1.0,) * target,
        binarise=binarise,
    )
    if moments is not None and not covariance:
        return replace(draft, mean=moments[0], std=moments[1])
    if isinstance(train, ImageFiles) and hold(draft):
        draft = replace(draft, kept=(train, draft._held(train)))
    fitted = _measured(draft, train, covariance)
    return fitted if moments is None else replace(fitted, mean=moments[0], std=moments[1])


def _measured(preprocess: ImagePreprocess, split: Split, covariance: bool) -> ImagePreprocess:
    """The preprocess with mean and population standard deviation of each channel over values in [0, 1] (std 1 instead
    of 0), and on request the covariance of channels."""
    count, total, squares, products = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    low, high = preprocess.value_range
    places = spaced(split.paths, FILES_MEASURED) if isinstance(split, ImageFiles) else None
    bytewise = preprocess.dtype == "uint8" and low == 0 and not covariance
    # the sums must not depend on whether files are already decoded: exact sums are independent of the order
    if preprocess.kept is None:
        chunks = _chunks(preprocess, split, places)
    else:
        images = preprocess.kept[1]
        images = images if places is None or len(places) == len(images) else images[places]
        chunks = iter(torch.split(images, max(1, CHUNK_VALUES // images[0].numel()) if bytewise else 1))
    for chunk in chunks:
        stored_CN = chunk.transpose(0, 1).flatten(1)
        count += stored_CN.shape[1]
        if bytewise:
            sums = _sums_of_bytes(stored_CN)
        else:
            values_CN = stored_CN.to(torch.float64).sub_(low).div_(high - low)
            sums = values_CN.sum(1), values_CN.square().sum(1)
            products = products + values_CN @ values_CN.T if covariance else products
        total, squares = total + sums[0], squares + sums[1]
    if bytewise:
        total, squares = total / high, squares / high**2
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    return replace(
        preprocess,
        mean=tuple(mean.tolist()),
        std=tuple(torch.where(std > 1e-6, std, 1.0).tolist()),
        covariance=tuple((products / count - torch.outer(mean, mean)).flatten().tolist()) if covariance else (),
    )


def _sums_of_bytes(values_CN: Tensor) -> tuple[Tensor, Tensor]:
    """Exact sums of values from 0 to 255 and of their squares, (C,) float64, at a fifth of the cost of float64: in runs
    of 256, whose sums of squares are below 2^24 and so exact in float32."""
    padded = functional.pad(values_CN, (0, -values_CN.shape[1] % 256))
    runs_CRN = padded.to(torch.float32).view(len(padded), -1, 256)
    return runs_CRN.sum(2).sum(1, dtype=torch.float64), runs_CRN.square().sum(2).sum(1, dtype=torch.float64)


def _chunks(preprocess: ImagePreprocess, split: Split, places: Sequence[int] | None = None) -> Iterator[Tensor]:
    """Adapted images in batches: all of an array, those at ``places`` of image files."""
    if not isinstance(split, ImageFiles):
        images = _arrays(split).images_NCHW
        values = max(images[:1].numel(), preprocess.channels * preprocess.height * preprocess.width)
        for chunk in torch.split(images, max(1, CHUNK_VALUES // values)):
            yield preprocess.adapt(chunk)
        return
    chosen = split.paths if places is None else [split.paths[place] for place in places]
    for image in decode_all(chosen, preprocess.load_file):
        yield image[None]


def _picture(image_CHW: Tensor) -> Picture:
    """Values in [0, 1] as uint8, channels last."""
    picture: Picture = (image_CHW.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return picture


def _arrays(split: Split) -> ImageArrays:
    return cast(ImageArrays, split)


@lru_cache(maxsize=32)
def _affine(
    value_range: tuple[float, float], mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(v - low) / (high - low), then (. - mean) / std, as one multiplication and one addition."""
    low, high = value_range
    scale = [1 / ((high - low) * s) for s in std]
    shift = [-(low / (high - low) + m) / s for m, s in zip(mean, std, strict=True)]
    shape = (-1, 1, 1)
    return torch.tensor(scale, device=device).view(shape), torch.tensor(shift, device=device).view(shape)
