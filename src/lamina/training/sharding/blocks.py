"""Where a net is divided: its blocks, each of which is gathered when it is needed and let go afterwards."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import nn

from lamina.errors import UsageError
from lamina.options.recipe import Recipe
from lamina.tasks.base import Task
from lamina.training.sharding.norms import join_batch_norms

CONTAINERS = ("stages", "blocks", "layers", "cells")
"""attributes under which a net has its blocks, as a ModuleList or Sequential, also of such lists"""


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a net, inner ones first: the entries of its ``stages``, ``blocks``, ``layers`` or ``cells``. A
    block that shares a parameter with another part is left out, as is one without parameters.

    Example: ``len(blocks_of(create_model("gpt2")))`` is 12.
    """
    found: dict[nn.Module, None] = {}

    def collect(module: nn.Module, listed: bool) -> None:
        for name, child in module.named_children():
            is_list = type(child) in (nn.ModuleList, nn.Sequential)
            if is_list and (listed or name in CONTAINERS):
                collect(child, True)
            else:
                collect(child, False)
                if listed:
                    found[child] = None

    collect(model, False)
    owners: dict[int, set[nn.Module]] = defaultdict(set)
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)].add(module)

    def alone(block: nn.Module) -> bool:
        parts = set(block.modules())
        return all(owners[id(parameter)] <= parts for parameter in block.parameters())

    return [block for block in found if alone(block) and any(True for _ in block.parameters())]


def innermost_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of a net that have no blocks in them."""
    blocks = blocks_of(model)
    return [block for block in blocks if not any(part in blocks for part in block.modules() if part is not block)]


def expect_shardable(model: nn.Module, task: Task, recipe: Recipe) -> None:
    """Raise UsageError for what cannot be divided among processes, naming what helps."""
    instead = "use --strategy ddp, which keeps the whole net on each device"
    name = type(model).__name__.lower()
    if len(task.players) > 1 or task.differentiated_twice:
        raise UsageError(f"--strategy fsdp divides one net, but '{task.name}' trains several players: {instead}")
    if recipe.precision == "fp16":
        raise UsageError("--strategy fsdp cannot be used with --precision fp16, whose loss is scaled: use bf16")
    if recipe.compile:
        raise UsageError("--strategy fsdp cannot be used with --compile: leave --compile out, or use --strategy ddp")
    if recipe.metric_network is not None:
        raise UsageError(f"--strategy fsdp cannot be used with --metric-network: {instead}")
    if not blocks_of(model):
        raise UsageError(f"--strategy fsdp divides a net block by block, and {name} has no blocks: {instead}")
    scalars = [key for key, parameter in model.named_parameters() if parameter.dim() == 0]
    if scalars:
        raise UsageError(f"--strategy fsdp cannot divide {scalars[0]} of {name}, a single number: {instead}")


def shard(model: nn.Module, mesh: Any) -> nn.Module:
    """Divide a net among all processes, block by block; each block is moved to the device and takes the values of the
    first process. Batch norms take their statistics over all processes. What Fabric's strategy calls.

    ``mesh`` is Fabric's, of nodes and devices; parameters are divided along one axis of all processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    flat = init_device_mesh(mesh.device_type, (torch.distributed.get_world_size(),))
    device = torch.device(mesh.device_type, torch.cuda.current_device()) if mesh.device_type == "cuda" else None
    join_batch_norms(model)
    blocks = [*blocks_of(model), model]
    for part in model.modules():
        if methods := getattr(part, "called_apart", ()):
            _to_first(part, device)
            fully_shard(part, mesh=flat)
            for method in methods:
                register_fsdp_forward_method(part, method)
    for block in blocks:
        _to_first(block, device)
        # the root, too, is divided again after each forward: gathered weights would miss what changes them
        fully_shard(block, mesh=flat, reshard_after_forward=True)
    return model


def gather_for(model: nn.Module, method: str) -> None:
    """The parameters of a divided net are gathered for a method of it, too, not for ``forward`` alone."""
    from torch.distributed.fsdp import register_fsdp_forward_method

    register_fsdp_forward_method(model, method)


def _to_first(part: nn.Module, device: torch.device | None) -> None:
    """Move what is not divided yet to the device, with the values of the first process."""
    from torch.distributed.tensor import DTensor

    with torch.no_grad():
        for tensor in [*part.parameters(), *part.buffers()]:
            if not isinstance(tensor, DTensor):
                if device is not None:
                    tensor.data = tensor.data.to(device)
                torch.distributed.broadcast(tensor.data, 0)
