"""Parameter names of StyleGAN2 in rosinality/stylegan2-pytorch, whose checkpoints hold ``g_ema``, ``g`` and ``d``:
``load_weights`` takes ``model.generator`` with ``entry="g_ema"``, ``model.discriminator`` with ``entry="d"``."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lamina.models.stylegan2 import Discriminator, Generator
from lamina.weights.layout import Layout, OtherFunction


def _rosinality(model: nn.Module) -> Iterable[tuple[str, str]]:
    if isinstance(model, Generator):
        yield from ((f"style.{i + 1}", f"mapping.layers.{i}") for i in range(len(model.mapping.layers)))
        yield "input.input", "constant"
        for i in range(len(model.layers)):
            theirs = f"convs.{i - 1}" if i else "conv1"
            yield f"{theirs}.conv.weight", f"layers.{i}.conv.weight"
            yield f"{theirs}.conv.modulation", f"layers.{i}.conv.style"
            yield f"{theirs}.noise.weight", f"layers.{i}.strength"
            yield f"{theirs}.activate.bias", f"layers.{i}.bias"
            yield f"noises.noise_{i}", f"noise_{i}"
        for i in range(len(model.to_rgb)):
            theirs = f"to_rgbs.{i - 1}" if i else "to_rgb1"
            yield f"{theirs}.conv.weight", f"to_rgb.{i}.conv.weight"
            yield f"{theirs}.conv.modulation", f"to_rgb.{i}.conv.style"
            yield f"{theirs}.bias", f"to_rgb.{i}.bias"
        yield "latent_avg", "w_mean"
    elif isinstance(model, Discriminator):
        yield "convs.0.0.weight", "from_rgb.weight"
        yield "convs.0.1.bias", "from_rgb.bias"
        for i in range(len(model.blocks)):
            theirs, ours = f"convs.{i + 1}", f"blocks.{i}"
            yield f"{theirs}.conv1.0.weight", f"{ours}.conv1.weight"
            yield f"{theirs}.conv1.1.bias", f"{ours}.conv1.bias"
            yield f"{theirs}.conv2.1.weight", f"{ours}.conv2.weight"
            yield f"{theirs}.conv2.2.bias", f"{ours}.conv2.bias"
            yield f"{theirs}.skip.1.weight", f"{ours}.skip.weight"
        yield "final_conv.0.weight", "conv.weight"
        yield "final_conv.1.bias", "conv.bias"
        yield "final_linear.0", "dense"
        yield "final_linear.1", "output"


LAYOUTS = (
    Layout(
        source="rosinality/stylegan2-pytorch",
        names=_rosinality,
        ignored=(r".*\.kernel",),  # filters, which are ours, too
        leading=(r"input\.input", r".*conv\.weight", r"to_rgb.*\.bias"),
        zeros=(r"latent_avg",),  # the mean of w: where there is none, truncation takes that of 4,096 z
    ),
)

OTHERS = (
    OtherFunction(
        source="lucidrains/stylegan2-pytorch",
        marks=(r"\bblocks\.\d+\.to_(style|noise)[12]\.", r"\bblocks\.\d+\.conv_res\."),
        reason="its layers are not equalised, z is brought to length 1, noise is scaled for each channel, sizes change "
        "bilinearly, and its discriminator compares no samples; weights of rosinality/stylegan2-pytorch, into which "
        "NVIDIA's are converted, fit",
    ),
)
"""projects of the same names, whose nets are not the paper's"""
