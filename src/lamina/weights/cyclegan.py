"""Parameter names of CycleGAN in pytorch-CycleGAN-and-pix2pix, which saves each of the four nets in a file of its own:
``load_weights`` takes ``model.generators.a_to_b``, ``model.discriminators.a``, and so on."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lamina.models.cyclegan import Generator, PatchGAN
from lamina.weights.layout import Layout


def _released(model: nn.Module) -> Iterable[tuple[str, str]]:
    """Numbered with padding, norms and non-linearities."""
    if isinstance(model, Generator):
        yield "model.1", "first"
        yield from ((f"model.{4 + 3 * i}", f"down.{i}.0") for i in range(2))
        after = 10 + len(model.blocks)
        for i in range(len(model.blocks)):
            yield f"model.{10 + i}.conv_block.1", f"blocks.{i}.conv1"
            yield f"model.{10 + i}.conv_block.5", f"blocks.{i}.conv2"
        yield from ((f"model.{after + 3 * i}", f"up.{i}.0") for i in range(2))
        yield f"model.{after + 7}", "output"
    elif isinstance(model, PatchGAN):
        yield "model.0", "first"
        yield from ((f"model.{2 + 3 * i}", f"stages.{i}.0") for i in range(len(model.stages)))
        yield f"model.{2 + 3 * len(model.stages)}", "output"


LAYOUTS = (
    Layout(
        source="pytorch-CycleGAN-and-pix2pix",
        names=_released,
        # statistics of instance normalisation, which files from before torch 0.4 hold, and nothing uses
        ignored=(r".*\.(running_mean|running_var|num_batches_tracked)",),
    ),
)
