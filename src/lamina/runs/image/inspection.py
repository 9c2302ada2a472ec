"""Inspection of a run, or of a model by name, with one image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina import registry
from lamina.data.image.modality import IMAGENET
from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.image.resizing import centre
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.inspection.image import inspect_image
from lamina.inspection.layers import receptive_field
from lamina.report.image.inspection import ImagePage
from lamina.runs.evaluation import like
from lamina.runs.opened import Opened
from lamina.runs.views.labels import class_number, ranked
from lamina.weights.hub import located
from lamina.weights.loading import load_weights
from lamina.weights.published import built_for, stated_image


def inspect_run(
    run: Opened, preprocess: ImagePreprocess, image: Any, target: str | int | None, stage: int | None
) -> ImagePage:
    """``Run.inspect`` for images, with its page."""
    facts = {"weights": f"the best of {run.path}", "data": run.config.data_name}
    name, model = run.directory.name, run.config.name
    return _inspect(run.model, preprocess, image, target, stage, name, model, facts)


def inspect_model(name: str, image: Any, target: str | int | None, stage: int | None, weights: Any) -> ImagePage:
    """Inspect a variant with random weights or those of a file. Images are resized to cover the model's image size,
    centre-cropped, and normalised as published weights expect.

    Raises UsageError for a model that does not take images, and for weights that do not fit.
    """
    name = registry.canonical(name)
    if "image" not in registry.card(name).inputs or not hasattr(registry.variant(name).config, "image_size"):
        raise UsageError(f"{name} is not an image model: inspect without a run needs one")
    options: dict[str, Any] = {}
    if isinstance(weights, str):
        weights, options = built_for(name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = registry.create_model(name, **options).eval()
    facts = {"weights": "random, seed 0"}
    if weights is not None:
        facts["weights"] = str(load_weights(model, weights))
    config: Any = model.config
    mean, std = IMAGENET if config.in_channels == 3 else ((0.5,) * config.in_channels, (0.5,) * config.in_channels)
    facts["normalisation"] = "ImageNet's mean and deviation" if config.in_channels == 3 else "mean and deviation 0.5"
    stated = (stated_image(located(weights).parent) or {}) if isinstance(weights, str) else {}
    if "moments" in stated and len(stated["moments"][0]) == config.in_channels:
        mean, std = stated["moments"]
        facts["normalisation"] = "as the weights state: mean {}, deviation {}".format(
            *(", ".join(f"{value:g}" for value in values) for values in (mean, std))
        )
    preprocess = ImagePreprocess(
        target=TargetCode(task="classification", classes=tuple(f"class {i}" for i in range(config.num_classes))),
        channels=config.in_channels,
        height=config.image_size,
        width=config.image_size,
        resize="crop",
        mean=mean,
        std=std,
    )
    return _inspect(model, preprocess, image, target, stage, name, name, facts, random=weights is None)


def _inspect(
    model: nn.Module,
    preprocess: ImagePreprocess,
    image: Any,
    target: str | int | None,
    stage: int | None,
    name: str,
    architecture: str,
    facts: dict[str, str],
    random: bool = False,
) -> ImagePage:
    encoded = preprocess.encode_input(image)
    x_1CHW = like(model, preprocess.prepare(encoded))["image"]
    names = preprocess.target.labels
    seen = inspect_image(model, x_1CHW, class_number(target, names), stage=stage)
    shape = tuple(seen.x_CHW.shape)
    return ImagePage(
        name=name,
        model=architecture,
        image=Path(image).name if isinstance(image, str | Path) else "an image",
        picture_HWC=preprocess.stored_picture(centre(encoded["image"], (preprocess.height, preprocess.width))[0]),
        seen=seen,
        target=names[seen.target],
        predictions=ranked(preprocess.target.read(seen.logits_K[None])[0], preprocess.target),
        allowed=[_allowed(model, shape, number) for number in range(len(seen.maps))],
        facts={"model": architecture, **facts, "input": " × ".join(map(str, shape))},
        random=random,
    )


def _allowed(model: nn.Module, shape: tuple[int, ...], stage: int) -> int | None:
    """The theoretical receptive field of a stage in pixels; None: all pixels, or the stage is not a module."""
    modules = dict(model.named_modules())
    layer = next((name for name in (f"stages.{stage}", f"stage{stage + 1}") if name in modules), None)
    field = None if layer is None else receptive_field(model, shape, layer)
    return None if field is None else field.size[0]
