"""The key-value cache of an attention decoder: keys and values of the tokens seen so far, preallocated.

Legend: B batch, L layers, H heads, S slots (one token each), T tokens of one call, D channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lamina.layers.sequences import expect_rows


class KeyValueState(NamedTuple):
    """Keys and values of every layer; row b holds tokens in its first ``filled_B[b]`` slots.

    The caches are written in place: the states of one decoding share their memory, so only one of them can be continued
    at a time (going back to an earlier one and continuing from there is fine). For decoding, without gradients.
    """

    keys_BLHSD: Tensor
    values_BLHSD: Tensor
    filled_B: Tensor

    def after(self, count: int | Tensor) -> KeyValueState:
        """The state after ``count`` more tokens, one number for all rows or one per row (B,)."""
        return self._replace(filled_B=self.filled_B + count)


class Slots(NamedTuple):
    """One layer's caches, the slots of the T tokens of a call, and what each token may attend to."""

    keys_BHSD: Tensor
    values_BHSD: Tensor
    row_B1: Tensor
    position_BT: Tensor
    mask_B1TS: Tensor | None
    """True where a token may attend; None if all rows hold equally many tokens, where ``causal`` suffices"""
    causal: bool

    def store(self, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values in place; returns all keys and values to attend to, (B, H, S, D) each."""
        for cache_BHSD, new_BHTD in ((self.keys_BHSD, k_BHTD), (self.values_BHSD, v_BHTD)):
            if self.mask_B1TS is None:  # equally full rows: the new tokens take the last slots of all of them
                cache_BHSD[:, :, -new_BHTD.shape[2] :] = new_BHTD
            else:
                new_BTHD = new_BHTD.transpose(1, 2).to(cache_BHSD.dtype)
                cache_BHSD.transpose(1, 2)[self.row_B1, self.position_BT] = new_BTHD
        return self.keys_BHSD, self.values_BHSD


@dataclass(frozen=True)
class StateShape:
    """The sizes that all states of a model share; builds and checks states.

    >>> state = StateShape(layers=2, heads=4, width=8).empty(torch.zeros(1), batch=3, max_length=16)
    >>> state.keys_BLHSD.shape, state.filled_B
    (torch.Size([3, 2, 4, 16, 8]), tensor([0, 0, 0]))
    """

    layers: int
    heads: int
    width: int
    """D, channels of a head"""

    def empty(self, like: Tensor, batch: int, max_length: int) -> KeyValueState:
        """An empty state for ``batch`` rows of up to ``max_length`` tokens, with the device and dtype of ``like``.

        Raises ValueError for a batch or a length below 1.
        """
        if batch < 1 or max_length < 1:
            raise ValueError(f"a state needs a batch and a length of at least 1, got {batch} and {max_length}")
        # zeros, not uninitialised memory: masked slots get weight 0, and 0 * NaN is NaN
        keys_BLHSD = like.new_zeros(batch, self.layers, self.heads, max_length, self.width)
        filled_B = torch.zeros(batch, dtype=torch.int64, device=like.device)
        return KeyValueState(keys_BLHSD, torch.zeros_like(keys_BLHSD), filled_B)

    def slots(self, state: KeyValueState, like: Tensor, batch: int, length: int) -> list[Slots]:
        """The slots of ``length`` new tokens per row, for each layer; ``like`` is a weight of the model.

        Row b's token t goes into slot ``filled_B[b]`` + t and attends to all slots up to it. Right padding is harmless:
        real tokens never attend to it, and the row's next tokens overwrite it. Raises ValueError for a state of another
        model, batch, dtype or device, and if the tokens, padding included, do not fit.
        """
        shape = (batch, self.layers, self.heads, -1, self.width)
        expect_rows(state, KeyValueState, (shape, shape, (batch,)))
        keys_BLHSD, values_BLHSD, filled_B = state
        if (keys_BLHSD.dtype, keys_BLHSD.device) != (like.dtype, like.device):
            got, expected = (f"{tensor.dtype} on {tensor.device}" for tensor in (keys_BLHSD, like))
            raise ValueError(f"the state is of another model: it is {got}, the model {expected}")
        row_B1 = torch.arange(batch, device=filled_B.device)[:, None]
        position_BT = filled_B[:, None] + torch.arange(length, device=filled_B.device)
        visible, equal = keys_BLHSD.shape[3], False
        if not torch.compiler.is_compiling():  # a graph has one shape: it attends to all slots, masked
            fewest, most = (int(number) for number in torch.aminmax(filled_B))
            if most + length > visible:
                raise ValueError(f"the state has {visible} slots, {most} are filled, {length} more tokens do not fit")
            visible, equal = most + length, fewest == most
        mask_B1TS = None
        if not equal:
            mask_B1TS = (torch.arange(visible, device=filled_B.device) <= position_BT[..., None])[:, None]
        causal = equal and length > 1
        caches = [
            (keys_BLHSD[:, layer, :, :visible], values_BLHSD[:, layer, :, :visible]) for layer in range(self.layers)
        ]
        return [Slots(*cache, row_B1, position_BT, mask_B1TS, causal) for cache in caches]
