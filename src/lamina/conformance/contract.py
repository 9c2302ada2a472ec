"""Checks of a model's contract: the numbers of its card, the input sizes it accepts, the methods of its family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lamina import registry
from lamina.cards import Variant
from lamina.conformance.harness import (
    Inputs,
    NotApplicableError,
    build,
    call_model,
    expect_close,
    input_shape,
    random_inputs,
    require,
    run,
    variant_of,
)
from lamina.errors import UsageError

IMAGE_CLASSIFIER = {"image", "classification"}
"""what the card of one names: an input and a task"""


def check_meta(model: str | Variant) -> None:
    """The variant builds on the meta device, and its parameters and multiply-adds match its card."""
    row = variant_of(model)
    with torch.device("meta"):
        net = registry.build(row, row.config).eval()
    parameters = row.card.parameters
    counts = parameters if isinstance(parameters, Mapping) else {"": parameters}
    for player, count in counts.items():
        got = sum(weight.numel() for weight in net.get_submodule(player).parameters() if weight.requires_grad)
        require(got == count, f"{player or 'the model'} has {got:,} parameters, its card says {count}")
    if row.card.macs is not None:
        require(
            isinstance(row.card.macs, int), "multiply-adds by player cannot be counted: give one number on the card"
        )
        got = _macs(net, row)
        require(got == row.card.macs, f"one input takes {got:,} multiply-adds, the card says {row.card.macs:,}")


def _macs(net: nn.Module, row: Variant) -> int:
    """Multiply-adds of convolutions and matrix products for one input; torch counts two operations per multiply-add."""
    x: Inputs
    if row.example is None:
        x = torch.empty((1, *row.input_shape), device="meta")
    else:
        x = {name: part.to("meta") for name, part in row.example(row.config, 1).items()}
        shape = tuple(next(iter(x.values())).shape[1:])
        require(shape == row.input_shape, f"the variant's example has shape {shape}, its card says {row.input_shape}")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call_model(net, x)
    return int(counter.get_total_flops()) // 2


def check_odd_sizes(model: str | Variant, sizes: tuple[int, ...] | None = None) -> None:
    """The model works for input sizes other than the card's, set through its size option, and for non-square images
    unless it rejects them with one clear error.

    ``sizes`` are image sides or numbers of features, by default some near the card's. Sizes that the architecture
    rejects with one clear error are skipped, as long as it accepts another.
    """
    row = variant_of(model)
    if row.example is not None:
        raise NotApplicableError("inputs are not one tensor of numbers")
    options = {field.name for field in fields(row.config)}
    shape, outputs = input_shape(row), run(build(row), random_inputs(row, 2)).shape
    image, side = len(shape) == 3, shape[-1]
    restores = tuple(outputs) == (2, *shape)  # an autoencoder's output is of the size of its input
    stated = ("image_size", "in_features") if image else ("in_features",)  # an image's size is not that of noise
    option = next((name for name in stated if name in options), None)
    if option is None and not image:
        raise NotApplicableError("no option states the size of the input")
    accepted = 0
    for size in sizes or (side - 4, side + 1, side + 13):
        try:
            net = build(row, {option: size} if option else {})
        except UsageError as error:
            require(str(size) in str(error), f"size {size} is rejected with an error that does not name it: {error}")
            continue
        shapes = [(shape[0], size, size)] if image and option else [] if image else [(*shape[:-1], size)]
        if image and _accepts(net, random_inputs(row, 2, shape=(shape[0], size, size + 2))):
            shapes.append((shape[0], size, size + 2))
        for other in shapes:
            out = run(net, random_inputs(row, 2, shape=other))
            expected = (2, *other) if restores else tuple(outputs)
            message = f"an input of shape {other} gives {tuple(out.shape)}, expected {expected}"
            require(tuple(out.shape) == expected, message)
            require(out.isfinite().all(), f"an input of shape {other} gives values that are not finite")
            accepted += 1
    require(accepted > 0, f"none of the sizes {sizes or 'near that of the card'} is accepted")


def _accepts(net: nn.Module, x: torch.Tensor) -> bool:
    """Whether the model accepts the input; if not, it must reject it with one clear ValueError."""
    got = tuple(x.shape)
    try:
        run(net, x)
    except ValueError as error:
        require("\n" not in str(error), f"the error for an input of shape {got} has more than one line: {error}")
        require(str(got) in str(error), f"the error for an input of shape {got} does not say so: {error}")
        return False
    except Exception as error:  # the fault this looks for: an obscure error
        raise AssertionError(f"an input of shape {got} raises {type(error).__name__}: {error}") from error
    return True


def check_wrong_shape(model: str | Variant) -> None:
    """Inputs with one channel or feature too many, without a batch dimension, or smaller than the model's ``min_size``
    raise a one-line ValueError that states their shape; so do those of another size, unless the model accepts any."""
    row = variant_of(model)
    if row.example is not None:
        raise NotApplicableError("inputs are not one tensor of numbers")
    net: Any = build(row)
    shape = input_shape(row)
    for wrong in (random_inputs(row, 2, shape=(shape[0] + 1, *shape[1:])), random_inputs(row, 2)[0]):
        require(not _accepts(net, wrong), f"an input of shape {tuple(wrong.shape)} is accepted without an error")
    if hasattr(row.config, "image_size"):
        _accepts(net, random_inputs(row, 2, shape=(*shape[:-1], shape[-1] + 1)))
    min_size = getattr(net, "min_size", 1)
    if min_size > 1:
        try:
            run(net, random_inputs(row, 2, shape=(shape[0], min_size - 1, min_size - 1)))
        except ValueError as error:
            require(str(min_size) in str(error), f"an image of {min_size - 1} pixels is rejected with: {error}")
        else:
            raise AssertionError(f"an image of {min_size - 1} pixels is accepted, though min_size is {min_size}")
        run(net, random_inputs(row, 2, shape=(shape[0], min_size, min_size)))


def check_image_interface(model: str | Variant) -> None:
    """An image classifier has features, embed and reset_head, and can be built for any number of channels and classes.

    If its card fixes the number of classes, it must reject every other number, and the rest does not apply.
    """
    row = variant_of(model)
    if row.example is not None or not {*row.card.inputs, *row.card.tasks} >= IMAGE_CLASSIFIER:
        raise NotApplicableError("not an image classifier")
    if row.card.classes is not None:
        _check_fixed_classes(row, row.card.classes)
        raise NotApplicableError(f"a head for {row.card.classes} classes is the only one it can have")
    for method in ("features", "embed", "reset_head"):
        require(callable(getattr(row.build, method, None)), f"it has no method {method}")
    options = {"num_classes": 3}
    shape = input_shape(row)
    if len(shape) == 3:
        options["in_channels"] = shape[0] + 1
        shape = (shape[0] + 1, *shape[1:])
    net, x = build(row, options), random_inputs(row, 2, shape=shape)
    require(tuple(run(net, x).shape) == (2, 3), f"with num_classes=3 forward returns {tuple(run(net, x).shape)}")
    _check_features(net, x)
    _check_head(row, net, x)


def _check_fixed_classes(row: Variant, classes: int) -> None:
    for other in (0, classes + 1):
        try:
            build(row, {"num_classes": other})
        except UsageError as error:
            require(f"num_classes={other}" in str(error), f"num_classes={other} is rejected with: {error}")
        else:
            raise AssertionError(f"num_classes={other} is accepted, though its card says {classes}")


def _check_features(net: Any, x: torch.Tensor) -> None:
    with torch.no_grad():
        maps = net.features(x)
        require(isinstance(maps, list), f"features returns {type(maps).__name__}, expected a list")
        require(maps, "features returns an empty list")
        for stage, stage_map in enumerate(maps):
            require(stage_map.ndim == x.ndim, f"stage {stage} returns {tuple(stage_map.shape)} for {tuple(x.shape)}")
            require(len(stage_map) == len(x), f"stage {stage} returns {tuple(stage_map.shape)}, the batch is {len(x)}")
            require(stage_map.isfinite().all(), f"stage {stage} returns values that are not finite")
        chosen = net.features(x, stages=[-1, 0])
    require(len(chosen) == 2, f"features(stages=[-1, 0]) returns {len(chosen)} maps")
    require(torch.equal(chosen[0], maps[-1]), "features(stages=[-1, 0]) does not begin with the last stage")
    require(torch.equal(chosen[1], maps[0]), "features(stages=[-1, 0]) does not end with the first stage")
    try:
        net.features(x, stages=[len(maps)])
    except ValueError as error:
        require(str(len(maps)) in str(error), f"the error for a stage that is not there does not name it: {error}")
    else:
        raise AssertionError(f"features takes stage {len(maps)}, which is not there")


def _check_head(row: Variant, net: Any, x: torch.Tensor) -> None:
    with torch.no_grad():
        embedding = net.embed(x)
    require(embedding.ndim == 2, f"embed returns {tuple(embedding.shape)}, expected (batch, features)")
    net.reset_head(7)
    net.eval()
    out = run(net, x)  # fails if the head has another dtype or device than the model
    require(tuple(out.shape) == (2, 7), f"after reset_head(7) forward returns {tuple(out.shape)}")
    require(getattr(net.config, "num_classes", 7) == 7, "after reset_head(7) the config still states the old head")
    with torch.no_grad():
        expect_close(net.embed(x), embedding, 0.0, "embed after reset_head")
    net.reset_head(0)
    expect_close(run(net, x), embedding, 0.0, "forward without a head, against embed")
    headless: Any = build(row, {"num_classes": 0})
    with torch.no_grad():
        embedding = headless.embed(random_inputs(row, 2))
    expect_close(run(headless, random_inputs(row, 2)), embedding, 0.0, "num_classes=0, against embed")
