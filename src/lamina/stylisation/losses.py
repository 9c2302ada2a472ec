"""The losses of style transfer, on feature maps.

Sources: Gatys, Ecker, Bethge, CVPR 2016 (arXiv 1508.06576); Johnson, Alahi, Fei-Fei, ECCV 2016 (arXiv 1603.08155);
Huang, Belongie, ICCV 2017 (arXiv 1703.06868).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def gram(maps_BCHW: Tensor) -> Tensor:
    """Mean products of channels over positions, (B, C, C): G_ij = 1/M sum_k F_ik F_jk. It does not know where in the
    picture a feature is."""
    maps_BCM = maps_BCHW.flatten(2)
    return maps_BCM @ maps_BCM.transpose(1, 2) / maps_BCM.shape[2]


def gatys_style(maps: Mapping[str, Tensor], grams: Mapping[str, Tensor]) -> Tensor:
    """Gatys' style loss, each layer weighing equally: the mean over layers of E_l = 1 / (4 N^2) sum (G - A)^2, for
    Gram matrices that are means over the M positions (the paper's sums, divided by its M^2). One number a picture,
    (B,)."""
    layers = [(gram(maps[name]) - a).square().sum((1, 2)) / (4 * a.shape[-1] ** 2) for name, a in grams.items()]
    return torch.stack(layers).mean(0)


def gatys_content(maps_BCHW: Tensor, content_BCHW: Tensor) -> Tensor:
    """Gatys' content loss: half the sum of squared differences, (B,)."""
    return (maps_BCHW - content_BCHW).square().flatten(1).sum(1) / 2


def johnson_style(maps: Mapping[str, Tensor], grams: Mapping[str, Tensor]) -> Tensor:
    """Johnson's style loss: the sum over layers of the squared Frobenius norm of the difference of Gram matrices, which
    are divided by C H W; (B,)."""
    layers = [(gram(maps[name]) - a).square().sum((1, 2)) / a.shape[-1] ** 2 for name, a in grams.items()]
    return torch.stack(layers).sum(0)


def johnson_content(maps_BCHW: Tensor, content_BCHW: Tensor) -> Tensor:
    """Johnson's feature reconstruction loss: the mean of squared differences, (B,)."""
    return (maps_BCHW - content_BCHW).square().flatten(1).mean(1)


def total_variation(x_BCHW: Tensor) -> Tensor:
    """The sum of squared differences of neighbouring pixels, (B,)."""
    down = (x_BCHW[:, :, 1:] - x_BCHW[:, :, :-1]).square().flatten(1).sum(1)
    across = (x_BCHW[:, :, :, 1:] - x_BCHW[:, :, :, :-1]).square().flatten(1).sum(1)
    return down + across
