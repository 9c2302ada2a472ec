"""Differentiable search in the tiny space: all operations of the three edges at once, weighed by a softmax.

First order (Liu, Simonyan & Yang, DARTS, ICLR 2019): in turns a step of the weights on one half of the 600 digits and
one of the architecture on the other. The cell of an epoch has on each edge the operation of the greatest weight, "none"
left out, as in the paper; its accuracy is that of the table, trained alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.claims.claim import generator
from lamina.claims.tiny_space import WIDTH, accuracies
from lamina.layers.cells.nasbench import EDGE_OPERATIONS, edges, format_architecture
from lamina.layers.cells.operations import MixedOperation

BATCH, RATE, LEAST_RATE = 50, 0.025, 0.001


class Mixture(nn.Module):
    """One cell of three nodes with all operations on its edges: digits (B, 1, 8, 8) -> logits (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH))
        self.mixed = nn.ModuleList(MixedOperation(WIDTH, EDGE_OPERATIONS) for _ in edges(3))
        self.neck = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(WIDTH, 10)
        self.alphas_EO = nn.Parameter(torch.zeros(len(edges(3)), len(EDGE_OPERATIONS)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        weights_EO = self.alphas_EO.softmax(1)
        zero = self.stem(x_BCHW)
        one = self.mixed[0](zero, weights_EO[0])
        two = self.mixed[1](zero, weights_EO[1]) + self.mixed[2](one, weights_EO[2])
        logits_BK: Tensor = self.head(self.neck(two))
        return logits_BK


@dataclass(frozen=True)
class Searched:
    """What became of a search. T epochs, E edges, O operations."""

    weights_TEO: Tensor
    """softmax of the architecture's parameters after each epoch"""

    def cell(self, epoch: int) -> tuple[str, ...]:
        """The operations derived after so many epochs."""
        weights_EO = self.weights_TEO[epoch - 1].clone()
        weights_EO[:, EDGE_OPERATIONS.index("none")] = -1
        return tuple(EDGE_OPERATIONS[k] for k in weights_EO.argmax(1).tolist())

    def accuracy(self, epoch: int) -> float:
        """Of the cell of an epoch, trained alone."""
        return accuracies()[format_architecture(self.cell(epoch))]


@cache
def search(seed: int, epochs: int, rate: float) -> Searched:
    """Search for so many epochs; ``rate`` is that of the architecture's Adam."""
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 8 - 1, torch.tensor(classes)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1234))[:600]
    halves = order[:300], order[300:]
    draw = generator(seed, "batches")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Mixture()
    own = [parameter for name, parameter in net.named_parameters() if name != "alphas_EO"]
    weights = torch.optim.SGD(own, RATE, momentum=0.9, weight_decay=3e-4)
    alphas = torch.optim.Adam([net.alphas_EO], rate, betas=(0.5, 0.999), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(weights, epochs, LEAST_RATE)
    found = []
    for _ in range(epochs):
        shuffled = [half[torch.randperm(len(half), generator=draw)].split(BATCH) for half in halves]
        for train, validation in zip(*shuffled, strict=True):
            for optimiser, batch in ((alphas, validation), (weights, train)):
                loss = F.cross_entropy(net(x[batch]), y[batch])
                net.zero_grad()
                loss.backward()
                optimiser.step()
        schedule.step()
        found.append(net.alphas_EO.detach().softmax(1).clone())
    return Searched(torch.stack(found))
