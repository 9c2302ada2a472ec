"""A model during decoding: prompts as one padded batch, its state and memory, its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.errors import RunError, UsageError

State = tuple[Tensor, ...]
"""A model's state or memory: a NamedTuple of tensors with the batch as dimension 0."""


def read_prompts(model: nn.Module, prompts: Sequence[Sequence[int]] | Tensor, max_new_tokens: int) -> list[list[int]]:
    """The prompts as lists of tokens, validated.

    Raises UsageError for an empty batch or prompt, a token outside the vocabulary, and a prompt that with
    ``max_new_tokens`` more exceeds the model's context.
    """
    if max_new_tokens < 1:
        raise UsageError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if isinstance(prompts, Tensor):
        if prompts.ndim != 2 or prompts.is_floating_point():
            raise UsageError(f"prompts must be integers (batch, length), got {prompts.dtype} {tuple(prompts.shape)}")
        rows: list[list[int]] = prompts.tolist()
    else:
        if any(isinstance(prompt, int) for prompt in prompts):
            raise UsageError("prompts must be lists of tokens, got tokens: put a single prompt into a list")
        rows = [[int(token) for token in prompt] for prompt in prompts]
    if not rows:
        raise UsageError("no prompts: an empty batch cannot be continued")
    vocabulary, context = limits(model)
    for number, row in enumerate(rows):
        if not row:
            raise UsageError(f"prompt {number} is empty: decoding needs at least one token to start from")
        wrong = next((token for token in row if token < 0 or (vocabulary is not None and token >= vocabulary)), None)
        if wrong is not None:
            valid = "tokens are not negative" if vocabulary is None else f"tokens are 0 to {vocabulary - 1}"
            raise UsageError(f"prompt {number} has token {wrong}; {valid}")
        if context is not None and len(row) + max_new_tokens > context:
            more = "" if len(row) > context else f" and {max_new_tokens} new ones"
            raise UsageError(f"prompt {number} has {len(row)} tokens{more}, which exceeds the context of {context}")
    return rows


def limits(model: nn.Module) -> tuple[int | None, int | None]:
    """The size of a model's vocabulary and the length of its context; None where its config does not state it."""
    config = getattr(model, "config", None)
    return getattr(config, "vocab_size", None), getattr(config, "context", None)


def expect_token(model: nn.Module, token: int | None, what: str) -> None:
    """Raise UsageError for a token outside the model's vocabulary; ``what`` names it in the message."""
    vocabulary, _ = limits(model)
    if token is not None and (token < 0 or (vocabulary is not None and token >= vocabulary)):
        raise UsageError(f"{what} is token {token}, which is not in the vocabulary")


class Decoder:
    """A model with the state and the memory of the rows that are being decoded.

    Raises UsageError for a memory of another batch size, and for input that the model does not accept.
    """

    def __init__(self, model: Any, memory: State | None, rows: Sequence[Sequence[int]], new_tokens: int) -> None:
        self.model = model
        self.memory = memory
        self.device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        if memory is not None and len(memory[0]) != len(rows):
            raise UsageError(f"the memory has {len(memory[0])} rows, but there are {len(rows)} prompts")
        lengths = [len(row) for row in rows]
        longest = max(lengths)
        padded = [[*row, *[0] * (longest - len(row))] for row in rows]
        self.prompts_BT = torch.tensor(padded, device=self.device)
        self.lengths_B = torch.tensor(lengths, device=self.device) if min(lengths) < longest else None
        try:
            self.state: State = self.model.init_state(len(rows), longest + new_tokens)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def begin(self) -> Tensor:
        """Run the prompts: the logits (B, V) of the first new token of each row. Raises RunError for NaN logits."""
        logits_BTV = self._forward(self.prompts_BT, self.lengths_B)
        if self.lengths_B is None:
            logits_BV = logits_BTV[:, -1]
        else:
            logits_BV = logits_BTV[torch.arange(len(logits_BTV), device=self.device), self.lengths_B - 1]
        if logits_BV.isnan().any():
            raise RunError("the model's logits are NaN: no token can be chosen")
        return logits_BV

    def step(self, tokens_B: Tensor) -> Tensor:
        """Append one token to each row: the logits (B, V) of the next one."""
        return self._forward(tokens_B[:, None], None)[:, -1]

    def select(self, rows: Sequence[int]) -> None:
        """Continue with these rows, in this order; a row may occur more than once."""
        index_B = torch.tensor(rows, device=self.device)
        self.state = self.model.select(self.state, index_B)
        if self.memory is not None:
            self.memory = self.model.select(self.memory, index_B)

    def _forward(self, tokens_BT: Tensor, lengths_B: Tensor | None) -> Tensor:
        more: dict[str, Any] = {} if self.memory is None else {"memory": self.memory}
        try:
            logits_BTV: Tensor
            logits_BTV, self.state = self.model(tokens_BT, self.state, lengths_B, **more)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return logits_BTV
