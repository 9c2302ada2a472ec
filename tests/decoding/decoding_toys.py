"""Two tiny models of the contract, one of each kind, written as plainly as can be, and what they are compared with."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Hidden(NamedTuple):
    hidden_BH: Tensor


class Past(NamedTuple):
    tokens_BS: Tensor
    filled_B: Tensor


class Memory(NamedTuple):
    bias_BV: Tensor


class Rows(nn.Module):
    def select(self, state: Any, index_B: Tensor) -> Any:
        return type(state)(*(tensor[index_B] for tensor in state))


class RecurrentToy(Rows):
    """A GRU cell over one-hot tokens; remembers how many rows each call calculated."""

    def __init__(self, vocabulary: int = 7, seed: int = 0, sharpness: float = 0.5) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.cell, self.head = nn.GRUCell(vocabulary, 8), nn.Linear(8, vocabulary)
            for weight in self.parameters():
                nn.init.normal_(weight, std=2.0)  # so wild that no two rows end alike
        self.config = SimpleNamespace(vocab_size=vocabulary)
        self.sharpness, self.calls = sharpness, list[int]()
        self.double()

    def init_state(self, batch: int, max_length: int) -> Hidden:
        return Hidden(torch.zeros(batch, 8, dtype=torch.float64))

    def forward(
        self,
        tokens_BT: Tensor,
        state: Hidden | None = None,
        lengths: Tensor | None = None,
        memory: Memory | None = None,
    ) -> tuple[Tensor, Hidden]:
        self.calls.append(len(tokens_BT))
        h_BH = self.init_state(len(tokens_BT), 0).hidden_BH if state is None else state.hidden_BH
        logits = []
        for t in range(tokens_BT.shape[1]):
            new_BH = self.cell(nn.functional.one_hot(tokens_BT[:, t], self.config.vocab_size).double(), h_BH)
            real_B1 = torch.ones(len(h_BH), 1, dtype=torch.bool) if lengths is None else (t < lengths)[:, None]
            h_BH = torch.where(real_B1, new_BH, h_BH)
            out_BV = self.sharpness * self.head(h_BH)
            logits.append(out_BV if memory is None else out_BV + memory.bias_BV)
        return torch.stack(logits, 1), Hidden(h_BH)


class AttentionToy(Rows):
    """Keeps all tokens of a row; a logit is a sum over the row's tokens of weights by token and distance."""

    def __init__(self, vocabulary: int = 7, context: int = 32, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(context, vocabulary, vocabulary, generator=generator).double())
        self.config = SimpleNamespace(vocab_size=vocabulary, context=context)

    def init_state(self, batch: int, max_length: int) -> Past:
        return Past(torch.zeros(batch, max_length, dtype=torch.int64), torch.zeros(batch, dtype=torch.int64))

    def forward(
        self, tokens_BT: Tensor, state: Past | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Past | None]:
        batch, time = tokens_BT.shape
        past = self.init_state(batch, time) if state is None else state
        kept_BS = past.tokens_BS.clone()
        logits = torch.full((batch, time, self.config.vocab_size), math.nan, dtype=torch.float64)
        real = [time] * batch if lengths is None else lengths.tolist()
        for b in range(batch):
            for t in range(real[b]):
                end = int(past.filled_B[b]) + t
                kept_BS[b, end] = tokens_BT[b, t]
                row = kept_BS[b, : end + 1]
                logits[b, t] = self.weight[end - torch.arange(end + 1), row].sum(0)
        return logits, None if state is None else Past(kept_BS, past.filled_B + torch.tensor(real))


def next_logits(model: Any, tokens: list[int], **more: Any) -> Tensor:
    """The logits (V,) after one row, without a state: the whole prefix at once."""
    with torch.no_grad():
        logits_BTV, _ = model(torch.tensor([tokens]), **more)
    out: Tensor = logits_BTV[0, -1]
    return out


def greedy_by_prefix(model: Any, prompt: list[int], count: int, end: int | None = None, **more: Any) -> list[int]:
    """Greedy decoding that knows nothing of states, batches and lengths."""
    new: list[int] = []
    while len(new) < count and not (new and new[-1] == end):
        new.append(int(next_logits(model, prompt + new, **more).argmax()))
    return new
