"""Grad-CAM: where in an image a class is seen (Selvaraju et al. 2017, arXiv 1610.02391).

    L = relu(sum_k alpha_k A_k),   alpha_k = mean over positions of d logit / d A_k,

A_k being maps of one layer. The right one is known for every family: the maps that the head averages over positions, at
the input of that pooling. In a MobileNet V2 or an EfficientNet they come after the last stage, from the 1x1 convolution
that follows its linear bottleneck, in a Swin or a DenseNet from the last normalisation, in a SqueezeNet they are the
classes' own maps. Where a net does not average (LeNet), or its last map is one position, they are those of the last
stage with more than one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.inspection.features import captured_features, stage_number


def grad_cam(
    model: nn.Module,
    x_BCHW: Tensor,
    target: int | Tensor | None = None,
    *,
    stage: int | None = None,
    upsample: bool = True,
) -> Tensor:
    """How much each position speaks for the class ``target``, not negative: (B, H, W), in the model's type.

    ``target`` is one class for all images, one for each (B,), or None for that of the greatest logit. ``stage`` asks
    for the maps of ``features`` after that stage, numbered from 0 or, negative, from the last; None for the layer that
    suits the family. ``upsample`` brings the result to the size of the images, bilinearly. The model is in evaluation
    mode meanwhile and keeps its gradients. Where no channel speaks for the class all is 0.

    Raises UsageError for a model without maps, a class or a stage that it does not have, and images it does not take.
    """
    with (
        evaluation_mode(model),
        captured_features(model) as maps,
        captured_pooling_input(model) as last,
        torch.enable_grad(),
    ):
        # maps are to have gradients though all weights be frozen
        logits_BK = _logits(model, x_BCHW.detach().requires_grad_(x_BCHW.is_floating_point()))
        chosen_BCHW = _chosen(model, maps, last, stage)
        target_B = targets(logits_BK, target)
        score = logits_BK.gather(1, target_B[:, None]).sum()  # images do not meet: each gradient is its own image's
        (slope_BCHW,) = torch.autograd.grad(score, chosen_BCHW)
    alpha_BC11 = slope_BCHW.mean((2, 3), keepdim=True)
    cam_BHW = (alpha_BC11 * chosen_BCHW.detach()).sum(1).relu()
    return enlarged(cam_BHW, (x_BCHW.shape[2], x_BCHW.shape[3])) if upsample else cam_BHW


@contextmanager
def captured_pooling_input(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list into which the maps come that the model's neck averages over positions, when its forward is called."""
    found: list[Tensor] = []
    neck = getattr(model, "neck", None)
    pools = [] if neck is None else [module for module in neck.modules() if isinstance(module, nn.AdaptiveAvgPool2d)]
    handles = [pool.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0])) for pool in pools[:1]]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _chosen(model: nn.Module, maps: Sequence[Tensor], last: Sequence[Tensor], stage: int | None) -> Tensor:
    """The maps that are asked for. Raises UsageError where there are none."""
    if stage is not None:
        chosen = maps[stage_number(stage, len(maps))]
        if chosen.ndim != 4:
            raise UsageError(f"stage {stage} of {type(model).__name__} gives no maps, but {tuple(chosen.shape)}")
        return chosen
    wide = [map_ for map_ in (*maps, *last) if map_.ndim == 4 and max(map_.shape[2:]) > 1]
    if not wide:
        raise UsageError(f"{type(model).__name__} gives no maps of more than one position for this input")
    return wide[-1]


def targets(logits_BK: Tensor, target: int | Tensor | None) -> Tensor:
    """The class of each image, (B,). Raises UsageError for one that the model does not have."""
    if target is None:
        return logits_BK.detach().argmax(1)
    batch, classes = logits_BK.shape
    chosen_B = torch.as_tensor(target, device=logits_BK.device).expand(batch)
    if chosen_B.is_floating_point() or ((chosen_B < 0) | (chosen_B >= classes)).any():
        raise UsageError(f"there is no class {target}: this model has {classes}, numbered from 0")
    return chosen_B.long()


def enlarged(maps_BHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps brought to (height, width), bilinearly."""
    return F.interpolate(maps_BHW[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def _logits(model: nn.Module, x_BCHW: Tensor) -> Tensor:
    try:
        logits_BK = model(x_BCHW)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not isinstance(logits_BK, Tensor) or logits_BK.ndim != 2:
        raise UsageError(f"{type(model).__name__} gives no logits (batch, classes): it is no classifier")
    return logits_BK
