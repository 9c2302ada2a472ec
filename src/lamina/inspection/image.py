"""Everything that inspection shows of an image classifier for one image, as tensors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.inspection.attention import BlockAttention, block_attention
from lamina.inspection.cam import grad_cam, targets
from lamina.inspection.erf import effective_receptive_field
from lamina.inspection.features import feature_maps, stage_number
from lamina.inspection.filters import first_filters
from lamina.inspection.gradients import gradient_flow


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a model computes for one image. K outputs, C channels."""

    x_CHW: Tensor
    """the preprocessed image, as the model gets it"""
    logits_K: Tensor
    target: int
    """the index of the class that is explained"""
    stage: int | None
    """the stage of the class activation map; None for the default layer (see ``lamina.inspection.cam``)"""
    cam_HW: Tensor
    """Grad-CAM at the size of the image; all 0 where no channel raises the class's logit"""
    maps: list[Tensor]
    """the feature map (C, H, W) of each stage"""
    filters_OIHW: Tensor | None
    """weights of the first convolution"""
    fields: list[Tensor]
    """the effective receptive field (H, W) of the centre unit of each stage; sums to 1"""
    attention: list[BlockAttention]
    """of each block with attention: windows and attention weights"""
    gradients: list[tuple[str, float]]
    """(weight name, norm of the gradient of the target's logit / norm of the weight), in definition order"""

    @property
    def looking(self) -> list[BlockAttention]:
        """Deprecated: the former name of ``attention``."""
        warnings.warn("Inspection.looking is now attention", DeprecationWarning, stacklevel=2)
        return self.attention


def inspect_image(
    model: nn.Module, x_1CHW: Tensor, target: int | None = None, *, stage: int | None = None, samples: int = 8
) -> Inspection:
    """Inspect an image classifier with one preprocessed image.

    Args:
        model: an image classifier; its mode and gradients are left untouched.
        x_1CHW: the preprocessed image.
        target: the class to explain; None for the predicted class.
        stage: the stage of the class activation map, counted from 0 or, if negative, from the last; None for the
            default layer (see ``lamina.inspection.cam``).
        samples: the number of random inputs for the effective receptive field.

    Raises UsageError where the model, image, class and stage do not fit each other.
    """
    if x_1CHW.ndim != 4 or len(x_1CHW) != 1:
        raise UsageError(f"expected one image (1, channels, height, width), got {tuple(x_1CHW.shape)}")
    maps = feature_maps(model, x_1CHW)
    if any(map_.ndim != 4 for map_ in maps):
        raise UsageError(f"the stages of {type(model).__name__} have no feature maps: it is not an image classifier")
    with evaluation_mode(model), torch.no_grad():
        logits_K = model(x_1CHW)[0]
    chosen = int(targets(logits_K[None], target))
    number = None if stage is None else stage_number(stage, len(maps))
    with evaluation_mode(model):
        gradients = gradient_flow(model, lambda net: net(x_1CHW)[0, chosen])
    return Inspection(
        x_CHW=x_1CHW[0],
        logits_K=logits_K,
        target=chosen,
        stage=number,
        cam_HW=grad_cam(model, x_1CHW, chosen, stage=number)[0],
        maps=[map_[0] for map_ in maps],
        filters_OIHW=first_filters(model),
        fields=effective_receptive_field(model, (x_1CHW.shape[2], x_1CHW.shape[3]), samples=samples),
        attention=block_attention(model, x_1CHW),
        gradients=gradients,
    )
