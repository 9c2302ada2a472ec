"""The state of a decoder that attends: keys and values of the tokens seen so far, preallocated.

Legend: B batch, L layers, H heads, S slots (places for tokens), T tokens of one call, D channels of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class KeyValueState(NamedTuple):
    """Keys and values of every layer; row b has tokens in its first ``filled_B[b]`` slots.

    The caches are written in place: a call with a state makes the states before it stale, except for going back to one
    of them and on from there. They are for decoding, without gradients.
    """

    keys_BLHSD: Tensor
    values_BLHSD: Tensor
    filled_B: Tensor


class Slots(NamedTuple):
    """One layer's caches, where the T tokens of a call go in them, and what each may look at."""

    keys_BHSD: Tensor
    values_BHSD: Tensor
    position_BT: Tensor
    mask_B1TS: Tensor | None
    """True where a token may look; None: no mask, or ``causal``"""
    causal: bool

    def store(self, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values in place; all that may be looked at, (B, H, S, D) each."""
        row_B1 = torch.arange(len(self.position_BT), device=k_BHTD.device)[:, None]
        for cache_BHSD, new_BHTD in ((self.keys_BHSD, k_BHTD), (self.values_BHSD, v_BHTD)):
            cache_BHSD.transpose(1, 2)[row_B1, self.position_BT] = new_BHTD.transpose(1, 2).to(cache_BHSD.dtype)
        return self.keys_BHSD, self.values_BHSD


def empty_state(like: Tensor, batch: int, layers: int, heads: int, max_length: int, width: int) -> KeyValueState:
    """A state for ``max_length`` tokens of ``batch`` rows, on the device and in the dtype of ``like``; ``width`` is D.

    Raises ValueError for a batch or a length below 1.
    """
    if batch < 1 or max_length < 1:
        raise ValueError(f"a state needs a batch and a length of at least 1, got {batch} and {max_length}")
    # zeros, not whatever memory held: what the mask hides has weight 0, and 0 * NaN is NaN
    keys_BLHSD = like.new_zeros(batch, layers, heads, max_length, width)
    filled_B = torch.zeros(batch, dtype=torch.int64, device=like.device)
    return KeyValueState(keys_BLHSD, torch.zeros_like(keys_BLHSD), filled_B)


def select_rows(state: KeyValueState, index_B: Tensor) -> KeyValueState:
    """The rows ``index_B`` of a state, in that order, repeated where it repeats them; a copy."""
    return KeyValueState(*(tensor.index_select(0, index_B) for tensor in state))


def expect_state(
    state: KeyValueState, batch: int, length: int, layers: int, heads: int, width: int, dtype: torch.dtype
) -> None:
    """Raise ValueError unless the state belongs to such a model and batch, and ``length`` more tokens fit."""
    if not isinstance(state, KeyValueState):
        raise ValueError(f"expected a state of init_state, got {type(state).__name__}")
    keys_BLHSD, _, filled_B = state
    shape = tuple(keys_BLHSD.shape)
    if len(shape) != 5 or (shape[1], shape[2], shape[4]) != (layers, heads, width) or keys_BLHSD.dtype != dtype:
        raise ValueError(
            f"the state is of another model: it holds {keys_BLHSD.dtype} of shape {shape}, "
            f"here {dtype} of shape (batch, {layers}, {heads}, length, {width}) belongs"
        )
    if torch.compiler.is_compiling():
        return
    if shape[0] != batch:
        raise ValueError(f"the state is of another batch: it has {shape[0]} rows, the tokens have {batch}")
    most = int(filled_B.max())
    if most + length > shape[3]:
        raise ValueError(f"the state has places for {shape[3]} tokens, {most} are taken, {length} more do not fit")


def slots(state: KeyValueState, length: int) -> list[Slots]:
    """Where ``length`` further tokens of each row go, layer by layer; ``expect_state`` has seen that they fit.

    Row b's token t goes into slot ``filled_B[b]`` + t and looks at all slots up to it. Padding on the right of a row
    does harm to nobody: it lies beyond what real tokens look at, and the row's next tokens overwrite it.
    """
    keys_BLHSD, values_BLHSD, filled_B = state
    position_BT = filled_B[:, None] + torch.arange(length, device=filled_B.device)
    reach, even = keys_BLHSD.shape[3], False
    if not torch.compiler.is_compiling():  # a graph has one shape: it looks at all slots, through a mask
        least, most = (int(number) for number in torch.aminmax(filled_B))
        reach, even = most + length, least == most
    mask_B1TS = None if even else (torch.arange(reach, device=filled_B.device) <= position_BT[..., None])[:, None]
    return [
        Slots(
            keys_BLHSD[:, layer, :, :reach], values_BLHSD[:, layer, :, :reach], position_BT, mask_B1TS,
            causal=even and length > 1,
        )
        for layer in range(keys_BLHSD.shape[1])
    ]  # fmt: skip
