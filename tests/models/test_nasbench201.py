"""NAS-Bench-201: the size of the space, parameters by formula, strings, and the network against plain torch."""

from __future__ import annotations

import csv
import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lamina
from lamina import registry
from lamina.errors import UsageError
from lamina.layers.cells.nasbench import (
    EDGE_OPERATIONS,
    format_architecture,
    is_cut_off,
    parse_architecture,
    unique_form,
)
from lamina.models.nasbench201 import VARIANTS, NASBench201, NASBench201Config

NONE, SKIP, ONE, THREE, POOL = EDGE_OPERATIONS
SPACE = list(itertools.product(EDGE_OPERATIONS, repeat=6))
TABLE = Path(os.environ.get("LAMINA_DATA", "")) / "nas_bench_201" / "nats_bench.csv"


def parameters(**options: object) -> int:
    with torch.device("meta"):
        net = registry.build(VARIANTS["nasbench201"], NASBench201Config(**options))
    return sum(weight.numel() for weight in net.parameters())


def test_the_space_has_15625_cells_of_6466_functions() -> None:
    assert len({format_architecture(cell) for cell in SPACE}) == 15_625
    assert len({unique_form(cell) for cell in SPACE}) == 6_466
    assert max(Counter(map(unique_form, SPACE)).values()) == 275
    assert all(parse_architecture(format_architecture(cell)) == cell for cell in SPACE[::97])


@pytest.mark.skipif(not TABLE.is_file(), reason="the benchmark's table is not here")
def test_forms_are_those_of_the_table() -> None:
    with TABLE.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["ArchitectureString"] for row in rows} == {format_architecture(cell) for cell in SPACE}
    for row in rows:
        assert unique_form(parse_architecture(row["ArchitectureString"])) == row["UniqueString"]


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ([SKIP] * 6, 73_306),
        ([POOL] * 6, 73_306),
        ([ONE] * 6, 241_306),
        ([THREE] * 6, 1_531_546),
        ([THREE, THREE, THREE, SKIP, THREE, THREE], 1_288_506),
    ],
)
def test_parameters_of_the_paper(cell: list[str], count: int) -> None:
    assert parameters(architecture=format_architecture(cell)) == count
    ones, threes = cell.count(ONE), cell.count(THREE)
    each = sum(5 * (ones * (c * c + 2 * c) + threes * (9 * c * c + 2 * c)) for c in (16, 32, 64))
    assert count == 73_306 + each
    assert parameters(architecture=format_architecture(cell), num_classes=100) == count + 5_850
    assert parameters(architecture=format_architecture(cell), num_classes=120) == count + 7_150


def test_edges_and_string_are_the_same_cell() -> None:
    edges = {"edge_01": NONE, "edge_02": SKIP, "edge_12": ONE, "edge_03": POOL, "edge_13": THREE, "edge_23": SKIP}
    config = NASBench201Config(**edges)
    assert config.string == "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|nor_conv_3x3~1|skip_connect~2|"
    assert NASBench201Config(architecture=config.string).operations == config.operations == tuple(edges.values())
    changed = registry.configure(VARIANTS["nasbench201"], {"edge_12": "none"})
    assert changed.operations == (THREE, THREE, NONE, THREE, THREE, THREE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "node 1 is ''"),
        ("skip_connect~0", "node 1 is 'skip_connect~0', expected"),
        ("|skip_connect~0|+|skip_connect~0|none~1|", "has 3 besides its input, got 2"),
        ("|skip_connect~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2", "node 3 is"),
        ("|skip_connect~0|+|none~1|skip_connect~0|+|none~0|none~1|skip_connect~2|", "node 2 reads nodes 0, 1 in this"),
        ("|skip_connect~0|+|skip_connect~0|none~1|+|none~0|none~1|", "node 3 reads nodes 0, 1, 2"),
        ("|skip_connect~0|+|skip_connect~0|none~0|+|none~0|none~1|skip_connect~2|", "node 2 reads"),
        ("|skip_conect~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|", "unknown operation 'skip_conect'"),
        ("|skip_connect|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|", "has 'skip_connect', expected"),
        ("|skip_connect~-1|+|skip_connect~0|none~1|+|none~0|none~1|none~2|", "expected operation~input"),
        ("|skip_connect~²|+|skip_connect~0|none~1|+|none~0|none~1|none~2|", "expected operation~input"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "cut off from its input"),
        ("|none~0|+|nor_conv_1x1~0|none~1|+|none~0|skip_connect~1|none~2|", "cut off from its input"),
        ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|", "cut off from its input"),
    ],
)
def test_strings_that_are_no_cell_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("²", ".")) as caught:
        lamina.create_model("nasbench201", architecture=text)
    assert "\n" not in str(caught.value)


def test_options_that_contradict_each_other_are_refused() -> None:
    string = format_architecture([SKIP] * 6)
    with pytest.raises(UsageError, match="not both: edge_12"):
        lamina.create_model("nasbench201", architecture=string, edge_12="none")
    with pytest.raises(UsageError, match="a cell of 3 nodes has no edge_03"):
        lamina.create_model("nasbench201", nodes=3, edge_03=SKIP)
    with pytest.raises(UsageError, match="at least 2 nodes"):
        lamina.create_model("nasbench201", nodes=1)
    with pytest.raises(UsageError, match="cut off"):
        lamina.create_model("nasbench201", edge_03=NONE, edge_13=NONE, edge_23=NONE)
    with pytest.raises(UsageError, match="did you mean 'skip_connect'"):
        lamina.create_model("nasbench201", edge_03="skip_conect")


def test_cut_off_is_reachability() -> None:
    """Against all paths written out: 0-3, 0-1-3, 0-2-3, 0-1-2-3."""
    paths = ((3,), (0, 4), (1, 5), (0, 2, 5))
    cut = [all(any(cell[edge] == NONE for edge in path) for path in paths) for cell in SPACE]
    assert [is_cut_off(cell) for cell in SPACE] == cut


def plain(net: NASBench201, x: Tensor) -> Tensor:
    """The network as functions over its weights, in evaluation mode."""
    weights = net.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.conv.weight"]
        return norm(F.conv2d(x.clamp(min=0), kernel, stride=stride, padding=kernel.shape[-1] // 2), f"{name}.norm")

    def pool(x: Tensor) -> Tensor:
        ones = torch.ones(3, 3, dtype=x.dtype).expand(x.shape[1], 1, 3, 3)
        total = F.conv2d(x, ones, padding=1, groups=x.shape[1])
        return total / F.conv2d(torch.ones_like(x), ones, padding=1, groups=x.shape[1])

    x = norm(F.conv2d(x, weights["stem.conv.weight"], padding=1), "stem.norm")
    for stage in range(len(net.stages)):
        if stage:
            name = f"stages.{stage}.reduction"
            four = x.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
            short = F.conv2d(four, weights[f"{name}.shortcut.conv.weight"])
            x = unit(unit(x, f"{name}.branch.0", 2), f"{name}.branch.1") + short
        for cell in range(net.config.cells):
            states = [x]
            edge = 0
            for node in range(1, net.config.nodes):
                total = torch.zeros_like(x)
                for source in range(node):
                    name = f"stages.{stage}.cells.{cell}.operations.{edge}"
                    kind, state = net.config.operations[edge], states[source]
                    if kind in (ONE, THREE):
                        total = total + unit(state, name)
                    elif kind != NONE:
                        total = total + (pool(state) if kind == POOL else state)
                    edge += 1
                states.append(total)
            x = states[-1]
    x = norm(x, "neck.0").clamp(min=0).mean((2, 3))
    return x @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize(
    "operations",
    [
        (THREE, POOL, ONE, SKIP, THREE, NONE),
        (NONE, SKIP, POOL, ONE, THREE, POOL),
        (POOL, ONE, THREE),
    ],
)
def test_against_plain_torch(operations: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    nodes = 4 if len(operations) == 6 else 3
    config = NASBench201Config(
        architecture=format_architecture(operations), nodes=nodes, cells=2, widths=(4, 6, 8), num_classes=5
    )
    net = NASBench201(config).double().eval()
    for name, buffer in net.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.uniform_(0.5, 2.0)
    for name, weight in net.named_parameters():
        if "norm" in name or name.startswith("neck"):
            weight.data.uniform_(0.5, 1.5)
    x = torch.randn(2, 3, 12, 16, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(x), plain(net, x), rtol=1e-10, atol=1e-10)
