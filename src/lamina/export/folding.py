"""Folding batch norms into the convolutions and linear layers before them: the same function, one pass fewer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.overrides import TorchFunctionMode

from lamina.torch_internals import AnyConv, AnyTransposedConv, tree_leaves

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
MAKERS = (
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
    F.linear,
)

QUERIES = (Tensor.dim, Tensor.size, Tensor.numel, Tensor.stride, Tensor.is_contiguous, Tensor.is_floating_point)
"""functions that do not read the tensor's values; properties (``x.shape``) are recognised by name"""

Pair = tuple[AnyConv | nn.Linear, nn.Module]


@torch.no_grad()
def fold_batch_norms(model: nn.Module, example: Tensor) -> int:
    """Fold the batch norms of a model in evaluation mode in place, and return how many were folded.

    One forward pass of ``example`` is recorded. A norm is folded if its input is the output of a convolution or linear
    layer that nothing else reads, and both are used once; ``nn.Identity`` replaces it.
    """
    pairs = _pairs(model, example)
    for layer, norm in pairs:
        _fold(layer, norm)
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if child is norm:
                    setattr(parent, name, nn.Identity())
    return len(pairs)


class _Watch(TorchFunctionMode):
    """Records which layer makes each tensor, and how often it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[int] = Counter()
        self.makers: dict[int, tuple[int, int]] = {}
        """tensor -> (the weight of the layer that made it, dimensions of the tensor)"""
        self.norms: list[tuple[int, int]] = []
        """(tensor normalised, running mean)"""
        self._alive: list[Any] = []  # keeps ids from being reused

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func in QUERIES or getattr(func, "__name__", "") == "__get__":
            return out
        self._alive.append((args, kwargs, out))
        self.reads.update(id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        if func in MAKERS and len(args) > 1:
            self.makers[id(out)] = (id(args[1]), out.ndim)
        elif func is F.batch_norm and len(args) > 1:
            self.norms.append((id(args[0]), id(args[1])))
        return out


def _pairs(model: nn.Module, example: Tensor) -> list[Pair]:
    with _Watch() as watch:
        out = model(example)
    watch.reads.update(id(leaf) for leaf in tree_leaves(out) if isinstance(leaf, Tensor))
    layers: dict[int, list[AnyConv | nn.Linear]] = defaultdict(list)
    norms: dict[int, nn.Module] = {}
    for module in model.modules():
        if isinstance(module, AnyConv | nn.Linear):
            layers[id(module.weight)].append(module)
        elif type(module) in NORMS and module.running_mean is not None:  # a subclass may do more than normalise
            norms[id(module.running_mean)] = module
    normalised = Counter(mean for _, mean in watch.norms)
    pairs: list[Pair] = []
    for tensor, mean in watch.norms:
        weight, dimensions = watch.makers.get(tensor, (0, 0))
        found, norm = layers.get(weight, []), norms.get(mean)
        if norm is None or len(found) != 1 or not (watch.reads[tensor] == watch.reads[weight] == normalised[mean] == 1):
            continue
        layer = found[0]
        if isinstance(layer, nn.Linear) and dimensions != 2:  # the norm is over another dimension
            continue
        if isinstance(layer, AnyTransposedConv) and layer.groups > 1:
            continue
        pairs.append((layer, norm))
    return pairs


def _fold(layer: AnyConv | nn.Linear, norm: Any) -> None:
    """Fold ``norm`` into ``layer``: computed in float64, stored in the dtype of the weights."""
    scale, shift = (None if value is None else value.double() for value in (norm.weight, norm.bias))
    bias = None if layer.bias is None else layer.bias.double()
    statistics = (norm.running_mean.double(), norm.running_var.double(), norm.eps)
    if isinstance(layer, nn.Linear):
        mean = statistics[0]
        scale = torch.ones_like(mean) if scale is None else scale
        shift = torch.zeros_like(mean) if shift is None else shift
        bias = torch.zeros_like(mean) if bias is None else bias
        folded = fuse_linear_bn_weights(layer.weight.double(), bias, *statistics, scale, shift)
    else:
        transposed = isinstance(layer, AnyTransposedConv)
        folded = fuse_conv_bn_weights(layer.weight.double(), bias, *statistics, scale, shift, transpose=transposed)
    dtype = layer.weight.dtype
    layer.weight, layer.bias = (nn.Parameter(value.to(dtype), requires_grad=False) for value in folded)
