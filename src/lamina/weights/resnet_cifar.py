"""Parameter names of the CIFAR ResNets in other projects."""

from __future__ import annotations

from collections.abc import Iterator

from lamina.models.resnet_cifar import ResNetCifar
from lamina.weights.layout import Layout
from lamina.weights.resnet import residual_names, torchvision_names


def akamaster_names(model: ResNetCifar) -> Iterator[tuple[str, str]]:
    """``conv1, bn1, layer1.0.conv1, ..., linear``; with shortcut B also ``layer2.0.shortcut.0`` and ``.1``.

    Its files hold models with shortcut A, under ``state_dict``, with the prefix ``module.`` before every name.
    """
    return residual_names(model, shortcut="shortcut", head="linear")


LAYOUTS = (
    Layout(source="akamaster/pytorch_resnet_cifar10", names=akamaster_names),
    Layout(source="chenyaofo/pytorch-cifar-models", names=torchvision_names),  # shortcut B
)
