"""Feature maps of a frozen image classifier, by the names of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamina import registry
from lamina.errors import UsageError, unknown
from lamina.randomness import derive
from lamina.weights.loading import load_weights
from lamina.weights.published import built_for

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Pooling = Literal["max", "average"]


@dataclass(frozen=True)
class Layers:
    """The layers whose maps describe content and style."""

    content: tuple[str, ...]
    style: tuple[str, ...]


GATYS = {
    "vgg": Layers(("relu4_2",), ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")),
    "squeezenet": Layers(("fire5",), ("relu1", "fire2", "fire4", "fire6", "fire8")),
}
"""of Gatys et al. 2016 for VGG; for SqueezeNet ours"""
JOHNSON = {
    "vgg": Layers(("relu3_3",), ("relu1_2", "relu2_2", "relu3_3", "relu4_3")),
    "squeezenet": Layers(("fire4",), ("relu1", "fire3", "fire5", "fire8")),
}
"""of Johnson et al. 2016 for VGG-16; for SqueezeNet ours"""


class FeatureNet(nn.Module):
    """The layers of a classifier up to the deepest one needed, frozen: pictures (B, 3, H, W) with values from 0 to 1 ->
    maps (B, C, H', W') by layer. ``origin`` says where its weights are from.

    >>> net = feature_net("vgg19", seed=0)
    >>> maps = net(torch.rand(1, 3, 64, 64), ["relu1_1", "relu4_2"])
    >>> {name: tuple(of.shape) for name, of in maps.items()}
    {'relu1_1': (1, 64, 64, 64), 'relu4_2': (1, 512, 8, 8)}
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str, layers: Iterator[tuple[str, nn.Module]], origin: str) -> None:
        super().__init__()
        self.architecture, self.origin = architecture, origin
        self.layers = nn.ModuleDict(dict(layers))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, x_BCHW: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Raises UsageError for a layer that the net does not have."""
        for name in names:
            if name not in self.layers:
                raise unknown(f"layer of {self.architecture}", name, list(self.layers))
        x_BCHW = (x_BCHW - self.mean) / self.std
        found: dict[str, Tensor] = {}
        for name, layer in self.layers.items():
            if len(found) == len(set(names)):
                break
            x_BCHW = layer(x_BCHW)
            if name in names:
                found[name] = x_BCHW
        return found


def feature_net(
    name: str = "vgg19", weights: str | Path | None = None, *, seed: int = 0, pooling: Pooling = "max"
) -> FeatureNet:
    """The features of a VGG or SqueezeNet, with published weights or random ones drawn from ``seed``.

    Random convolutions are drawn from He's normal distribution (fan-in), so that the maps of all layers have one scale.
    ``pooling``: average replaces max pooling, which Gatys et al. found smoother. Raises UsageError for another
    architecture, and what ``load_weights`` raises for weights that do not fit.

    Example: ``feature_net("vgg19", weights="vgg19-dcbb9e9d.pth")``
    """
    own = registry.canonical(name)
    row = registry.variant(own)
    architecture = row.build.__module__.rpartition(".")[2]
    if architecture not in GATYS:
        raise UsageError(f"features for style are taken from a vgg or a squeezenet, such as vgg19, not from {own}")
    if weights is None:
        with torch.device("meta"):  # the linear layers of VGG are never made
            model = registry.build(row, row.config)
        layers = {key: pooled(layer, pooling) for key, layer in _layers(model)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "features"))
            for layer in layers.values():
                _draw(layer.to_empty(device="cpu"))
        return FeatureNet(architecture, iter(layers.items()), f"{own} with random weights (seed {seed})")
    place, _ = built_for(own, str(weights), reset_head=True)
    model = registry.build(row, row.config)
    load_weights(model, place, reset_head=True)
    layers = {key: pooled(layer, pooling) for key, layer in _layers(model)}
    return FeatureNet(architecture, iter(layers.items()), f"{own} with the weights of {weights}")


def pooled(layer: nn.Module, pooling: Pooling) -> nn.Module:
    """The layer, or average pooling in place of max pooling."""
    if pooling == "average" and isinstance(layer, nn.MaxPool2d):
        return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)
    return layer


def _layers(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """The layers before the neck by name, in order."""
    for part in (model.stem, *model.stages):
        yield from part.named_children()


def _draw(layer: nn.Module) -> None:
    for module in layer.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
