"""Parameter names of variational autoencoders in other projects."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lamina.models.vae import VAE
from lamina.weights.layout import Layout


def _pytorch_examples(model: nn.Module) -> Iterable[tuple[str, str]]:
    """pytorch/examples: vae, which has one hidden layer on each side."""
    if not isinstance(model, VAE):  # the convolutional one is in the same file
        return
    config = model.config
    if len(config.hidden) != 1 or config.encoder or config.variance != "none":
        return
    yield "fc1", "encoder.layers.0.0"
    yield "fc21", "mean"
    yield "fc22", "log_variance"
    yield "fc3", "decoder.layers.0.0"
    yield "fc4", "decoder.output"


LAYOUTS = (Layout(source="pytorch/examples", names=_pytorch_examples),)
