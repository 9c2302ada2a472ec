"""The augmentation of training images from a recipe."""

from __future__ import annotations

from typing import Protocol

from lamina.data.image.augment.chain import Chain
from lamina.data.image.augment.colour import ColourPCA, Erasing
from lamina.data.image.augment.crop import Crop, ResizedCrop
from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.augment.mix import Mix
from lamina.data.image.augment.policy import RandAugment, TrivialAugment
from lamina.data.image.binarising import Drawn
from lamina.data.protocols import BatchOptions
from lamina.data.streams import Augment
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError


class Images(Protocol):
    """The properties of an ``ImagePreprocess`` that augmentation needs."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def held(self) -> tuple[int, int]: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def covariance(self) -> tuple[float, ...]: ...
    @property
    def value_range(self) -> tuple[float, float]: ...
    @property
    def target(self) -> TargetCode: ...


def make_augment(preprocess: Images, options: BatchOptions) -> Augment | None:
    """The recipe's augmentation, in this order: crop, flip and shift, RandAugment or TrivialAugment, colours, erasing,
    mixing, binarising; or None.

    Raises UsageError for mixing with an unsuitable task or batch size.
    """
    requested, batch_size, world = options.recipe.augmentation, options.recipe.batch_size, options.place.world
    size, held = (preprocess.height, preprocess.width), preprocess.held
    geometric = Geometric(flip=requested.flip, shift=requested.shift)
    pixels: list[Augment] = []
    if requested.resized_crop:
        pixels.append(ResizedCrop(stored=held, size=size, scale=requested.resized_crop))
    elif held != size:
        pixels.append(Crop(stored=held, size=size))
    if requested.flip or requested.shift:
        pixels.append(geometric)
    colours: list[Augment] = []
    if requested.rand_augment is not None:
        layers, std = requested.rand_augment_layers, requested.rand_augment_std
        colours.append(RandAugment(magnitude=requested.rand_augment, layers=layers, std=std, fill=preprocess.mean))
    if requested.trivial_augment:
        colours.append(TrivialAugment(fill=preprocess.mean))
    if requested.colour_pca:
        colours.append(ColourPCA(std=requested.colour_pca, covariance=preprocess.covariance))
    if requested.erasing:
        colours.append(Erasing(probability=requested.erasing, size=size, fill=preprocess.mean))
    if requested.mixup or requested.cutmix:
        if not options.mixes:
            raise UsageError(f"mixup and cutmix mix classes, but the task is {options.task}")
        if batch_size // world % 2:
            raise UsageError(
                f"mixup and cutmix mix pairs of images: each process needs an even batch, got batch size {batch_size}"
            )
        colours.append(Mix(classes=preprocess.target.outputs, mixup=requested.mixup, cutmix=requested.cutmix))
    if requested.binarise == "always":
        colours.append(Drawn())
    if pixels == [geometric] and not colours:
        return geometric
    if not pixels and not colours:
        return None
    return Chain(pixels=tuple(pixels), colours=tuple(colours), value_range=preprocess.value_range)
