"""DARTS: counts of the paper, genotypes as text, derivation, and both networks against plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
from lamina import registry
from lamina.errors import UsageError
from lamina.layers.cells.genotype import GENOTYPES, Genotype
from lamina.models.darts import Darts, DartsConfig
from lamina.models.darts_supernet import PRIMITIVES, DartsSupernet, DartsSupernetConfig

RELEASED_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
CELL = "|skip_connect~0|sep_conv_3x3~1|"


def test_the_supernet_s_size() -> None:
    with torch.device("meta"):
        net = registry.build(registry.variant("darts-supernet"), DartsSupernetConfig())
    assert sum(weight.numel() for weight in net.weights.parameters()) == 1_930_618
    assert [tuple(weight.shape) for weight in net.alphas.parameters()] == [(14, 8), (14, 8)]
    assert [registry.card(f"darts-{name}").parameters for name in ("v1", "v2", "v2-imagenet")] == [
        3_169_414,
        3_349_342,
        4_718_752,
    ]


# ---------------------------------------------------------------- genotypes


@pytest.mark.parametrize("name", GENOTYPES)
def test_a_genotype_and_its_text(name: str) -> None:
    genotype = Genotype.parse(name)
    assert Genotype.parse(str(genotype)) == genotype
    released = (
        f"Genotype(normal={list(genotype.normal.pairs)!r}, normal_concat={list(genotype.normal.concat)!r}, "
        f"reduce={list(genotype.reduce.pairs)!r},\n  reduce_concat={list(genotype.reduce.concat)!r})"
    )
    assert Genotype.parse(released) == genotype


def test_what_the_released_code_prints_is_read() -> None:
    assert Genotype.parse(RELEASED_V2) == Genotype.parse("darts-v2")
    net = lamina.create_model("darts", genotype=RELEASED_V2, width=4, layers=3)
    assert str(net.genotype) == GENOTYPES["darts-v2"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a normal and a reduction cell"),
        ("darts-v3", "or one of darts-v1, darts-v2, nasnet-a"),
        (CELL, "expected a normal and a reduction cell"),
        (f"{CELL} / {CELL} / {CELL}", "expected a normal and a reduction cell"),
        (f"{CELL} / |skip_connect~0|", "reduce cell: node 2 adds two operations, got 1"),
        (f"{CELL} / |skip_connect~0|none~1|", "unknown operation 'none'"),
        (f"|skip_connect~2|skip_connect~0| / {CELL}", "normal cell: node 2 reads earlier states, 0 to 1, got 2"),
        (f"{CELL}>7 / {CELL}", "the output joins different states, 0 to 2, got '7'"),
        (f"{CELL}>2,2 / {CELL}", "the output joins different states"),
        (f"{CELL}> / {CELL}", "expected states after '>'"),
        (f"{CELL}>0,1 / {CELL}", "its output has none of its nodes"),
        (f"{CELL} / {CELL}>0,2", "cannot join its inputs"),
        ("Genotype(normal=[('skip_connect', 0)])", "expected Genotype"),
        ("Genotype(__import__('os').system('true'))", "expected Genotype"),
        ("Genotype(normal=[], normal_concat=[2], reduce=[], reduce_concat=[2])", "joins different states"),
        (
            RELEASED_V2.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 9)"),
            "node 5 reads earlier states, 0 to 4, got 9",
        ),
        (RELEASED_V2.replace(", ('dil_conv_3x3', 2)", ""), "node 5 adds two operations, got 1"),
        (RELEASED_V2.replace("dil_conv_3x3", "dil_conv_9x9"), "unknown operation 'dil_conv_9x9'"),
        (RELEASED_V2[:-20], "expected Genotype"),
    ],
)
def test_texts_that_are_no_genotype_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        lamina.create_model("darts", genotype=text)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- derivation


def parse_plainly(weights: list[list[float]], steps: int = 4) -> list[tuple[str, int]]:
    """The derivation of the released code, written plainly over the rows of a softmax."""
    gene, start = [], 0
    for step in range(steps):
        rows = weights[start : start + 2 + step]
        strength = []
        for row in rows:
            strongest = -1.0
            for number, value in enumerate(row):
                if PRIMITIVES[number] != "none" and value > strongest:
                    strongest = value
            strength.append(strongest)
        order = sorted(range(len(rows)), key=lambda edge: -strength[edge])
        for edge in order[:2]:
            best = None
            for number, value in enumerate(rows[edge]):
                if PRIMITIVES[number] != "none" and (best is None or value > rows[edge][best]):
                    best = number
            assert best is not None
            gene.append((PRIMITIVES[best], edge))
        start += 2 + step
    return gene


@pytest.mark.parametrize("seed", range(20))
def test_derivation_is_that_of_the_released_code(seed: int) -> None:
    torch.manual_seed(seed)
    net = DartsSupernet(DartsSupernetConfig(width=2, layers=1))
    with torch.no_grad():
        for weight in net.alphas.parameters():
            weight.normal_(0, 2.0)
            weight[:, 0] += 3.0 * (seed % 2)  # "none" strongest nearly everywhere
            if seed % 5 == 0:
                weight.copy_(weight.round())  # ties: the first edge, the first operation
    found = net.derive()
    for name, cell in (("normal", found.normal), ("reduce", found.reduce)):
        rows = net.alphas.get_parameter(name).detach().softmax(1).tolist()
        assert list(cell.pairs) == parse_plainly(rows)
        assert cell.concat == (2, 3, 4, 5)
    again = lamina.create_model(net.derived, **net.derived_options(), width=2, layers=1)
    assert again.genotype == found


# ---------------------------------------------------------------- against plain torch


class Plain:
    """Networks of cells as functions over a state dict, in evaluation mode."""

    def __init__(self, net: nn.Module) -> None:
        self.weights = net.state_dict()

    def norm(self, x: Tensor, name: str) -> Tensor:
        weights, one = self.weights, torch.ones(x.shape[1], dtype=x.dtype)
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale, shift = weights.get(f"{name}.weight", one), weights.get(f"{name}.bias", one * 0)
        x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return x * scale[:, None, None] + shift[:, None, None]

    def preprocess(self, x: Tensor, name: str) -> Tensor:
        x = x.clamp(min=0)
        if f"{name}.conv.weight" in self.weights:
            return self.norm(F.conv2d(x, self.weights[f"{name}.conv.weight"]), f"{name}.norm")
        first = F.conv2d(x[:, :, ::2, ::2], self.weights[f"{name}.conv1.weight"])
        second = F.conv2d(x[:, :, 1::2, 1::2], self.weights[f"{name}.conv2.weight"])
        return self.norm(torch.cat([first, second], 1), f"{name}.norm")

    def operation(self, x: Tensor, kind: str, stride: int, name: str) -> Tensor:
        if kind == "none":
            return x[:, :, ::stride, ::stride] * 0
        if kind == "skip_connect":
            return x if stride == 1 else self.preprocess(x, name)
        if "pool" in kind:
            inside = f"{name}.1" if f"{name}.1.running_mean" in self.weights else None
            if kind == "max_pool_3x3":
                x = F.pad(x, (1, 1, 1, 1), value=-torch.inf).unfold(2, 3, stride).unfold(3, 3, stride).amax((4, 5))
            else:
                ones = F.pad(torch.ones_like(x), (1, 1, 1, 1)).unfold(2, 3, stride).unfold(3, 3, stride).sum((4, 5))
                x = F.pad(x, (1, 1, 1, 1)).unfold(2, 3, stride).unfold(3, 3, stride).sum((4, 5)) / ones
            return x if inside is None else self.norm(x, inside)
        kernel, dilation = int(kind[-1]), 2 if kind.startswith("dil") else 1
        for start in (0,) if dilation == 2 else (0, 4):
            depthwise, pointwise = (self.weights[f"{name}.{start + i}.weight"] for i in (1, 2))
            padding = dilation * (kernel // 2)
            x = F.conv2d(x.clamp(min=0), depthwise, None, stride, padding, dilation, groups=x.shape[1])
            x = self.norm(F.conv2d(x, pointwise), f"{name}.{start + 3}")
            stride = 1
        return x


def randomised(net: Any) -> Any:
    for name, buffer in net.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.uniform_(0.5, 2.0)
    for weight in net.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return net.double().eval()


def cells_of(layers: int) -> list[tuple[int, int, bool]]:
    """(stage, place in it, reduction) of each cell."""
    found, stage, place = [], 0, 0
    for number in range(layers):
        reduction = number in (layers // 3, 2 * layers // 3)
        if reduction and found:
            stage, place = stage + 1, 0
        found.append((stage, place, reduction))
        place += 1
    return found


@pytest.mark.parametrize(("genotype", "stem"), [("darts-v1", "small"), ("darts-v2", "imagenet"), ("nasnet-a", "small")])
def test_darts_against_plain_torch(genotype: str, stem: str) -> None:
    torch.manual_seed(0)
    config = DartsConfig(genotype=genotype, width=4, layers=5, num_classes=6, stem=stem)  # type: ignore[arg-type]
    net = randomised(Darts(config))
    plain, weights = Plain(net), net.state_dict()
    x = torch.randn(2, 3, *((64, 96) if stem == "imagenet" else (16, 24)), dtype=torch.float64)
    if stem == "small":
        s0 = s1 = plain.norm(F.conv2d(x, weights["stem.conv.weight"], padding=1), "stem.norm")
    else:
        half = plain.norm(F.conv2d(x, weights["stem.conv1.weight"], stride=2, padding=1), "stem.norm1").clamp(min=0)
        s0 = plain.norm(F.conv2d(half, weights["stem.conv2.weight"], stride=2, padding=1), "stem.norm2")
        s1 = F.conv2d(s0.clamp(min=0), weights["second_stem.conv.weight"], stride=2, padding=1)
        s1 = plain.norm(s1, "second_stem.norm")
    for stage, place, reduction in cells_of(5):
        name = f"stages.{stage}.cells.{place}"
        cell = net.genotype.reduce if reduction else net.genotype.normal
        states = [plain.preprocess(s0, f"{name}.preprocess0"), plain.preprocess(s1, f"{name}.preprocess1")]
        for node in range(len(cell.pairs) // 2):
            total: Any = 0
            for number in (2 * node, 2 * node + 1):
                kind, source = cell.pairs[number]
                stride = 2 if reduction and source < 2 else 1
                total = total + plain.operation(states[source], kind, stride, f"{name}.operations.{number}")
            states.append(total)
        s0, s1 = s1, torch.cat([states[i] for i in cell.concat], 1)
    wanted = s1.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]
    with torch.no_grad():
        torch.testing.assert_close(net(x), wanted, rtol=1e-10, atol=1e-10)


def test_the_supernet_against_plain_torch() -> None:
    torch.manual_seed(0)
    net = randomised(DartsSupernet(DartsSupernetConfig(width=4, layers=3, nodes=3, num_classes=6)))
    for weight in net.alphas.parameters():
        weight.data.normal_()
    plain, weights = Plain(net.weights), net.weights.state_dict()
    mixtures = [torch.exp(a) / torch.exp(a).sum(1, keepdim=True) for a in net.alphas.state_dict().values()]
    x = torch.randn(2, 3, 16, 24, dtype=torch.float64)
    s0 = s1 = plain.norm(F.conv2d(x, weights["stem.conv.weight"], padding=1), "stem.norm")
    for stage, place, reduction in cells_of(3):
        name = f"stages.{stage}.cells.{place}"
        states = [plain.preprocess(s0, f"{name}.preprocess0"), plain.preprocess(s1, f"{name}.preprocess1")]
        edge = 0
        for _ in range(3):
            total: Any = 0
            for source, state in enumerate(list(states)):
                stride = 2 if reduction and source < 2 else 1
                for number, kind in enumerate(PRIMITIVES):
                    made = plain.operation(state, kind, stride, f"{name}.mixed.{edge}.operations.{number}" + "")
                    if "pool" in kind:
                        assert f"{name}.mixed.{edge}.operations.{number}.1.running_mean" in weights
                    total = total + mixtures[int(reduction)][edge, number] * made
                edge += 1
            states.append(total)
        s0, s1 = s1, torch.cat(states[2:], 1)
    wanted = s1.mean((2, 3)) @ weights["head.weight"].T + weights["head.bias"]
    with torch.no_grad():
        torch.testing.assert_close(net(x), wanted, rtol=1e-10, atol=1e-10)


def test_one_choice_is_the_mixture_of_one() -> None:
    """Choosing operations by number gives what a mixture of zeros and ones gives."""
    torch.manual_seed(0)
    net = randomised(DartsSupernet(DartsSupernetConfig(width=4, layers=2, nodes=2)))
    chosen = [[3], [4], [0, 2], [1], [5, 5]]
    mixture = torch.zeros(5, 8, dtype=torch.float64)
    for edge, numbers in enumerate(chosen):
        for number in numbers:
            mixture[edge, number] += 1
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    with torch.no_grad():
        got, wanted = net.weights(x, (chosen, chosen)), net.weights(x, (mixture, mixture))
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_skips_are_never_dropped() -> None:
    config = DartsConfig(genotype=f"{CELL} / {CELL}", width=4, layers=3, stochastic_depth=0.999)
    torch.manual_seed(0)
    one = Darts(config).stages[0].cells[0].train()
    assert isinstance(one.operations[0], nn.Identity)
    state = torch.randn(4, 12, 8, 8)
    out = one(state, state)
    skipped = one.preprocess0(state)
    torch.testing.assert_close(out, skipped)  # the convolution is dropped, the skip is not
