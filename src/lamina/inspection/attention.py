"""Attention maps: the weights of every attention in a forward pass, and where they lie in an image."""

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
    """The attention map of every module that computes attention, by module name, in order of execution.

    Each map is (B, heads, queries, keys) and its rows sum to 1 (to 0 for a query whose keys are all masked); in a Swin
    the second dimension is windows times heads, see ``block_attention``. ``inputs`` and ``named`` are passed to the
    model's forward: an image, tokens, or tokens and their source. A model without attention gives an empty dict. For a
    module called several times the last call counts. The model runs in evaluation mode, without gradients.

    Raises UsageError for an input that the model does not accept.

        maps = attention_maps(model, tokens_BT)
        maps["stack.blocks.0.attention"]  # (B, heads, T, T)
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
    """The attention from an encoder-decoder's target tokens to its source tokens: (B, heads, T, S) by module name.

    Empty for a model without such attention (a Seq2Seq whose encoder gives a single vector). Raises UsageError for
    tokens that the model does not accept.
    """
    try:
        with evaluation_mode(model), torch.no_grad():
            if hasattr(model, "attention_map"):  # additive attention: no scaled dot products
                attn_BTS: Tensor = model.attention_map(tokens_BT, source=source_BS)  # type: ignore[operator]
                return {"attention": attn_BTS[:, None]}
            memory = model.encode(source_BS)  # type: ignore[operator]  # a model that translates
    except ValueError as error:
        raise UsageError(str(error)) from error
    maps = attention_maps(model, tokens_BT, memory=memory)
    return {name: map_ for name, map_ in maps.items() if name.endswith("cross")}


@dataclass(frozen=True, kw_only=True)
class BlockAttention:
    """The attention of one block of an image classifier, for one image: N windows of T positions, h heads.

    Global attention is a single window that covers the whole map.
    """

    name: str
    """of the attention module, in the model"""
    stage: int
    shape: tuple[int, int]
    """height and width of the stage's feature map"""
    positions_NT: Tensor
    """row * width + column of each position of each window; -1 for padding"""
    attn_NhTT: Tensor
    """attention weights within each window: query, then key"""

    def windows(self) -> Tensor:
        """(H, W): the index of the window that each position belongs to; all 0 for global attention."""
        number_T = torch.zeros(self.shape[0] * self.shape[1], dtype=torch.int64)
        for window, positions_T in enumerate(self.positions_NT):
            number_T[positions_T[positions_T >= 0]] = window
        return number_T.view(self.shape)

    def seen_from(self, row: int, column: int) -> Tensor:
        """(h, H, W): the attention weights of the query at (row, column) over all positions; 0 outside its window."""
        (window, query), *_ = (self.positions_NT == row * self.shape[1] + column).nonzero().tolist()
        keys_T = self.positions_NT[window]
        there_T = keys_T >= 0
        seen_hT = self.attn_NhTT.new_zeros(self.attn_NhTT.shape[1], self.shape[0] * self.shape[1])
        seen_hT[:, keys_T[there_T]] = self.attn_NhTT[window, :, query][:, there_T]
        return seen_hT.view(-1, *self.shape)


def block_attention(model: nn.Module, x_1CHW: Tensor) -> list[BlockAttention]:
    """The attention of every block within the stages of an image classifier, for one image (1, C, H, W), in order.

    Empty for a model without attention. Raises UsageError for an image that the model does not accept.
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
    """Recomputes and keeps the map of every scaled dot-product attention that runs inside the block: torch's fused
    kernels return the output only."""

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
        self.maps.pop(self.running[-1], None)  # the last call counts, at its place in the order
        self.maps[self.running[-1]] = map_


def _enter(running: list[str], name: str, _module: nn.Module, _inputs: Any) -> None:
    running.append(name)


def _leave(running: list[str], _module: nn.Module, _inputs: Any, _output: Any) -> None:
    running.pop()
