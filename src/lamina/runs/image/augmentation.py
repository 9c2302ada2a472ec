"""From a recipe to the random changes of the training images."""

from __future__ import annotations

from lamina.data.image.augment.chain import Chain
from lamina.data.image.augment.colour import ColourPCA, Erasing
from lamina.data.image.augment.crop import Crop, ResizedCrop
from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.augment.mix import Mix
from lamina.data.image.augment.policy import RandAugment, TrivialAugment
from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.preprocess import Preprocess
from lamina.data.streams import Augment
from lamina.errors import UsageError
from lamina.options.recipe import Recipe

ASKED = ("flip", "shift", "resized_crop", "rand_augment", "trivial_augment", "colour_pca", "erasing", "mixup", "cutmix")


def make_augment(recipe: Recipe, preprocess: Preprocess, task: str, world: int = 1) -> Augment | None:
    """What the recipe asks for, in this order: a window, mirrored and moved, RandAugment or TrivialAugment, colours,
    erasing, mixing; None for nothing. ``task`` is the task's name, ``world`` the number of processes.

    Raises UsageError for data that are no images, and for mixtures where the task or the batch size forbids them.
    """
    if not isinstance(preprocess, ImagePreprocess):
        for name in ASKED:
            if getattr(recipe, name):
                what = "text" if preprocess.kind == "text" else "a table"
                raise UsageError(f"{name} changes images, but the data are {what}")
        return None
    size, held = (preprocess.height, preprocess.width), preprocess.held
    geometric = Geometric(flip=recipe.flip, shift=recipe.shift)
    pixels: list[Augment] = []
    if recipe.resized_crop:
        pixels.append(ResizedCrop(stored=held, size=size, scale=recipe.resized_crop))
    elif held != size:
        pixels.append(Crop(stored=held, size=size))
    if recipe.flip or recipe.shift:
        pixels.append(geometric)
    colours: list[Augment] = []
    if recipe.rand_augment is not None:
        layers, std = recipe.rand_augment_layers, recipe.rand_augment_std
        colours.append(RandAugment(magnitude=recipe.rand_augment, layers=layers, std=std, fill=preprocess.mean))
    if recipe.trivial_augment:
        colours.append(TrivialAugment(fill=preprocess.mean))
    if recipe.colour_pca:
        colours.append(ColourPCA(std=recipe.colour_pca, covariance=preprocess.covariance))
    if recipe.erasing:
        colours.append(Erasing(probability=recipe.erasing, size=size, fill=preprocess.mean))
    if recipe.mixup or recipe.cutmix:
        if task not in ("classification", "multilabel"):
            raise UsageError(f"mixup and cutmix mix classes, but the task is {task}")
        if recipe.batch_size // world % 2:
            raise UsageError(f"mixup and cutmix mix pairs of images: batch size {recipe.batch_size} does not give them")
        colours.append(Mix(classes=preprocess.target.outputs, mixup=recipe.mixup, cutmix=recipe.cutmix))
    if pixels == [geometric] and not colours:
        return geometric
    if not pixels and not colours:
        return None
    return Chain(pixels=tuple(pixels), colours=tuple(colours), value_range=preprocess.value_range)
