"""A decoder-only Transformer language model: what GPT-2 and the plain Transformer language model share.

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
    """tokens -> embedding + position -> dropout -> blocks -> logits: (B, T) -> (B, T, V).

    ``tied``: the output layer shares the embedding's weight. Weights are initialised as in GPT-2 (``initialise``).

    >>> options = BlockOptions(
    ...     width=16, heads=2, hidden=64, norm="first", activation="gelu", dropout=0.0, attention_dropout=0.0
    ... )
    >>> model = CausalTransformer(options, layers=2, vocab_size=50, context=8, positions="learned", tied=True)
    >>> state = model.init_state(batch=1, max_length=8)
    >>> logits_BTV, state = model(torch.tensor([[3, 1, 4]]), state)  # the prompt
    >>> logits_BTV, state = model(torch.tensor([[1]]), state)  # one token more
    >>> logits_BTV.shape
    torch.Size([1, 1, 50])
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
        """Logits (B, T, V) for the next token at every position, and the new state (None if ``state`` is None).

        ``state`` is the key-value cache of the tokens seen so far; the new tokens continue it. ``lengths`` (B,) counts
        the real tokens of each row; the rest is right padding, whose logits are meaningless. Raises ValueError for
        tokens that are not (B, T) or exceed the context, lengths outside 1 ... T, and a state that is full or belongs
        to another model or batch.
        """
        tokens_BT = checked_tokens(tokens_BT, lengths, self.vocab_size, self.context)
        batch, length = tokens_BT.shape
        position = torch.arange(length, device=tokens_BT.device)
        slots = None
        if state is not None:
            slots = self.shape.slots(state, self.tokens.weight, batch, length)
            position = slots[0].position_BT
        embedded_BTC = self.tokens(tokens_BT)
        x_BTC = self.dropout(embedded_BTC + self.positions(position, embedded_BTC.dtype))
        x_BTC = self.stack(x_BTC, causal=True, slots=slots)
        logits_BTV = linear(x_BTC, self.tokens.weight) if self.head is None else self.head(x_BTC)
        if state is not None:
            state = state.after(length if lengths is None else lengths)
        return logits_BTV, state

    def init_state(self, batch: int, max_length: int) -> KeyValueState:
        """An empty key-value cache for ``batch`` rows of up to ``max_length`` tokens.

        Raises ValueError if ``max_length`` exceeds the context.
        """
        if max_length > self.context:
            raise ValueError(f"a state of {max_length} tokens is longer than the context of {self.context}")
        return self.shape.empty(self.tokens.weight, batch, max_length)

    def select(self, state: State, index_B: Tensor) -> State:
        """The rows ``index_B`` of a state, in this order; a row may be repeated, as in beam search."""
        return select_rows(state, index_B)
