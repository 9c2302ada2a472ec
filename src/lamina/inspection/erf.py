"""The effective receptive field: how much each pixel influences the centre unit of a feature map (Luo, Li, Urtasun,
Zemel 2016, arXiv 1701.04128).

It is much smaller than the theoretical receptive field, within which gradients fall off like a Gaussian. Measured here
is the root mean square, over inputs of Gaussian noise, of the gradient of the centre unit, summed over its channels.
The paper backpropagates 1 from a single output; here every channel gets a random sign per input, because with equal
signs the gradient through a layer normalisation would cancel: its channels sum to a constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.inspection.features import features_of, stage_number


def effective_receptive_field(
    model: nn.Module,
    image_size: tuple[int, int],
    stages: Sequence[int] | None = None,
    *,
    samples: int = 8,
    seed: int = 0,
) -> list[Tensor]:
    """The gradient magnitude at every pixel for the centre unit of each of the ``stages`` (all when None): (H, W) each.

    A field sums to 1, or is all 0 where no gradient arrives. ``samples`` inputs of ``image_size`` (height, width) are
    drawn from ``seed``. The model runs in evaluation mode, and the gradients of its weights are left untouched. Raises
    UsageError for a model without feature maps, and a size that it does not accept.
    """
    features = features_of(model)
    weight = next(model.parameters())
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, _channels(model), *image_size)
    x_NCHW = torch.randn(shape, generator=generator).to(weight)
    signs_NC: dict[int, Tensor] = {}
    squares: dict[int, Tensor] = {}
    with evaluation_mode(model), torch.enable_grad():
        for sample in range(samples):  # one at a time: their maps together can take gigabytes
            x_1CHW = x_NCHW[sample : sample + 1].requires_grad_()
            try:
                maps = features(x_1CHW, None)
            except ValueError as error:
                raise UsageError(str(error)) from error
            numbers = range(len(maps)) if stages is None else [stage_number(stage, len(maps)) for stage in stages]
            for number in numbers:
                middle_C = _middle(model, number, maps[number])
                if number not in signs_NC:
                    signs_NC[number] = torch.randint(0, 2, (samples, len(middle_C)), generator=generator) * 2 - 1
                score = (middle_C * signs_NC[number][sample].to(middle_C)).sum()
                (slope_1CHW,) = torch.autograd.grad(score, x_1CHW, retain_graph=True)
                squares[number] = squares.get(number, 0) + slope_1CHW[0].square().sum(0)
    sizes_HW = [(squares[number] / samples).sqrt() for number in numbers]
    return [size_HW / size_HW.sum().clamp_min(torch.finfo(size_HW.dtype).tiny) for size_HW in sizes_HW]


def _middle(model: nn.Module, number: int, map_1CHW: Tensor) -> Tensor:
    """The centre unit of a stage's feature map, (C,). Raises UsageError where the stage has no feature map."""
    if map_1CHW.ndim != 4:
        raise UsageError(
            f"stage {number} of {type(model).__name__} has no feature maps: its output is {tuple(map_1CHW.shape)}"
        )
    return map_1CHW[0, :, map_1CHW.shape[2] // 2, map_1CHW.shape[3] // 2]


def radius(field_HW: Tensor, share: float = 0.95) -> float:
    """The radius, in pixels, of the square around the field's centre of mass that contains ``share`` of the field.

    The square is 2 radius + 1 pixels wide: a single pixel has radius 0. NaN for a field that is all 0.
    """
    total = float(field_HW.sum())
    if total == 0:
        return float("nan")
    row, column = centre(field_HW)
    rows_H, columns_W = (torch.arange(n, device=field_HW.device, dtype=torch.float64) for n in field_HW.shape)
    distance = torch.maximum((rows_H[:, None] - row).abs(), (columns_W - column).abs()).flatten()
    order = distance.argsort()
    within = field_HW.double().flatten()[order].cumsum(0) / total
    last = int(torch.searchsorted(within, share).clamp_max(len(within) - 1))
    return float(distance[order[last]])


def centre(field_HW: Tensor) -> tuple[float, float]:
    """Row and column of a field's centre of mass, rounded to half a pixel."""
    weights_HW = field_HW.double() / field_HW.double().sum()
    rows_H, columns_W = (torch.arange(n, device=field_HW.device, dtype=torch.float64) for n in field_HW.shape)
    return round(2 * float(weights_HW.sum(1) @ rows_H)) / 2, round(2 * float(weights_HW.sum(0) @ columns_W)) / 2


def _channels(model: nn.Module) -> int:
    """The number of input channels. Raises UsageError for a model without any."""
    channels = getattr(getattr(model, "config", None), "in_channels", None)
    if channels is None:
        first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
        channels = first.in_channels if first is not None else None
    if channels is None:
        raise UsageError(f"{type(model).__name__} does not take images")
    return int(channels)
