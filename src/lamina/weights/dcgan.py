"""Parameter names of DCGAN in other projects, which save each player in a file of its own: ``load_weights`` takes
``model.generator`` or ``model.discriminator``."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lamina.models.dcgan import Discriminator, Generator
from lamina.weights.layout import Layout


def _pytorch_examples(model: nn.Module) -> Iterable[tuple[str, str]]:
    """pytorch/examples: dcgan, ``netG`` and ``netD``, numbered with their non-linearities."""
    if isinstance(model, Generator):
        for i in range(len(model.stages)):
            yield f"main.{3 * i}", f"stages.{i}.0"
            yield f"main.{3 * i + 1}", f"stages.{i}.1"
        yield f"main.{3 * len(model.stages)}", "output"
    elif isinstance(model, Discriminator):
        yield "main.0", "stages.0.0"
        for i in range(1, len(model.stages)):
            yield f"main.{3 * i - 1}", f"stages.{i}.0"
            yield f"main.{3 * i}", f"stages.{i}.1"
        yield f"main.{3 * len(model.stages) - 1}", "output"


LAYOUTS = (Layout(source="pytorch/examples", names=_pytorch_examples),)
