"""A language model of causal self-attention alone: what GPT-2 and the plain Transformer language model share.

Legend: B batch, T tokens, C channels, V vocabulary, L layers, H heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lamina.layers.key_value import KeyValueState, StateShape
from lamina.layers.linear import Linear, linear
from lamina.layers.positions import Positions, position_layer
from lamina.layers.sequences import State, select_rows
from lamina.layers.tokens import checked_tokens
from lamina.layers.transformer import BlockOptions, Stack, initialise


class CausalTransformer(nn.Module):
    """tokens -> embedding + position -> dropout -> stack -> logits: (B, T) -> (B, T, V).

    ``tied``: the embedding is the output layer, too. First weights as GPT-2's (``initialise``).
    """

    def __init__(
        self, options: BlockOptions, *, layers: int, vocab_size: int, context: int, positions: Positions, tied: bool
    ) -> None:
        super().__init__()
        self.layers, self.vocab_size, self.context = layers, vocab_size, context
        self.tokens = nn.Embedding(vocab_size, options.width)
        self.positions = position_layer(positions, context, options.width)
        self.dropout = nn.Dropout(options.dropout)
        self.stack = Stack(options, layers)
        self.shape = StateShape(layers, options.heads, options.width // options.heads)
        self.head = None if tied else Linear(options.width, vocab_size, bias=False)
        initialise(self, layers)

    def forward(
        self, tokens_BT: Tensor, state: KeyValueState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, KeyValueState | None]:
        """Logits (B, T, V) of the token after each, and the state that follows; without a state no cache is built.

        With a state each row's tokens follow those it holds. ``lengths`` (B,): how many of the T tokens of a row are
        real, the rest is padding on the right, whose logits mean nothing. Raises ValueError for tokens of another shape
        or more than the context, lengths outside 1 ... T, and a state that is another model's or batch's, or full.
        """
        tokens_BT = checked_tokens(tokens_BT, lengths, self.vocab_size, self.context)
        batch, length = tokens_BT.shape
        position = torch.arange(length, device=tokens_BT.device)
        own = None
        if state is not None:
            own = self.shape.slots(state, self.tokens.weight, batch, length)
            position = own[0].position_BT
        embedded_BTC = self.tokens(tokens_BT)
        x_BTC = self.dropout(embedded_BTC + self.positions(position, embedded_BTC.dtype))
        x_BTC = self.stack(x_BTC, causal=True, slots=own)
        logits_BTV = linear(x_BTC, self.tokens.weight) if self.head is None else self.head(x_BTC)
        if state is not None:
            state = state.after(length if lengths is None else lengths)
        return logits_BTV, state

    def init_state(self, batch: int, max_length: int) -> KeyValueState:
        """An empty state for ``batch`` rows of up to ``max_length`` tokens. Raises ValueError beyond the context."""
        if max_length > self.context:
            raise ValueError(f"a state of {max_length} tokens is longer than the context of {self.context}")
        return self.shape.empty(self.tokens.weight, batch, max_length)

    def select(self, state: State, index_B: Tensor) -> State:
        """The rows ``index_B`` of a state, in that order, repeated where it repeats them."""
        return select_rows(state, index_B)
