"""From a recipe to the random changes of the training images."""

from __future__ import annotations

from typing import Protocol

from lamina.data.image.augment.chain import Chain
from lamina.data.image.augment.colour import ColourPCA, Erasing
from lamina.data.image.augment.crop import Crop, ResizedCrop
from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.augment.mix import Mix
from lamina.data.image.augment.policy import RandAugment, TrivialAugment
from lamina.data.protocols import BatchOptions
from lamina.data.streams import Augment
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError


class Images(Protocol):
    """How images are held and what the model gets, as an ``ImagePreprocess`` says it."""

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
    """What the recipe asks for, in this order: a window, mirrored and moved, RandAugment or TrivialAugment, colours,
    erasing, mixing; None for nothing.

    Raises UsageError for mixtures where the task or the batch size forbids them.
    """
    asked, batch_size, world = options.recipe.augmentation, options.recipe.batch_size, options.place.world
    size, held = (preprocess.height, preprocess.width), preprocess.held
    geometric = Geometric(flip=asked.flip, shift=asked.shift)
    pixels: list[Augment] = []
    if asked.resized_crop:
        pixels.append(ResizedCrop(stored=held, size=size, scale=asked.resized_crop))
    elif held != size:
        pixels.append(Crop(stored=held, size=size))
    if asked.flip or asked.shift:
        pixels.append(geometric)
    colours: list[Augment] = []
    if asked.rand_augment is not None:
        layers, std = asked.rand_augment_layers, asked.rand_augment_std
        colours.append(RandAugment(magnitude=asked.rand_augment, layers=layers, std=std, fill=preprocess.mean))
    if asked.trivial_augment:
        colours.append(TrivialAugment(fill=preprocess.mean))
    if asked.colour_pca:
        colours.append(ColourPCA(std=asked.colour_pca, covariance=preprocess.covariance))
    if asked.erasing:
        colours.append(Erasing(probability=asked.erasing, size=size, fill=preprocess.mean))
    if asked.mixup or asked.cutmix:
        if not options.mixes:
            raise UsageError(f"mixup and cutmix mix classes, but the task is {options.task}")
        if batch_size // world % 2:
            raise UsageError(f"mixup and cutmix mix pairs of images: batch size {batch_size} does not give them")
        colours.append(Mix(classes=preprocess.target.outputs, mixup=asked.mixup, cutmix=asked.cutmix))
    if pixels == [geometric] and not colours:
        return geometric
    if not pixels and not colours:
        return None
    return Chain(pixels=tuple(pixels), colours=tuple(colours), value_range=preprocess.value_range)
