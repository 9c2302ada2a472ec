"""Shared weights rank architectures only roughly as trainings of their own do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.claims.claim import Bar, Claim, Measurement, Settings, generator
from lamina.claims.tiny_space import WIDTH, accuracies, kendall
from lamina.layers.cells.nasbench import EDGE_OPERATIONS, edges, is_cut_off, parse_architecture
from lamina.layers.cells.operations import MixedOperation
from lamina.report.svg import SERIES, readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class SharedSettings(Settings):
    epochs: int = 60
    """three times those of a cell alone"""
    batch: int = 50
    lr: float = 0.05
    """of SGD with Nesterov momentum, on a cosine to 0"""
    best: int = 30
    """cells, of the 125, whose order among themselves is looked at, too"""


class Shared(nn.Module):
    """One cell of three nodes with all operations on its edges: digits (B, 1, 8, 8) -> logits (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH))
        self.edges = edges(3)
        self.mixed = nn.ModuleList(MixedOperation(WIDTH, EDGE_OPERATIONS) for _ in self.edges)
        self.neck = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x_BCHW: Tensor, choice: Sequence[int]) -> Tensor:
        states = [self.stem(x_BCHW)]
        for node in (1, 2):
            states.append(
                sum(
                    mixed.chosen(states[source], number)  # type: ignore[operator]  # a MixedOperation each
                    for mixed, number, (source, to) in zip(self.mixed, choice, self.edges, strict=True)
                    if to == node
                )
            )
        logits_BK: Tensor = self.head(self.neck(states[-1]))
        return logits_BK


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same 600 digits to train on and 1,197 to judge by as those of the table."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 8 - 1, torch.tensor(classes)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1234))
    return x[order[:600]], y[order[:600]], x[order[600:]], y[order[600:]]


def measure(settings: SharedSettings, seed: int) -> Measurement:
    x, y, judged, truth = digits(seed)
    cells = {cell: parse_architecture(cell, nodes=3) for cell in accuracies()}
    open_cells = {cell: names for cell, names in cells.items() if not is_cut_off(names)}
    choices = {cell: [EDGE_OPERATIONS.index(name) for name in names] for cell, names in open_cells.items()}
    draws = generator(seed, "cells")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Shared()
    optimiser = torch.optim.SGD(net.parameters(), lr=settings.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs * (len(y) // settings.batch))
    pool = list(choices.values())
    for _ in range(settings.epochs):
        for batch in torch.randperm(len(y), generator=draws).split(settings.batch):
            choice = pool[int(torch.randint(len(pool), (), generator=draws))]
            optimiser.zero_grad()
            F.cross_entropy(net(x[batch], choice), y[batch]).backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():  # in training mode: the statistics of the digits that are judged
        shared = {
            cell: float((net(judged, choice).argmax(1) == truth).float().mean()) for cell, choice in choices.items()
        }
    alone = {cell: accuracies()[cell] for cell in choices}
    best = sorted(alone, key=alone.__getitem__, reverse=True)[: settings.best]
    numbers = {
        "tau": kendall(list(shared.values()), list(alone.values())),
        "tau_best": max(kendall([shared[c] for c in best], [alone[c] for c in best]), 0.0),
        "chosen": max(alone.values()) - alone[max(shared, key=shared.__getitem__)],
    }
    numbers["kept"] = numbers["tau_best"] / numbers["tau"] if numbers["tau"] > 0 else float("nan")
    return Measurement(
        numbers=numbers, arrays={"shared": np.array([*shared.values()]), "alone": np.array([*alone.values()])}
    )


def figure(figure: Figure, settings: SharedSettings, measured: Sequence[Measurement]) -> None:
    axes = figure.subplots()
    for i, one in enumerate(measured):
        axes.plot(one.arrays["alone"], one.arrays["shared"], "o", color=SERIES[i], alpha=0.5, markersize=4)
    axes.set(xlabel="accuracy of a cell trained alone", ylabel="accuracy with shared weights")
    readable(axes.xaxis)
    readable(axes.yaxis)


CLAIM = Claim(
    name="shared-weights-ranking",
    sentence="Shared weights rank architectures as trainings of their own do only in part: they tell good ones from "
    "bad ones, but order the best among themselves far less well.",
    source="Bender, Kindermans, Zoph, Vasudevan & Le, Understanding and simplifying one-shot architecture search, ICML "
    "2018; Yu, Sciuto, Jaggi, Musat & Salzmann, Evaluating the search phase of neural architecture search, ICLR 2020",
    arxiv="1902.08142",
    settings=SharedSettings(),
    measure=measure,
    universal=False,
    bars=(
        Bar(number="tau", at_least=0.3, why="Kendall's tau of an agreement that is plainly there"),
        Bar(number="kept", at_most=0.75, why="among the best a quarter of the agreement or more is gone"),
    ),
    names={
        "tau": "Kendall's tau of the two rankings, all cells",
        "tau_best": "the same among the best cells",
        "kept": "the latter over the former",
        "chosen": "accuracy that the cell lacks which shared weights put first",
    },
    figure=figure,
    caption="Accuracy of each cell with shared weights against that of a training of its own, a colour for each seed",
    reading="Over all cells whose output is not cut off Kendall's tau is {tau}, among the {setting.best} best "
    "{tau_best}. The cell that shared weights put first lacks {chosen} of accuracy.",
)
