"""What attention looks at: the maps of every attention that a forward calculates, and where they lie in the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode
from lamina.inspection.features import feature_maps
from lamina.layers.attention import attention


def attention_maps(model: nn.Module, *inputs: Any, **named: Any) -> dict[str, Tensor]:
    """For each module that calculates attention, by its name in the model and in the order of the calculation: the map
    (B, heads, queries, keys), each row's sum 1 (0 where a query may look nowhere). The inputs are those of the model's
    forward: an image, tokens, tokens and their source.

    Empty for a model without attention. Of a Swin the second number counts pairs of window and head: see
    ``block_attention``.
    Of a module called several times the last call counts. Raises UsageError for an input the model does not take.
    """
    running: list[str] = []
    maps: dict[str, Tensor] = {}
    handles = []
    for name, module in model.named_modules():
        handles += [
            module.register_forward_pre_hook(partial(_enter, running, name)),
            module.register_forward_hook(partial(_leave, running), always_call=True),
        ]
    try:
        with evaluation_mode(model), torch.no_grad(), _Attentions(running, maps):
            model(*inputs, **named)
    except ValueError as error:
        raise UsageError(str(error)) from error
    finally:
        for handle in handles:
            handle.remove()
    return maps


def alignments(model: nn.Module, tokens_BT: Tensor, source_BS: Tensor) -> dict[str, Tensor]:
    """How an encoder-decoder's output looks at its source: for each such attention, by name, (B, heads, T, S).

    Empty for a model that looks at its source through a vector alone. Raises UsageError for tokens it does not take.
    """
    try:
        with evaluation_mode(model), torch.no_grad():
            if hasattr(model, "attention_map"):  # one step at a time, not by way of scaled dot products
                attn_BTS: Tensor = model.attention_map(tokens_BT, source=source_BS)  # type: ignore[operator]
                return {"attention": attn_BTS[:, None]}
            memory = model.encode(source_BS)  # type: ignore[operator]
    except ValueError as error:
        raise UsageError(str(error)) from error
    maps = attention_maps(model, tokens_BT, memory=memory)
    return {name: map_ for name, map_ in maps.items() if name.endswith("cross")}


@dataclass(frozen=True, kw_only=True)
class BlockAttention:
    """Where the positions of a stage's map look, in one block, for one image. N windows of T positions, h heads."""

    name: str
    """the module's, in the model"""
    stage: int
    shape: tuple[int, int]
    """height and width of the stage's map"""
    positions_NT: Tensor
    """row * width + column of each window's positions; -1 for one that was filled up"""
    attn_NhTT: Tensor
    """query, then key, within each window"""

    def windows(self) -> Tensor:
        """(H, W), the number of the window that each position lies in; all 0 where positions see the whole map."""
        number_T = torch.zeros(self.shape[0] * self.shape[1], dtype=torch.int64)
        for window, positions_T in enumerate(self.positions_NT):
            number_T[positions_T[positions_T >= 0]] = window
        return number_T.view(self.shape)

    def seen_from(self, row: int, column: int) -> Tensor:
        """How much that position looks at each other one, (h, H, W); 0 outside its window."""
        (window, query), *_ = (self.positions_NT == row * self.shape[1] + column).nonzero().tolist()
        keys_T = self.positions_NT[window]
        there_T = keys_T >= 0
        seen_hT = self.attn_NhTT.new_zeros(self.attn_NhTT.shape[1], self.shape[0] * self.shape[1])
        seen_hT[:, keys_T[there_T]] = self.attn_NhTT[window, :, query][:, there_T]
        return seen_hT.view(-1, *self.shape)


def block_attention(model: nn.Module, x_1CHW: Tensor) -> list[BlockAttention]:
    """The attentions within the stages of an image classifier, for one image, in order; empty for one without any.

    Raises UsageError as ``attention_maps`` does.
    """
    rows: list[BlockAttention] = []
    found = attention_maps(model, x_1CHW)
    maps = feature_maps(model, x_1CHW) if found else []
    for name, attn_1GTT in found.items():
        numbers = [int(part) for part in name.split(".") if part.isdecimal()]  # stages.<stage>...<block>...
        if not name.startswith("stages.") or len(numbers) < 2:
            continue
        stage, block = numbers[:2]
        height, width = maps[stage].shape[-2:]
        if hasattr(model, "window_positions"):
            positions_NT: Tensor = model.window_positions(*x_1CHW.shape[2:], stage, block)  # type: ignore[operator]
        else:
            positions_NT = torch.arange(height * width)[None]
        if attn_1GTT.shape[-1] == positions_NT.shape[1]:
            attn_NhTT = attn_1GTT.reshape(len(positions_NT), -1, *attn_1GTT.shape[2:]).cpu()
            shape = (height, width)
            rows.append(
                BlockAttention(name=name, stage=stage, shape=shape, positions_NT=positions_NT, attn_NhTT=attn_NhTT)
            )
    return rows


class _Attentions(TorchFunctionMode):
    """Calculates the map of every attention that is calculated inside the block once more, and keeps it."""

    def __init__(self, running: list[str], maps: dict[str, Tensor]) -> None:
        super().__init__()
        self.running, self.maps = running, maps

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self._keep(*args, **kwargs)
        return func(*args, **kwargs)

    def _keep(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **_more: Any,
    ) -> None:
        _, map_ = attention(q, k, v, mask=attn_mask, causal=is_causal, need_map=True)
        assert map_ is not None
        self.maps.pop(self.running[-1], None)  # the last call is the one that counts, in its own place
        self.maps[self.running[-1]] = map_


def _enter(running: list[str], name: str, _module: nn.Module, _inputs: Any) -> None:
    running.append(name)


def _leave(running: list[str], _module: nn.Module, _inputs: Any, _output: Any) -> None:
    running.pop()
