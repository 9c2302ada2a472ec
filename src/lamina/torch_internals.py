"""Every private name of torch and Lightning Fabric that the package uses, with what the public names lack.

Nothing else in the package uses a name of theirs that begins with an underscore (a test), so that an upgrade of either
is checked against this file. It imports torch alone; objects of Fabric are handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch import config as _functorch_config
from torch._higher_order_ops.scan import scan
from torch.nn.modules.batchnorm import _NormBase as BatchOrInstanceNorm
from torch.nn.modules.conv import _ConvNd as AnyConv
from torch.nn.modules.conv import _ConvTransposeNd as AnyTransposedConv
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = [
    "HAS_ONEDNN_LINEAR",
    "AnyConv",
    "AnyTransposedConv",
    "BatchOrInstanceNorm",
    "TorchDispatchMode",
    "base_of",
    "call_uncompiled",
    "cpu_has_bf16",
    "flat_weights",
    "forbid_donated_buffers",
    "foreach_copy_",
    "foreach_lerp_",
    "onednn_linear",
    "operator_packet",
    "operator_schema",
    "precision_plugin",
    "sample_dirichlet",
    "scan",
    "set_compiled_call",
    "set_ddp_options",
    "storage_id",
    "tree_leaves",
]

# scan                 a loop over time as one operator of a graph, for any length: a Python loop is unrolled over the
#                      traced length
# TorchDispatchMode    sees every ATen operator of a forward (layer tables, receptive fields): the public
#                      ``TorchFunctionMode`` sees what is called, not what is calculated
# tree_leaves          what nested tuples, lists and dictionaries hold: torch 2.13 publishes no such function
# BatchOrInstanceNorm  the common base of batch and instance norms: there is one public class for each dimension
# AnyConv              the common base of convolutions, and of transposed ones (AnyTransposedConv): as above


# cpu_has_bf16         no public function tells which instructions the processor has
# ---------------------------------------------------------------- operators and tensors


def cpu_has_bf16() -> bool:
    """Whether the processor has instructions for bf16 (AVX-512 or AMX); False where torch cannot tell."""
    tests = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(test is not None and test() for test in tests)


def operator_packet(operator: Any) -> Any:
    """The operator of an overload, ``aten.add`` of ``aten.add.Tensor``: what ``flop_registry`` is keyed by."""
    return operator._overloadpacket


def operator_schema(operator: Any) -> Any:
    """The names and defaults of an ATen operator's arguments, and whether it writes into one; unpublished elsewhere."""
    return operator._schema


def base_of(tensor: Tensor) -> Tensor | None:
    """The tensor that ``tensor`` is a view of, None where it is no view. torch publishes only whether it is one."""
    return tensor._base


def storage_id(tensor: Tensor) -> int:
    """Equal for tensors that share memory. ``data_ptr`` is 0 for all tensors on the meta device."""
    number: int = tensor.untyped_storage()._cdata
    return number


def foreach_copy_(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy each source into its target, in a few kernels for all of them: ``Tensor.copy_`` is one for each."""
    torch._foreach_copy_(targets, sources)


def foreach_lerp_(targets: list[Tensor], ends: list[Tensor], weight: float) -> None:
    """Move each target towards its end, in a few kernels for all of them: ``Tensor.lerp_`` is one for each."""
    torch._foreach_lerp_(targets, ends, weight)


def sample_dirichlet(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """A draw from a Dirichlet distribution, (..., K). ``torch.distributions`` takes no generator."""
    return torch._sample_dirichlet(alpha, generator=generator)


# ---------------------------------------------------------------- layers

HAS_ONEDNN_LINEAR: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""whether this build of torch has ``onednn_linear``"""


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b, computed by oneDNN. In float32 ``torch.nn.functional.linear`` calls MKL."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def flat_weights(recurrent: nn.RNNBase) -> list[Tensor]:
    """The weights of a recurrent module in the order that torch's fused kernels take them."""
    weights: list[Any] = recurrent._flat_weights
    return weights


# ---------------------------------------------------------------- compiling


def forbid_donated_buffers() -> None:
    """Keep compiled graphs from reusing what their forward saved for the gradients; a setting without public form."""
    _functorch_config.donated_buffer = False


def call_uncompiled(module: nn.Module) -> Callable[..., Any]:
    """The call of a module, hooks included, past what ``nn.Module.compile`` made; ``forward`` leaves the hooks out."""
    call: Callable[..., Any] = module._call_impl
    return call


def set_compiled_call(module: nn.Module, call: Callable[..., Any]) -> None:
    """What ``module(...)`` calls from now on. ``nn.Module.compile`` sets it, but takes no function of one's own."""
    module._compiled_call_impl = call


# ---------------------------------------------------------------- Lightning Fabric


def precision_plugin(fabric: Any) -> Any:
    """A Fabric's precision plugin: its state (fp16's loss scale) and its casts of inputs and outputs, which Fabric
    itself applies to ``forward`` alone."""
    return fabric._precision


def set_ddp_options(fabric: Any, **options: Any) -> None:
    """Options of DistributedDataParallel for what a Fabric sets up from now on. Its strategy takes them in its
    constructor alone, before the task that decides them is known."""
    fabric._strategy._ddp_kwargs.update(options)
