"""torch's optimisers from a recipe, fused where torch has a fused form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lamina.options.recipe import Recipe
from lamina.torch_internals import BatchOrInstanceNorm
from lamina.training.sharding.whole import is_divided

NORMS = (
    BatchOrInstanceNorm,  # batch and instance norms of every dimension
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.PReLU,  # not a norm, but its slope must not decay either: He et al. 2015, section 2
)


def make_optimiser(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the trainable parameters of ``model``.

    Each parameter group stores its unscaled learning rate as ``base_lr``. With ``decay_norm_and_bias=False`` biases and
    normalisation parameters are in separate groups without weight decay. With ``layer_decay`` every layer is a group
    with rate lr * layer_decay ** (distance from the head).

    Example: ``make_optimiser(model, Recipe(optimizer="sgd", lr=0.1, momentum=0.9))``
    """
    exempting = recipe.weight_decay and not recipe.decay_norm_and_bias
    exempt = {id(p) for p in _norms_and_biases(model)} if exempting else set()
    layer_of = layer_numbers(model) if recipe.layer_decay < 1 else {}
    last = max(layer_of.values(), default=0)
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, p in _trainable(model):
        found.setdefault((layer_of.get(name, last), id(p) in exempt), []).append(p)
    groups: list[dict[str, Any]] = [
        {
            "params": parameters,
            "weight_decay": 0.0 if is_exempt else recipe.weight_decay,
            "base_lr": recipe.lr * recipe.layer_decay ** (last - layer),
        }
        for (layer, is_exempt), parameters in sorted(found.items(), key=lambda item: item[0])
    ]
    betas = (recipe.beta1, recipe.beta2)
    match recipe.optimizer:
        case "sgd":
            nesterov = recipe.nesterov and recipe.momentum > 0
            fused = not any(is_divided(p) for p in model.parameters())  # torch has no fused form for divided ones
            how: dict[str, Any] = {"fused": True} if fused else {"foreach": True}
            return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, **how)
        case "adam":
            return torch.optim.Adam(groups, lr=recipe.lr, betas=betas, eps=recipe.eps, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.lr, betas=betas, eps=recipe.eps, fused=True)
        case "rmsprop":  # torch has no fused form
            return torch.optim.RMSprop(
                groups, lr=recipe.lr, alpha=recipe.beta2, eps=recipe.eps, momentum=recipe.momentum, foreach=True
            )


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """The layer number of every parameter, by name, from 0 at the input.

    Layers are the children of the model that have parameters, in order of definition: stem, stages.0, stages.1, ...,
    head; each module of a list is a layer. Parameters of the model itself, such as a position embedding, belong to
    layer 0.
    """
    parts: list[str] = []
    for name, child in model.named_children():
        many = isinstance(child, nn.ModuleList) or name == "stages"
        parts += [f"{name}.{key}." for key, _ in child.named_children()] if many else [f"{name}."]
    names = [name for name, _ in model.named_parameters()]
    layers = [part for part in parts if any(name.startswith(part) for name in names)]
    return {name: next((i for i, part in enumerate(layers) if name.startswith(part)), 0) for name in names}


def _trainable(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def _norms_and_biases(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, NORMS) or "bias" in name.split(".")[-1]:
                yield parameter
