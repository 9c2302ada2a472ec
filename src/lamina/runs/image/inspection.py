"""A look inside a run, or a model by its name, with one image: tensors, and a folder of pictures with their page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lamina import registry
from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.image.resizing import centre
from lamina.data.targets.code import TargetCode
from lamina.errors import RunError, UsageError, unknown
from lamina.files import write_whole
from lamina.inspection.image import inspect_image
from lamina.inspection.layers import receptive_field
from lamina.report.content import Array
from lamina.report.image.inspection import LookContent, png_files, render_look
from lamina.report.text.inspection import TextLook, render_text_look, text_png_files
from lamina.report.wording import number, share
from lamina.runs.build import IMAGENET
from lamina.runs.evaluation import like
from lamina.weights.loading import load_weights

if TYPE_CHECKING:
    from lamina.runs.run import Run

PAGE = "inspect.html"


def look_at_run(run: Run, image: Any, target: str | int | None, stage: int | None) -> LookContent:
    """What ``Run.inspect`` sees, and what its page says. Raises UsageError for a run that takes no images."""
    if not isinstance(run.preprocess, ImagePreprocess):
        raise UsageError(f"{run.path} takes {run.preprocess.kind} data, no images")
    facts = {"weights": f"the best of {run.path}", "data": run.config.data}
    return _look(run.model, run.preprocess, image, target, stage, run.directory.name, run.config.name, facts)


def look_at_model(
    name: str, image: Any, target: str | int | None, stage: int | None, weights: str | None
) -> LookContent:
    """A variant as it is first drawn, or with the weights of a file. Images are scaled to cover the size that the model
    is built for, their centre is cut out, and they are normalised as published weights expect.

    Raises UsageError for a model that takes no images, and for weights that do not fit.
    """
    name = registry.canonical(name)
    if "image" not in registry.card(name).inputs or not hasattr(registry.variant(name).config, "image_size"):
        raise UsageError(f"{name} is no model of images: inspect looks at images")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = registry.create_model(name).eval()
    facts = {"weights": "random, seed 0"}
    if weights is not None:
        facts["weights"] = str(load_weights(model, weights))
    config: Any = model.config
    mean, std = IMAGENET if config.in_channels == 3 else ((0.5,) * config.in_channels, (0.5,) * config.in_channels)
    facts["normalisation"] = "ImageNet's mean and deviation" if config.in_channels == 3 else "mean and deviation 0.5"
    preprocess = ImagePreprocess(
        target=TargetCode(task="classification", classes=tuple(f"class {i}" for i in range(config.num_classes))),
        channels=config.in_channels,
        height=config.image_size,
        width=config.image_size,
        resize="crop",
        mean=mean,
        std=std,
    )
    return _look(model, preprocess, image, target, stage, name, name, facts, random=weights is None)


def write_look(content: LookContent | TextLook, folder: Path) -> list[Path]:
    """Write the page and its pictures into ``folder``, which is made where it is missing; returns their paths, the page
    first. Raises RunError where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write into {folder}: {error.strerror}") from error
    if isinstance(content, TextLook):
        page, pictures = render_text_look(content), text_png_files(content)
    else:
        page, pictures = render_look(content), png_files(content)
    files = {PAGE: page.encode()} | {f"{name}.png": data for name, data in pictures.items()}
    for name, data in files.items():
        write_whole(folder / name, lambda file, data=data: file.write(data))  # type: ignore[misc]
    return [folder / name for name in files]


def _look(
    model: nn.Module,
    preprocess: ImagePreprocess,
    image: Any,
    target: str | int | None,
    stage: int | None,
    name: str,
    architecture: str,
    facts: dict[str, str],
    random: bool = False,
) -> LookContent:
    encoded = preprocess.encode_input(image)
    x_1CHW = like(model, preprocess.prepare(encoded))["image"]
    names = preprocess.target.classes or preprocess.target.names
    seen = inspect_image(model, x_1CHW, class_number(target, names), stage=stage)
    shape = tuple(seen.x_CHW.shape)
    return LookContent(
        name=name,
        model=architecture,
        image=Path(image).name if isinstance(image, str | Path) else "an image",
        picture_HWC=_picture(preprocess, encoded["image"]),
        seen=seen,
        target=names[seen.target],
        said=_said(seen.logits_K, names, preprocess.target),
        allowed=[_allowed(model, shape, number) for number in range(len(seen.maps))],
        facts={"model": architecture, **facts, "input": " × ".join(map(str, shape))},
        random=random,
    )


def class_number(target: str | int | None, names: tuple[str, ...]) -> int | None:
    """The class meant: a name, or else its number. Raises UsageError."""
    if target is None or isinstance(target, int):
        return target
    if target in names:
        return names.index(target)
    if target.isdecimal() and int(target) < len(names):
        return int(target)
    raise unknown("class", target, names)


def _said(logits_K: Tensor, names: tuple[str, ...], target: TargetCode) -> list[tuple[str, str]]:
    if target.task == "regression":
        return in_words(target.decode(logits_K[None])[0], names, target)
    return in_words(logits_K.sigmoid() if target.task == "multilabel" else logits_K.softmax(0), names, target)


def in_words(said_K: Tensor, names: tuple[str, ...], target: TargetCode) -> list[tuple[str, str]]:
    """Probabilities, the greatest first, or values, with the names of what they are of."""
    if target.task == "regression":
        return [(name, number(value)) for name, value in zip(names, said_K.tolist(), strict=True)]
    order = said_K.argsort(descending=True).tolist()
    return [(names[i], share(float(said_K[i]))) for i in order]


def _picture(preprocess: ImagePreprocess, encoded_1CHW: Tensor) -> Array:
    """The image as the model gets it, before normalisation: (H, W, C) uint8."""
    low, high = preprocess.value_range
    image_CHW = (centre(encoded_1CHW, (preprocess.height, preprocess.width))[0].float() - low) / (high - low)
    picture: Array = (image_CHW.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return picture


def _allowed(model: nn.Module, shape: tuple[int, ...], stage: int) -> int | None:
    """Pixels that the kernels and strides let a position of a stage see; None for all of them, or where the stage is no
    module of its own."""
    modules = dict(model.named_modules())
    layer = next((name for name in (f"stages.{stage}", f"stage{stage + 1}") if name in modules), None)
    field = None if layer is None else receptive_field(model, shape, layer)
    return None if field is None else field.size[0]
