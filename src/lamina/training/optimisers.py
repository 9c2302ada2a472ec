"""torch's optimisers from a recipe, fused where torch has a fused form."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.optim import Optimizer

from lamina.training.recipe import Recipe

NORMS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norms of every dimension
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.PReLU,  # no norm, but its slope must not decay either: He et al. 2015, section 2
)


def make_optimiser(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the trainable parameters of ``model``.

    Each parameter group keeps its full rate as ``base_lr``; with ``decay_norm_and_bias=False`` biases and parameters of
    normalisation layers are a group of their own, without weight decay.
    """
    groups = [{"params": [p for _, p in _trainable(model)], "weight_decay": recipe.weight_decay}]
    if recipe.weight_decay and not recipe.decay_norm_and_bias:
        spared = {id(p) for p in _norms_and_biases(model)}
        groups = [
            {"params": [p for _, p in _trainable(model) if id(p) not in spared], "weight_decay": recipe.weight_decay},
            {"params": [p for _, p in _trainable(model) if id(p) in spared], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
    for group in groups:
        group["base_lr"] = recipe.lr
    betas = (recipe.beta1, recipe.beta2)
    match recipe.optimizer:
        case "sgd":
            nesterov = recipe.nesterov and recipe.momentum > 0
            return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, fused=True)
        case "adam":
            return torch.optim.Adam(groups, lr=recipe.lr, betas=betas, eps=recipe.eps, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.lr, betas=betas, eps=recipe.eps, fused=True)
        case "rmsprop":  # torch has no fused form
            return torch.optim.RMSprop(
                groups, lr=recipe.lr, alpha=recipe.beta2, eps=recipe.eps, momentum=recipe.momentum, foreach=True
            )


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _norms_and_biases(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, NORMS) or "bias" in name.split(".")[-1]:
                yield parameter
