"""Everything that can be seen inside an image classifier for one image, as tensors."""

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
    """One image, seen from inside the model. K outputs, C channels."""

    x_CHW: Tensor
    """the image as the model gets it, normalised"""
    logits_K: Tensor
    target: int
    """the class looked for, its number"""
    stage: int | None
    """the stage that the class activation map is of; None for the maps that the head averages, or the last ones"""
    cam_HW: Tensor
    """Grad-CAM, at the image's size; all 0 where nothing speaks for the class"""
    maps: list[Tensor]
    """of each stage, (C, H, W)"""
    filters_OIHW: Tensor | None
    """weights of the first convolution"""
    fields: list[Tensor]
    """effective receptive field of the middle unit of each stage's map, over the pixels, its sum 1"""
    attention: list[BlockAttention]
    """attention in each block that has it: windows, and who looks where"""
    gradients: list[tuple[str, float]]
    """(weight, norm of the gradient of the target's logit over the weight's norm), in order of depth"""

    @property
    def looking(self) -> list[BlockAttention]:
        """Deprecated: the former name of ``attention``."""
        warnings.warn("Inspection.looking is now attention", DeprecationWarning, stacklevel=2)
        return self.attention


def inspect_image(
    model: nn.Module, x_1CHW: Tensor, target: int | None = None, *, stage: int | None = None, samples: int = 8
) -> Inspection:
    """Look inside an image classifier with one preprocessed image (1, C, H, W).

    ``target`` is a class, by default the one that the model says; ``stage`` the one that the class activation map is
    taken from, numbered from 0 or, negative, from the last (by default the layer that suits the family, see ``cam``);
    ``samples`` the random inputs that the effective receptive field is measured with. The model's mode and gradients
    stay as they are. Raises UsageError where model, image, class and stage do not fit each other.
    """
    if x_1CHW.ndim != 4 or len(x_1CHW) != 1:
        raise UsageError(f"one image is looked at, (1, channels, height, width), got {tuple(x_1CHW.shape)}")
    maps = feature_maps(model, x_1CHW)
    if any(map_.ndim != 4 for map_ in maps):
        raise UsageError(f"the stages of {type(model).__name__} give no maps: there is nothing to see in an image")
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
