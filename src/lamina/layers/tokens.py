"""Input checks of token models.

Legend: B batch, T tokens of the longest row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lamina.layers.sequences import expect_tokens, real_steps


def checked_tokens(
    tokens_BT: Tensor,
    lengths_B: Tensor | None,
    vocab_size: int,
    context: int | None = None,
    what: str = "tokens",
) -> Tensor:
    """The tokens (B, T), with padding beyond ``lengths_B`` replaced by 0, so that its content does not matter.

    Raises ValueError as ``expect_tokens`` does, for more than ``context`` tokens in a row, and for tokens outside the
    vocabulary. The last is checked on the CPU only (on a GPU it would force a synchronisation); neither is checked
    while torch compiles or exports.

    >>> checked_tokens(torch.tensor([[5, 7, 9]]), torch.tensor([2]), vocab_size=10)
    tensor([[5, 7, 0]])
    """
    expect_tokens(tokens_BT, lengths_B, what)
    if lengths_B is not None:
        tokens_BT = tokens_BT.masked_fill(~real_steps(tokens_BT, lengths_B), 0)
    if torch.compiler.is_compiling():
        return tokens_BT
    if context is not None and tokens_BT.shape[1] > context:
        raise ValueError(f"{tokens_BT.shape[1]} {what} in a row are more than the context of {context}")
    if tokens_BT.device.type == "cpu":
        lowest, highest = (int(number) for number in torch.aminmax(tokens_BT))
        if lowest < 0 or highest >= vocab_size:
            raise ValueError(f"expected {what} from 0 to {vocab_size - 1}, got {lowest if lowest < 0 else highest}")
    return tokens_BT
