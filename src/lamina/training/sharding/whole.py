"""A divided net made whole: its copy on the CPU, and tensors that are cut and joined."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def local(tensor: Tensor) -> Tensor:
    """This process's part of a divided tensor, or another tensor as it is, sharing its memory."""
    return tensor.to_local().detach() if is_divided(tensor) else tensor  # type: ignore[attr-defined] # a DTensor


def is_divided(tensor: object) -> bool:
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "placements")


def mesh_of(models: Mapping[str, nn.Module]) -> Any:
    """The mesh of processes among which the models are divided."""
    weights = (weight for model in models.values() for weight in model.state_dict().values())
    return next(weight.device_mesh for weight in weights if is_divided(weight))


def rows_of(length: int, rank: int, world: int) -> slice:
    """The rows of a tensor that a process holds: as ``Tensor.chunk`` cuts."""
    each = -(-length // world)
    return slice(min(rank * each, length), min((rank + 1) * each, length))


def joined(part: Tensor, length: int, mesh: Any) -> Tensor:
    """The tensor of ``length`` rows of which each process holds its part."""
    from torch.distributed.tensor import DTensor, Shard

    size = torch.Size([length, *part.shape[1:]])
    stride = torch.empty(size, device="meta").stride()
    part = part.to(mesh.device_type).contiguous()
    return DTensor.from_local(part, mesh, [Shard(0)], run_check=False, shape=size, stride=stride)


def divided(whole: Tensor, like: Tensor) -> Tensor:
    """A tensor that every process has whole, divided as another is."""
    mesh: Any = like.device_mesh  # type: ignore[attr-defined] # a DTensor
    part = whole[rows_of(len(whole), mesh.get_rank(), mesh.size())].clone()
    return joined(part, len(whole), mesh)


def divided_state(
    state: dict[str, Any],
    models: Mapping[str, nn.Module],
    optimisers: Mapping[str, Any],
    average: Mapping[str, Mapping[str, Tensor]],
) -> dict[str, Any]:
    """An engine's state in which what the models and optimisers have divided is divided, too: a state that was saved
    by one process is for several."""

    def as_in(value: Any, own: Tensor | None) -> Any:
        tensor = isinstance(value, Tensor) and own is not None and is_divided(own) and value.shape == own.shape
        return divided(value, own) if tensor and own is not None and not is_divided(value) else value

    made: dict[str, Any] = {**state, "models": {}, "optimisers": {}, "average": {}}
    for player, model in models.items():
        own = model.state_dict()
        made["models"][player] = {name: as_in(v, own.get(name)) for name, v in state["models"][player].items()}
        saved = state["optimisers"][player]
        parameters = [weight for group in optimisers[player].param_groups for weight in group["params"]]
        moments = {
            number: {name: as_in(value, parameters[number]) for name, value in values.items()}
            for number, values in saved["state"].items()
        }
        made["optimisers"][player] = {**saved, "state": moments}
    for player, values in state["average"].items():
        own = dict(average.get(player, {}))
        made["average"][player] = {name: as_in(value, own.get(name)) for name, value in values.items()}
    return made


class WholeCopy:
    """The net as it was before it was divided, without memory for its weights until they are gathered.

    Example: ``whole = WholeCopy(model)`` before dividing, ``whole.gather(model, keep=rank == 0)`` in all processes.
    """

    def __init__(self, model: nn.Module) -> None:
        memo: dict[int, Any] = {
            id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=weight.requires_grad)
            for weight in model.parameters()
        }
        self._model = copy.deepcopy(model, memo)

    @property
    def model(self) -> nn.Module:
        """On the CPU, in evaluation mode; its weights are those of the last ``gather``, or undefined."""
        made: dict[int, nn.Parameter] = {}
        for part in self._model.modules():
            for name, weight in list(part.named_parameters(recurse=False)):
                if weight.is_meta:
                    empty = torch.empty_like(weight, device="cpu")
                    own = made.setdefault(id(weight), nn.Parameter(empty, requires_grad=weight.requires_grad))
                    setattr(part, name, own)
        return self._model.eval()

    def gather(self, model: nn.Module, keep: bool) -> nn.Module | None:
        """The copy with the weights that ``model`` has now, where they are to be kept. A collective call."""
        targets = self.model.state_dict() if keep else {}
        with torch.no_grad():
            for name, value in model.state_dict().items():
                full = value.full_tensor() if is_divided(value) else value  # one by one: not all need fit at once
                if keep:
                    targets[name].copy_(full)
        return self.model if keep else None
