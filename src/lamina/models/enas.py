"""ENAS: a controller that samples cells, and the weights that all of them share.

Paper: Pham, Guan, Zoph, Le, Dean, "Efficient neural architecture search via parameter sharing", ICML 2018, arXiv
1802.03268: the micro search space.
What was new: sampled networks are parts of one network whose weights they share, so that none is trained from its
beginning: a thousandth of the cost of Zoph & Le 2017.

Two players: ``weights`` and ``controller``. The task "architecture-search" with the objective "enas" trains them in
turn, each on its part of the training data; ``derive`` then reads off the most probable genotype, for models/darts.py.

Differences from the paper: the two branches of a node share the weights of an operation on the same state, and the
output of a cell joins all nodes, not those that no other reads, so that a genotype of DARTS describes it; reductions
stand at a third and two thirds; controller and weights alternate by steps, not by epochs; no auxiliary head.

Legend: A architectures sampled, B batch, C channels, H height and width (in ``h_AH``: units of the LSTM), N states, O
operations.

Forward:

    choices = controller.most_probable()
    weights(x_BCHW, choices)                        # as models/darts_supernet.py, the chosen operations alone

    controller, for the normal and then for the reduction cell, nodes one by one:
        two states: LSTM; logits_N = v tanh(W1 anchors + W2 h); the anchor of the chosen one is read next
        two operations: LSTM; logits_O = W h; the embedding of the chosen one is read next
        LSTM: its output is the anchor of the node

Reading order: models/enas.py, layers/cells/network.py, layers/cells/operations.py, layers/cells/genotype.py; helpers:
layers/cells/strings.py, layers/cells/supernet.py, layers/heads.py, layers/image_classifier.py, layers/shapes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lamina.cards import Card, Variant
from lamina.layers.cells.genotype import INPUTS, Cell, Genotype
from lamina.layers.cells.network import SharedNetwork, check_supernet, edges_of
from lamina.layers.image_classifier import check_options

OPERATIONS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
CELLS = ("normal", "reduce")
Plan = tuple[list[list[int]], ...]
"""of each kind of cell, for each edge the numbers of the operations in use"""


@dataclass(frozen=True, kw_only=True)
class EnasConfig:
    """Options of ENAS."""

    num_classes: int = 10
    """outputs: classes"""
    in_channels: int = 3
    """channels of an image"""
    image_size: int = 32
    """height and width that images are resized to; forward accepts any size"""
    width: int = 20
    """channels C of a node in the first cells"""
    layers: int = 8
    """cells, the reductions at a third and two thirds among them"""
    nodes: int = 5
    """nodes of a cell, besides its two inputs"""
    operations: tuple[str, ...] = OPERATIONS
    """operations to choose from"""
    stem_multiplier: int = 3
    """channels of the stem over C"""
    controller_width: int = 64
    """units of the controller's LSTM"""
    tanh_constant: float = 1.1
    """logits of the controller lie within this of 0"""
    operation_tanh_reduce: float = 2.5
    """those of operations within a so many times smaller range"""

    def __post_init__(self) -> None:
        check_options(self)
        check_supernet(self)
        if "none" in self.operations:
            raise ValueError("operations: a node of ENAS always has two operations, 'none' is not one of them")
        for name in ("controller_width", "tanh_constant", "operation_tanh_reduce"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be greater than 0, got {getattr(self, name)}")


class Sampled(NamedTuple):
    """What a controller chose: plans, and for each the log-probability and the entropy of its decisions."""

    plans: list[Plan]
    log_probability_A: Tensor
    entropy_A: Tensor
    states_ASJ: Tensor
    """the states that nodes read, (A, cells * nodes, 2)"""
    operations_ASJ: Tensor
    """the operations on them, (A, cells * nodes, 2)"""


class Controller(nn.Module):
    """An LSTM that chooses, for every node of both cells, two earlier states and an operation on each.

    ``forward(count)`` samples with torch's default generator; ``most_probable`` takes the best of each decision.

    >>> controller = lamina.create_model("enas", width=4, layers=3, nodes=2).controller
    >>> sampled = controller(3)
    >>> len(sampled.plans), sampled.log_probability_A.shape, sampled.states_ASJ.shape
    (3, torch.Size([3]), torch.Size([3, 4, 2]))
    """

    def __init__(self, nodes: int, operations: int, width: int, tanh_constant: float, tanh_reduce: float) -> None:
        super().__init__()
        self.nodes, self.tanh_constant, self.tanh_reduce = nodes, tanh_constant, tanh_reduce
        self.lstm = nn.LSTMCell(width, width)
        self.begin = nn.Parameter(torch.empty(1, width))
        self.embedding = nn.Embedding(operations, width)
        self.operation = nn.Linear(width, operations, bias=False)
        self.anchor_query = nn.Linear(width, width, bias=False)
        self.state_query = nn.Linear(width, width, bias=False)
        self.attention = nn.Linear(width, 1, bias=False)
        for weight in self.parameters():
            nn.init.uniform_(weight, -0.1, 0.1)

    def forward(self, count: int = 1) -> Sampled:
        return self._decide(count, greedy=False)

    @torch.no_grad()
    def most_probable(self) -> Plan:
        """The plan of the most probable choices, one after the other."""
        (plan,) = self._decide(1, greedy=True).plans
        return plan

    def _decide(self, count: int, greedy: bool) -> Sampled:
        zeros_AH = self.begin.new_zeros(count, self.begin.shape[1])
        memory = (zeros_AH, zeros_AH)
        log_probability_A, entropy_A = zeros_AH[:, 0], zeros_AH[:, 0]
        states, operations = [], []

        def chosen(logits_AN: Tensor, reduce: float = 1.0) -> Tensor:
            nonlocal log_probability_A, entropy_A
            log_AN = (self.tanh_constant / reduce * logits_AN.tanh()).log_softmax(1)
            choice_A = log_AN.argmax(1) if greedy else log_AN.detach().exp().multinomial(1)[:, 0]
            log_probability_A = log_probability_A + log_AN.gather(1, choice_A[:, None])[:, 0]
            entropy_A = entropy_A - (log_AN.exp() * log_AN).sum(1)
            return choice_A

        for _ in CELLS:
            read_AH = self.begin.expand(count, -1)
            anchors, keys = [], []
            for _ in range(INPUTS):
                memory = self.lstm(read_AH, memory)
                anchors.append(zeros_AH)
                keys.append(self.anchor_query(memory[0]))
            for _ in range(self.nodes):
                pair, kinds = [], []
                for _ in range(2):
                    memory = self.lstm(read_AH, memory)
                    query_AH = self.state_query(memory[0])
                    logits_AN = self.attention((torch.stack(keys, 1) + query_AH[:, None]).tanh())[:, :, 0]
                    pair.append(chosen(logits_AN))
                    read_AH = torch.stack(anchors, 1)[torch.arange(count, device=query_AH.device), pair[-1]]
                for _ in range(2):
                    memory = self.lstm(read_AH, memory)
                    kinds.append(chosen(self.operation(memory[0]), self.tanh_reduce))
                    read_AH = self.embedding(kinds[-1])
                memory = self.lstm(read_AH, memory)
                anchors.append(memory[0])
                keys.append(self.anchor_query(memory[0]))
                read_AH = self.begin.expand(count, -1)
                states.append(torch.stack(pair, 1))
                operations.append(torch.stack(kinds, 1))
        states_ASJ, operations_ASJ = torch.stack(states, 1), torch.stack(operations, 1)
        plans = [self._plan(*rows) for rows in zip(states_ASJ.tolist(), operations_ASJ.tolist(), strict=True)]
        return Sampled(plans, log_probability_A, entropy_A, states_ASJ, operations_ASJ)

    def _plan(self, states: Sequence[Sequence[int]], operations: Sequence[Sequence[int]]) -> Plan:
        edges = edges_of(self.nodes)
        plan: Plan = tuple([[] for _ in edges] for _ in CELLS)
        for number, (pair, kinds) in enumerate(zip(states, operations, strict=True)):
            cell, node = divmod(number, self.nodes)
            for source, kind in zip(pair, kinds, strict=True):
                plan[cell][edges.index((source, INPUTS + node))].append(kind)
        return plan


class Enas(nn.Module):
    """Images (B, C, H, W) -> logits (B, K), by the architecture that is most probable to the controller.

    >>> model = lamina.create_model("enas", width=4, layers=3, nodes=2)
    >>> model(torch.zeros(2, 3, 16, 16)).shape, len(model.derive().normal.nodes)
    (torch.Size([2, 10]), 2)
    """

    derived = "darts-v2"
    """the variant that a genotype is an option of"""

    def __init__(self, config: EnasConfig) -> None:
        super().__init__()
        self.config = config
        self.weights = SharedNetwork(
            nodes=config.nodes,
            operations=config.operations,
            width=config.width,
            layers=config.layers,
            in_channels=config.in_channels,
            num_classes=config.num_classes,
            stem_multiplier=config.stem_multiplier,
        )
        self.controller = Controller(
            config.nodes,
            len(config.operations),
            config.controller_width,
            config.tanh_constant,
            config.operation_tanh_reduce,
        )
        for module in self.weights.modules():
            if isinstance(module, nn.BatchNorm2d):
                # every step is of another architecture: no running mean is right for one, it is measured for it
                module.momentum = None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.weights(x_BCHW, self.controller.most_probable())
        return logits_BK

    def derive(self) -> Genotype:
        """The most probable genotype."""
        cells = {}
        for name, edges in zip(CELLS, self.controller.most_probable(), strict=True):
            nodes: list[list[tuple[str, int]]] = [[] for _ in range(self.config.nodes)]
            for (source, state), numbers in zip(edges_of(self.config.nodes), edges, strict=True):
                nodes[state - INPUTS] += [(self.config.operations[number], source) for number in numbers]
            cells[name] = Cell.checked(nodes, range(INPUTS, INPUTS + len(nodes)), name)
        return Genotype(**cells)

    def derived_options(self) -> dict[str, Any]:
        """The options of the variant ``derived`` that was found."""
        return {"genotype": str(self.derive())}


VARIANTS = {
    "enas": Variant(
        build=Enas,
        config=EnasConfig(),
        small={"image_size": 16, "width": 4, "layers": 3, "nodes": 2},
        players={"weights": None},
        card=Card(
            title="ENAS (micro search)",
            summary="Shared weights of all cells of five nodes and five operations, and an LSTM that samples cells.",
            paper="Efficient neural architecture search via parameter sharing",
            authors="Pham, Guan, Zoph, Le, Dean",
            year=2018,
            arxiv="1802.03268",
            inputs=("image",),
            tasks=("architecture-search",),
            objective="enas",
            input={"weights": (3, 32, 32)},
            parameters={"weights": 2_799_350, "controller": 42_240},
            macs={"weights": 426_827_680},
            reference="the task's tests: probabilities of sampled cells, one choice against a mixture of one",
            differences=(
                "the branches of a node share the weights of an operation on the same state",
                "a cell's output joins all nodes",
                "controller and weights alternate by steps, not by epochs",
                "no auxiliary head",
            ),
            recipe="enas",
        ),
    )
}
