"""LeNet-5 of 1998 against its paper, written out in plain loops: every layer, every count, every absent connection."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

import lamina
from lamina.errors import UsageError
from lamina.models.lenet5_1998 import C3_SEES, DIGITS, RBF, LeNet51998, LeNet51998Config, codes

# Table I as the paper prints it: a row for each S2 map, a column for each C3 map.
TABLE_I = [
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
]

Maps = list[list[list[float]]]


def squash(a: float) -> float:
    return 1.7159 * math.tanh(2 / 3 * a)


def by_hand(net: LeNet51998, image: Maps) -> tuple[Maps, Maps, list[float], list[float]]:
    """Maps of S2 and S4, F6 and the penalties y of one image, by the paper's formulas in plain Python floats."""
    w = {name: tensor.tolist() for name, tensor in net.state_dict().items()}
    table = [[i for i in range(6) if TABLE_I[i][o] == "X"] for o in range(16)]
    kernels_of_c3 = iter(w["c3.0.weight"])
    c3 = [{i: next(kernels_of_c3) for i in seen} for seen in table]

    def convolve(maps: Maps, kernels: dict[int, list[list[float]]], bias: float) -> list[list[float]]:
        k = len(next(iter(kernels.values())))
        side = len(maps[0]) - k + 1
        out = []
        for r in range(side):
            row = []
            for c in range(side):
                a = bias
                for i, kernel in kernels.items():
                    for u in range(k):
                        for v in range(k):
                            a += kernel[u][v] * maps[i][r + u][c + v]
                row.append(squash(a))
            out.append(row)
        return out

    def subsample(maps: Maps, coefficients: list[float], biases: list[float]) -> Maps:
        return [
            [
                [
                    squash(coefficient * (m[r][c] + m[r][c + 1] + m[r + 1][c] + m[r + 1][c + 1]) + bias)
                    for c in range(0, len(m) - 1, 2)
                ]
                for r in range(0, len(m) - 1, 2)
            ]
            for m, coefficient, bias in zip(maps, coefficients, biases, strict=True)
        ]

    c1 = [
        convolve(image, dict(enumerate(kernels)), bias)
        for kernels, bias in zip(w["c1.0.weight"], w["c1.0.bias"], strict=True)
    ]
    s2 = subsample(c1, w["s2.0.weight"], w["s2.0.bias"])
    s4 = subsample(
        [convolve(s2, kernels, bias) for kernels, bias in zip(c3, w["c3.0.bias"], strict=True)],
        w["s4.0.weight"],
        w["s4.0.bias"],
    )
    c5 = [
        convolve(s4, dict(enumerate(kernels)), bias)[0][0]
        for kernels, bias in zip(w["c5.0.weight"], w["c5.0.bias"], strict=True)
    ]
    f6 = [
        squash(bias + sum(weight * x for weight, x in zip(weights, c5, strict=True)))
        for weights, bias in zip(w["f6.0.weight"], w["f6.0.bias"], strict=True)
    ]
    y = [sum((x - code) ** 2 for x, code in zip(f6, row, strict=True)) for row in w["head.codes_KD"]]
    return s2, s4, f6, y


def fresh(**options: int) -> LeNet51998:
    torch.manual_seed(0)
    return LeNet51998(LeNet51998Config(**options)).double()


@pytest.mark.parametrize(
    "options", [{}, {"in_channels": 2, "num_classes": 3, "image_size": 29}], ids=["paper", "other"]
)
def test_every_layer_is_the_papers(options: dict[str, int]) -> None:
    net = fresh(**options)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(1.5)  # from the start the units are nearly linear: a missing squash should show
    size, channels = options.get("image_size", 32), options.get("in_channels", 1)
    x = torch.randn(1, channels, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    s2, s4, f6, y = by_hand(net, x[0].tolist())
    with torch.no_grad():
        got = [*net.features(x), net.embed(x), net(x)]
    for ours, hand in zip(got, (s2, s4, f6, [-penalty for penalty in y]), strict=True):
        wanted = torch.tensor(hand, dtype=torch.float64)
        assert ours[0].shape == wanted.shape
        assert (ours[0] - wanted).abs().max() <= 1e-10 * wanted.abs().max()


def test_the_paper_counts_60_000_trainable_weights() -> None:
    net = LeNet51998(LeNet51998Config())
    layers = {name: sum(weight.numel() for weight in layer.parameters()) for name, layer in net.named_children()}
    assert layers == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164, "head": 0}
    assert sum(layers.values()) == lamina.card("lenet5-1998").parameters == 60_000
    assert all(weight.requires_grad for weight in net.parameters())


def test_c3_sees_the_maps_of_table_i_and_no_others() -> None:
    """By the gradient: what each map of C3 asks of each map of S2."""
    assert ["".join("X" if i in seen else "." for seen in C3_SEES) for i in range(6)] == TABLE_I
    layer = fresh().c3[0]
    x = torch.randn(1, 6, 14, 14, dtype=torch.float64, requires_grad=True)
    out = layer(x)
    for o in range(16):
        (asked,) = torch.autograd.grad(out[0, o].sum(), x, retain_graph=True)
        seen = ["X" if asked[0, i].any() else "." for i in range(6)]
        assert seen == [row[o] for row in TABLE_I]


def test_each_weight_of_c3_reaches_its_own_map_alone() -> None:
    layer = fresh().c3[0]
    out = layer(torch.randn(1, 6, 14, 14, dtype=torch.float64))
    start = 0
    for o, seen in enumerate(C3_SEES):
        gradient, bias = torch.autograd.grad(out[0, o].sum(), [layer.weight, layer.bias], retain_graph=True)
        assert gradient[start : start + len(seen)].all()
        assert gradient.count_nonzero() == 25 * len(seen)
        assert bias.nonzero().flatten().tolist() == [o]
        start += len(seen)
    assert start == len(layer.weight) == 60


def test_weights_start_uniform_within_2_4_over_fan_in() -> None:
    torch.manual_seed(0)
    net = LeNet51998(LeNet51998Config(in_channels=2))
    c3 = [2.4 / (25 * len(seen)) for seen in C3_SEES]
    kernels = net.c3[0].weight.split([len(seen) for seen in C3_SEES])
    groups = [
        (net.c1[0].weight, 2.4 / 50),
        (net.c5[0].weight, 2.4 / 400),
        (net.f6[0].weight, 2.4 / 120),
        *zip(kernels, c3, strict=True),
    ]
    for weight, bound in groups:
        scaled = weight.detach() / bound
        assert 0.9 < scaled.abs().max() <= 1.0
        assert abs(scaled.square().mean() - 1 / 3) < 0.1
    few = [(net.s2[0].weight, 0.6), (net.s4[0].weight, 0.6), (net.s4[0].bias, 0.6), (net.f6[0].bias, 2.4 / 120)]
    for weight, bound in [*few, *zip(net.c3[0].bias, c3, strict=True)]:
        assert (weight.abs() <= bound).all()
        assert weight.abs().max() > 0
    assert net.s4[0].weight.abs().max() > 0.3


def test_the_bitmaps_are_ten_drawings_of_7_by_12() -> None:
    lines = DIGITS.split("\n")[1:-1]
    assert len(lines) == 12
    drawn = torch.tensor(codes(10))
    assert drawn.shape == (10, 84)
    assert set(drawn.flatten().tolist()) == {-1.0, 1.0}
    seven = drawn[7].view(12, 7)
    assert (seven[0] == 1).all()  # the bar on top, the stroke that leaves it at the right
    assert seven[1].tolist() == [-1, -1, -1, -1, -1, -1, 1]
    assert "\n".join(
        "  ".join("".join(".#"[int(v > 0)] for v in d.view(12, 7)[r]) for d in drawn) for r in range(12)
    ) == ("\n".join(lines))
    apart = {(a, b): int((drawn[a] != drawn[b]).sum()) for a, b in combinations(range(10), 2)}
    assert min(apart.values()) == apart[3, 8] == 10


def test_the_output_is_minus_the_squared_distance_to_each_code() -> None:
    drawn = torch.tensor(codes(10))
    apart = (drawn[:, None] != drawn).sum(2).float()
    assert torch.equal(RBF(10)(drawn), -4 * apart)
    assert torch.equal(RBF(10)(torch.zeros(1, 84)), torch.full((1, 10), -84.0))


@pytest.mark.parametrize("classes", [2, 9, 26])
def test_other_numbers_of_classes_have_random_codes_that_stay(classes: int) -> None:
    drawn = torch.tensor(codes(classes))
    assert drawn.shape == (classes, 84)
    assert set(drawn.flatten().tolist()) == {-1.0, 1.0}
    assert codes(classes) == codes(classes) == codes(40)[:classes]
    assert all((drawn[a] != drawn[b]).sum() > 20 for a, b in combinations(range(classes), 2))
    assert abs(torch.tensor(codes(200)).mean()) < 0.03
    net = fresh(num_classes=classes)
    assert torch.equal(net.head.codes_KD, drawn.double())
    assert "head.codes_KD" in net.state_dict()


def test_a_new_head_lives_where_the_model_lives() -> None:
    net = fresh()
    net.reset_head(4)
    assert (net.config.num_classes, net.head.codes_KD.shape, net.head.codes_KD.dtype) == (4, (4, 84), torch.float64)
    net.reset_head(0)
    x = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    assert torch.equal(net(x), net.embed(x))
    with torch.device("meta"):
        assert LeNet51998(LeNet51998Config()).head.codes_KD.is_meta


def test_maps_of_the_paper_and_of_other_sizes() -> None:
    assert [tuple(stage.shape) for stage in fresh().features(torch.zeros(2, 1, 32, 32).double())] == [
        (2, 6, 14, 14),
        (2, 16, 5, 5),
    ]
    for image_size in (16, 28, 33):
        net = lamina.create_model("lenet5-1998", image_size=image_size, in_channels=3)
        assert net(torch.zeros(2, 3, image_size, image_size)).shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 15}, "at least 16 x 16 pixels, got image_size=15"),
        ({"in_channels": 0}, "in_channels must be at least 1"),
        ({"num_classes": -1}, "num_classes at least 0"),
        ({"dropout": 0.1}, "unknown option of LeNet-5 .1998. 'dropout'"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        lamina.create_model("lenet5-1998", **options)
    assert "\n" not in str(caught.value)
