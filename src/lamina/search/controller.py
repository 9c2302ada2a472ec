"""The LSTM controller of REINFORCE: it reads the choice before each decision (Zoph & Le, ICLR 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamina.randomness import derive

WIDTH = 35


class LSTMPolicy(nn.Module):
    """One LSTM cell of 35 units over the decisions, weights uniform in +-0.08; an embedding of the choice before and
    an output layer for each decision. Adam; float64, so that the order of sums matters less."""

    def __init__(self, amounts: Sequence[int], seed: int, rate: float, entropy: float) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH, dtype=torch.float64)
        self.begin = nn.Parameter(torch.zeros(WIDTH, dtype=torch.float64))
        self.embeddings = nn.ModuleList(nn.Embedding(amount, WIDTH, dtype=torch.float64) for amount in amounts)
        self.outputs = nn.ModuleList(nn.Linear(WIDTH, amount, dtype=torch.float64) for amount in amounts)
        generator = torch.Generator().manual_seed(derive(seed, "reinforce", "lstm"))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08, generator=generator)
        self.optimiser = torch.optim.Adam(self.parameters(), lr=rate)
        self.entropy = entropy

    def forward(self, cells: Sequence[int]) -> list[Tensor]:
        """Log-probabilities of the decisions, each after the choices before, and of the next one."""
        hidden = (torch.zeros(1, WIDTH, dtype=torch.float64), torch.zeros(1, WIDTH, dtype=torch.float64))
        given, logs = self.begin[None], []
        for i, output in enumerate(self.outputs):
            hidden = self.cell(given, hidden)
            logs.append(torch.log_softmax(output(hidden[0])[0], dim=0))
            if i == len(cells):
                break
            given = self.embeddings[i](torch.tensor([cells[i]])) if cells[i] >= 0 else self.begin[None]
        return logs

    @torch.no_grad()
    def probabilities(self, cells: Sequence[int]) -> list[float]:
        probabilities: list[float] = self(cells)[-1].exp().tolist()
        return probabilities

    def update(self, cells: Sequence[int], advantage: float) -> None:
        made = [(log, cell) for log, cell in zip(self(cells), cells, strict=True) if cell >= 0]
        gain = advantage * torch.stack([log[cell] for log, cell in made]).sum()
        gain = gain - self.entropy * torch.stack([(log.exp() * log).sum() for log, _ in made]).sum()
        self.optimiser.zero_grad()
        (-gain).backward()
        self.optimiser.step()
