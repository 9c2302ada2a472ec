"""Checks of what a model computes: forward, gradients, batches, memory formats, precision, saving."""

from __future__ import annotations

import io

import torch

from lamina import registry
from lamina.cards import Variant
from lamina.conformance.harness import (
    NotApplicableError,
    build,
    call_model,
    differentiable_output,
    expect_close,
    expect_close_gradients,
    first_tensor,
    gradients,
    input_shape,
    inputs,
    map_inputs,
    random_inputs,
    require,
    run,
    variant_of,
)
from lamina.torch_internals import tree_leaves

ONE_ROW_TASKS = {"classification", "multilabel", "regression"}
"""tasks whose models return one row of ``num_classes`` numbers for each input"""


def check_forward(model: str | Variant) -> None:
    """In evaluation mode forward is finite, deterministic, of the expected shape, and does not modify its input."""
    row = variant_of(model)
    net, x = build(row), inputs(row, 3)
    original = map_inputs(x, torch.clone)
    out = run(net, x)
    if isinstance(x, dict) and "tokens_BT" in x and callable(getattr(net, "init_state", None)):
        shape = (*x["tokens_BT"].shape, registry.configure(row, row.small).vocab_size)
        require(tuple(out.shape) == shape, f"forward returns {tuple(out.shape)}, expected {shape}")
    classes = row.small.get("num_classes", getattr(row.config, "num_classes", None))
    if classes is not None and set(row.card.tasks) & ONE_ROW_TASKS:
        require(tuple(out.shape) == (3, classes), f"forward returns {tuple(out.shape)}, expected {(3, classes)}")
    require(out.isfinite().all(), "forward returns values that are not finite")
    require(torch.equal(out, run(net, x)), "forward in evaluation mode gives another result the second time")
    alike = all(map(torch.equal, tree_leaves(x), tree_leaves(original)))
    require(alike, "forward writes into its input")


def check_backward(model: str | Variant) -> None:
    """In training mode every trainable parameter gets a finite gradient that is not zero everywhere.

    The gradient is that of the method named by the card's ``differentiable_method``, usually forward.
    """
    row = variant_of(model)
    net, x = build(row).train(), inputs(row, 4)
    method = row.card.differentiable_method
    if method != "forward":
        message = f"forward has a gradient, though its card says that {method} has one in its place"
        require(not first_tensor(call_model(net, x)).requires_grad, message)
    for name, gradient in gradients(net, differentiable_output(row, net, x)).items():
        require(gradient.isfinite().all(), f"the gradient of {name} is not finite")
        require(gradient.any(), f"the gradient of {name} is zero everywhere")


def check_batch_of_one(model: str | Variant) -> None:
    """Evaluation accepts a batch of one, and keeps the batch dimension."""
    row = variant_of(model)
    out = run(build(row), map_inputs(inputs(row, 2), lambda part: part[:1]))
    whole = run(build(row), inputs(row, 2))
    require(out.shape[1:] == whole.shape[1:], f"one input gives {tuple(out.shape)}, two give {tuple(whole.shape)}")
    require(len(out) == 1, f"one input gives {tuple(out.shape)}")


def check_eval_batch_independent(model: str | Variant) -> None:
    """In evaluation mode a result depends neither on the other inputs of the batch nor on the position in it."""
    row = variant_of(model)
    net, x = build(row), inputs(row, 4)
    whole = run(net, x)
    alone = run(net, map_inputs(x, lambda part: part[1:2]))
    expect_close(alone, whole[1:2], 1e-10, "an input alone, against the same in a batch")
    expect_close(run(net, map_inputs(x, lambda part: part.flip(0))), whole.flip(0), 1e-10, "a batch in reverse order")


def check_channels_last(model: str | Variant) -> None:
    """The channels_last memory format gives the same outputs and gradients."""
    row = variant_of(model)
    if row.example is not None or len(input_shape(row)) != 3:
        raise NotApplicableError("inputs are not images")
    plain, packed = build(row), build(row).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = random_inputs(row, 2)
    expected = differentiable_output(row, plain, x)
    got = differentiable_output(row, packed, x.contiguous(memory_format=torch.channels_last))
    expect_close(got, expected, 1e-10, "outputs in channels_last")
    expect_close_gradients(gradients(packed, got), gradients(plain, expected), 1e-9, "in channels_last")


def check_bf16_autocast(model: str | Variant, bound: float = 0.1) -> None:
    """Under bfloat16 autocast outputs are close to those in float32 (relative to ``bound``), and gradients are finite
    and float32."""
    row = variant_of(model)
    net, x = build(row, dtype=torch.float32), inputs(row, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out, trained = first_tensor(call_model(net, x)), differentiable_output(row, net, x)
    expect_close(out, run(net, x), bound, "outputs under bf16 autocast")
    for name, gradient in gradients(net, trained).items():
        require(gradient.dtype == torch.float32, f"the gradient of {name} is {gradient.dtype} under bf16 autocast")
        require(gradient.isfinite().all(), f"the gradient of {name} is not finite under bf16 autocast")


def check_state_dict_round_trip(model: str | Variant) -> None:
    """A model with other weights that loads the saved state dict gives bit-identical outputs."""
    row = variant_of(model)
    net, other, x = build(row, seed=0), build(row, seed=1), inputs(row, 2)
    require(not torch.equal(run(net, x), run(other, x)), "two seeds give the same outputs: the weights do not matter")
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    alike = torch.equal(run(net, x), run(other, x))
    require(alike, "outputs differ after a round trip: something is not in the state dict")
