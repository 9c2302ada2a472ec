"""Grad-CAM: the image regions that raise a class's logit (Selvaraju et al. 2017, arXiv 1610.02391).

    L = relu(sum_k alpha_k A_k),   alpha_k = mean over positions of d logit / d A_k,

where A_k are the feature maps of one layer. By default that is the input of the head's global average pooling, which
needs no layer name: in a MobileNet V2 or an EfficientNet the 1x1 convolution after the last stage, in a Swin or a
DenseNet the last normalisation, in a SqueezeNet the maps of the classes themselves. For a model without global average
pooling (LeNet), or whose last map is a single position, it is the last stage with more than one position.
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
    """The class activation map of each image: (B, H, W), not negative, in the model's dtype.

    Args:
        model: an image classifier; it runs in evaluation mode, and the gradients of its weights are left untouched.
        x_BCHW: preprocessed images.
        target: a class for all images, one per image (B,), or None for the class with the largest logit.
        stage: use the feature maps of this stage, counted from 0 or, if negative, from the last; None for the default
            layer (see the module's docstring).
        upsample: resize the map to the size of the images (bilinear).

    A map is all zero where no channel raises the logit. Raises UsageError for a model without feature maps, a class or
    a stage that does not exist, and images that the model does not accept.

        cam_BHW = grad_cam(model, x_BCHW)
        cam_BHW = grad_cam(model, x_BCHW, 7, stage=-2, upsample=False)
    """
    with (
        evaluation_mode(model),
        captured_features(model) as maps,
        captured_pooling_input(model) as last,
        torch.enable_grad(),
    ):
        # the input requires gradients so that the maps have some even if all weights are frozen
        logits_BK = _logits(model, x_BCHW.detach().requires_grad_(x_BCHW.is_floating_point()))
        chosen_BCHW = _chosen(model, maps, last, stage)
        target_B = targets(logits_BK, target)
        score = logits_BK.gather(1, target_B[:, None]).sum()  # images are independent: each gets its own gradient
        (slope_BCHW,) = torch.autograd.grad(score, chosen_BCHW)
    alpha_BC11 = slope_BCHW.mean((2, 3), keepdim=True)
    cam_BHW = (alpha_BC11 * chosen_BCHW.detach()).sum(1).relu()
    return enlarged(cam_BHW, (x_BCHW.shape[2], x_BCHW.shape[3])) if upsample else cam_BHW


@contextmanager
def captured_pooling_input(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that receives the input of the global average pooling in the model's neck when its forward runs."""
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
    """The feature maps to explain. Raises UsageError where there are none."""
    if stage is not None:
        chosen = maps[stage_number(stage, len(maps))]
        if chosen.ndim != 4:
            raise UsageError(
                f"stage {stage} of {type(model).__name__} has no feature maps: its output is {tuple(chosen.shape)}"
            )
        return chosen
    wide = [map_ for map_ in (*maps, *last) if map_.ndim == 4 and max(map_.shape[2:]) > 1]
    if not wide:
        raise UsageError(f"{type(model).__name__} has no feature map with more than one position for this input")
    return wide[-1]


def targets(logits_BK: Tensor, target: int | Tensor | None) -> Tensor:
    """The class to explain for each image, (B,). Raises UsageError for a class that does not exist."""
    if target is None:
        return logits_BK.detach().argmax(1)
    batch, classes = logits_BK.shape
    chosen_B = torch.as_tensor(target, device=logits_BK.device).expand(batch)
    if chosen_B.is_floating_point() or ((chosen_B < 0) | (chosen_B >= classes)).any():
        raise UsageError(f"there is no class {target}: this model has {classes} classes, numbered from 0")
    return chosen_B.long()


def enlarged(maps_BHW: Tensor, size: tuple[int, int]) -> Tensor:
    """The maps resized to (height, width), bilinearly."""
    return F.interpolate(maps_BHW[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def _logits(model: nn.Module, x_BCHW: Tensor) -> Tensor:
    try:
        logits_BK = model(x_BCHW)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not isinstance(logits_BK, Tensor) or logits_BK.ndim != 2:
        raise UsageError(f"{type(model).__name__} is not a classifier: its output is not (batch, classes)")
    return logits_BK
