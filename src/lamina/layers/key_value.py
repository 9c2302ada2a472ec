"""The state of a decoder that attends: keys and values of the tokens seen so far, preallocated.

Legend: B batch, L layers, H heads, S slots (places for tokens), T tokens of one call, D channels of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lamina.layers.sequences import expect_rows


class KeyValueState(NamedTuple):
    """Keys and values of every layer; row b has tokens in its first ``filled_B[b]`` slots.

    The caches are written in place: a call with a state makes the states before it stale, except for going back to one
    of them and on from there. They are for decoding, without gradients.
    """

    keys_BLHSD: Tensor
    values_BLHSD: Tensor
    filled_B: Tensor

    def after(self, count: int | Tensor) -> KeyValueState:
        """The state with so many more tokens in it, one number or one for each row."""
        return self._replace(filled_B=self.filled_B + count)


class Slots(NamedTuple):
    """One layer's caches, where the T tokens of a call go in them, and what each may look at."""

    keys_BHSD: Tensor
    values_BHSD: Tensor
    row_B1: Tensor
    position_BT: Tensor
    mask_B1TS: Tensor | None
    """True where a token may look; None where all rows are as full: no mask, or ``causal``"""
    causal: bool

    def store(self, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values in place; all that may be looked at, (B, H, S, D) each."""
        for cache_BHSD, new_BHTD in ((self.keys_BHSD, k_BHTD), (self.values_BHSD, v_BHTD)):
            if self.mask_B1TS is None:  # all rows are as full: the last slots are theirs, and one block each
                cache_BHSD[:, :, -new_BHTD.shape[2] :] = new_BHTD
            else:
                new_BTHD = new_BHTD.transpose(1, 2).to(cache_BHSD.dtype)
                cache_BHSD.transpose(1, 2)[self.row_B1, self.position_BT] = new_BTHD
        return self.keys_BHSD, self.values_BHSD


@dataclass(frozen=True)
class StateShape:
    """What the states of a model have in common."""

    layers: int
    heads: int
    width: int
    """D"""

    def empty(self, like: Tensor, batch: int, max_length: int) -> KeyValueState:
        """A state for ``max_length`` tokens of ``batch`` rows, on the device and in the dtype of ``like``.

        Raises ValueError for a batch or a length below 1.
        """
        if batch < 1 or max_length < 1:
            raise ValueError(f"a state needs a batch and a length of at least 1, got {batch} and {max_length}")
        # zeros, not whatever memory held: what the mask hides has weight 0, and 0 * NaN is NaN
        keys_BLHSD = like.new_zeros(batch, self.layers, self.heads, max_length, self.width)
        filled_B = torch.zeros(batch, dtype=torch.int64, device=like.device)
        return KeyValueState(keys_BLHSD, torch.zeros_like(keys_BLHSD), filled_B)

    def slots(self, state: KeyValueState, like: Tensor, batch: int, length: int) -> list[Slots]:
        """Where ``length`` further tokens of each row go, layer by layer; ``like`` is a weight of the model.

        Row b's token t goes into slot ``filled_B[b]`` + t and looks at all slots up to it. Padding on the right of a
        row does no harm: it lies beyond what real tokens look at, and the row's next tokens overwrite it. Raises
        ValueError for a state of another model, batch, dtype or device, and where the tokens, padding included, do not
        fit.
        """
        shape = (batch, self.layers, self.heads, -1, self.width)
        expect_rows(state, KeyValueState, (shape, shape, (batch,)))
        keys_BLHSD, values_BLHSD, filled_B = state
        if (keys_BLHSD.dtype, keys_BLHSD.device) != (like.dtype, like.device):
            there, here = (f"{tensor.dtype} on {tensor.device}" for tensor in (keys_BLHSD, like))
            raise ValueError(f"the state is of another model: it is {there}, the model {here}")
        row_B1 = torch.arange(batch, device=filled_B.device)[:, None]
        position_BT = filled_B[:, None] + torch.arange(length, device=filled_B.device)
        reach, equal = keys_BLHSD.shape[3], False
        if not torch.compiler.is_compiling():  # a graph has one shape: it looks at all slots, through a mask
            fewest, most = (int(number) for number in torch.aminmax(filled_B))
            if most + length > reach:
                raise ValueError(f"the state has {reach} places, {most} are taken, {length} more tokens do not fit")
            reach, equal = most + length, fewest == most
        mask_B1TS = None
        if not equal:
            mask_B1TS = (torch.arange(reach, device=filled_B.device) <= position_BT[..., None])[:, None]
        causal = equal and length > 1
        caches = [(keys_BLHSD[:, layer, :, :reach], values_BLHSD[:, layer, :, :reach]) for layer in range(self.layers)]
        return [Slots(*cache, row_B1, position_BT, mask_B1TS, causal) for cache in caches]
