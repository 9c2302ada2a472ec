"""Sums over kernel positions, one matrix product, the adjoint and the gradients: all equal to torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from lamina.equations import convolution
from lamina.equations import convolution_arithmetic as arithmetic
from lamina.layers.convolution import SameConv2d


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, dict[str, object]]:
    """Input, weight, bias and options; the two directions differ."""
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    groups, per_group, maps = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    # at least one position fits; the rest makes sizes at which the stride does not end on the last one
    size = [max(1, dilation[i] * (kernel[i] - 1) + 1 - 2 * padding[i]) + draw(st.integers(0, 4)) for i in (0, 1)]
    seed = draw(st.integers(0, 2**31))
    x = randn(seed, draw(st.integers(1, 2)), groups * per_group, *size)
    w = randn(seed + 1, groups * maps, per_group, *kernel)
    options: dict[str, object] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, w, randn(seed + 2, groups * maps), options


@settings(max_examples=100)
@given(cases())
def test_convolution_its_matrix_form_and_its_gradients_equal_torch(case) -> None:  # type: ignore[no-untyped-def]
    x, w, b, options = case
    x.requires_grad_(), w.requires_grad_(), b.requires_grad_()
    y = functional.conv2d(x, w, b, **options)
    g = randn(7, *y.shape)
    wanted = torch.autograd.grad((g * y).sum(), [x, w, b])
    with torch.no_grad():
        close(convolution.cross_correlation(x, w, b, **options), y)
        close(convolution.cross_correlation_im2col(x, w, **options) + b[:, None, None], y)
        gradients = convolution.cross_correlation_gradients(g, x, w, **options)
        for ours, theirs in zip(gradients, wanted, strict=True):
            close(ours, theirs)


@settings(max_examples=60)
@given(cases(), st.integers(0, 2), st.integers(0, 2))
def test_transposed_convolution_equals_torch_and_is_the_adjoint(case, bottom: int, right: int) -> None:  # type: ignore[no-untyped-def]
    x, w, _, options = case
    y = randn(5, *functional.conv2d(x, w, **options).shape)
    # <conv(x), y> = <x, convT(y)>: output_padding says which of the input sizes to return to
    left_over = tuple(
        (x.shape[2 + i] + 2 * options["padding"][i] - options["dilation"][i] * (w.shape[2 + i] - 1) - 1)
        % options["stride"][i]
        for i in (0, 1)
    )
    back = convolution.transposed_convolution(y, w, output_padding=left_over, **options)
    assert back.shape == x.shape
    close((convolution.cross_correlation(x, w, **options) * y).sum(), (x * back).sum())
    extra = tuple(min(e, options["stride"][i] - 1) for i, e in enumerate((bottom, right)))
    size = [
        arithmetic.transposed_output_size(
            y.shape[2 + i],
            w.shape[2 + i],
            options["stride"][i],
            options["padding"][i],
            options["dilation"][i],
            extra[i],
        )
        for i in (0, 1)
    ]
    if min(size) > 0:  # else torch refuses: padding cuts everything away
        b = randn(6, x.shape[1])
        theirs = functional.conv_transpose2d(y, w, b, output_padding=extra, **options)
        assert list(theirs.shape[2:]) == size
        close(convolution.transposed_convolution(y, w, b, output_padding=extra, **options), theirs)


@settings(max_examples=40)
@given(cases())
def test_im2col_equals_unfold(case) -> None:  # type: ignore[no-untyped-def]
    x, w, _, options = case
    options = {name: options[name] for name in ("stride", "padding", "dilation")}
    kernel = (w.shape[2], w.shape[3])
    close(convolution.im2col(x, kernel, **options), functional.unfold(x, kernel, **options))


def test_without_options_all_forms_equal_torch() -> None:
    x, w, y = randn(0, 2, 3, 7, 6).requires_grad_(), randn(1, 4, 3, 3, 2).requires_grad_(), randn(2, 2, 4, 5, 5)
    wanted = functional.conv2d(x, w)
    dx, dw = torch.autograd.grad((wanted * y).sum(), [x, w])
    with torch.no_grad():
        close(convolution.cross_correlation(x, w), wanted)
        close(convolution.cross_correlation_im2col(x, w), wanted)
        close(convolution.im2col(x, (3, 2)), functional.unfold(x, (3, 2)))
        close(convolution.transposed_convolution(y, w), functional.conv_transpose2d(y, w))
        ours = convolution.cross_correlation_gradients(y, x, w)
        close(ours[0], dx)
        close(ours[1], dw)
        close(convolution.true_convolution(x, w), functional.conv2d(x, w.flip(2, 3)))


def test_cross_correlation_does_not_flip_the_kernel_and_true_convolution_does() -> None:
    x = torch.arange(9, dtype=torch.float64).reshape(1, 1, 3, 3)
    corner = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    corner[0, 0, 0, 0] = 1
    assert convolution.cross_correlation(x, corner).item() == 0  # the top-left input
    assert convolution.true_convolution(x, corner).item() == 8  # the bottom-right one
    row, kernel = randn(0, 1, 1, 1, 6), randn(1, 1, 1, 1, 3)
    flipped = np.convolve(row.flatten().numpy(), kernel.flatten().numpy(), mode="full")
    close(convolution.true_convolution(row, kernel, padding=(0, 2)).flatten(), torch.from_numpy(flipped))


def test_convolution_commutes_with_shifts_under_circular_padding() -> None:
    x, w = randn(0, 2, 3, 6, 5), randn(1, 4, 3, 3, 3)

    def circular(x: Tensor) -> Tensor:
        return convolution.cross_correlation(functional.pad(x, (1, 1, 1, 1), mode="circular"), w)

    close(circular(x.roll((2, -1), (2, 3))), circular(x).roll((2, -1), (2, 3)))


@settings(max_examples=100)
@given(
    st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3), st.integers(0, 3)
)
def test_output_sizes_are_torchs(n: int, k: int, s: int, p: int, d: int, extra: int) -> None:
    x, w = torch.zeros(1, 1, n), torch.zeros(1, 1, k)
    if n + 2 * p < d * (k - 1) + 1:
        message = f"a kernel that spans {d * (k - 1) + 1} does not fit into a padded input of {n + 2 * p}"
        with pytest.raises(ValueError, match=message):
            arithmetic.output_size(n, k, s, p, d)
        return
    out = functional.conv1d(x, w, stride=s, padding=p, dilation=d).shape[-1]
    assert arithmetic.output_size(n, k, s, p, d) == out
    if 2 * p <= k:  # what pooling allows
        assert functional.max_pool1d(x, k, s, p, d).shape[-1] == out
    extra = min(extra, s - 1)
    size = arithmetic.transposed_output_size(n, k, s, p, d, extra)
    if size > 0:
        y = functional.conv_transpose1d(x, w, stride=s, padding=p, dilation=d, output_padding=extra)
        assert y.shape[-1] == size


def test_without_options_stride_and_dilation_are_one_and_padding_is_none() -> None:
    assert arithmetic.output_size(9, 3) == 7
    assert arithmetic.transposed_output_size(7, 3) == 9
    assert arithmetic.same_padding(3) == 1
    assert arithmetic.tf_same_padding(8, 3) == (1, 1)


@pytest.mark.parametrize(("k", "d", "p"), [(1, 1, 0), (3, 1, 1), (5, 1, 2), (3, 2, 2), (7, 3, 9)])
def test_same_padding_keeps_the_size(k: int, d: int, p: int) -> None:
    assert arithmetic.same_padding(k, d) == p
    assert arithmetic.output_size(19, k, 1, p, d) == 19


def test_no_equal_padding_is_same_for_an_even_kernel() -> None:
    with pytest.raises(ValueError, match="kernel 4"):
        arithmetic.same_padding(4)


@pytest.mark.parametrize("n", range(1, 20))
@pytest.mark.parametrize(("k", "s", "d"), [(3, 2, 1), (2, 2, 1), (5, 3, 1), (3, 2, 2), (1, 2, 1), (4, 1, 1)])
def test_tf_same_pads_to_the_rounded_up_size_with_the_odd_one_after(n: int, k: int, s: int, d: int) -> None:
    before, after = arithmetic.tf_same_padding(n, k, s, d)
    assert after - before in (0, 1)
    size = -(-n // s)
    assert arithmetic.output_size(n + before + after, k, s, 0, d) == size
    if before + after:  # and no more than needed
        span = n + before + after - 1 - d * (k - 1)
        assert span < 1 or arithmetic.output_size(n + before + after - 1, k, s, 0, d) < size


def test_tf_same_is_not_symmetric_at_stride_two() -> None:
    assert arithmetic.tf_same_padding(224, 3, 2) == (0, 1)  # torch's padding=1 would put the one before
    assert arithmetic.tf_same_padding(225, 3, 2) == (1, 1)
    assert arithmetic.tf_same_padding(224, 7, 2) == (2, 3)
    assert arithmetic.tf_same_padding(8, 1, 2) == (0, 0)


@pytest.mark.parametrize(
    ("layers", "field", "jump"),
    [
        ([(3, 1, 1)] * 2, 5, 1),
        ([(3, 1, 1)] * 3, 7, 1),
        ([(4, 2, 1)] * 3 + [(4, 1, 1)] * 2, 70, 8),  # PatchGAN
        ([(3, 1, 1), (3, 1, 2), (3, 1, 4)], 15, 1),
        ([(7, 2, 1), (3, 2, 1), (3, 1, 1)], 19, 4),
    ],
)
def test_receptive_field_is_what_a_gradient_reaches(layers: list[tuple[int, int, int]], field: int, jump: int) -> None:
    assert arithmetic.receptive_field(layers) == (field, jump)
    x = torch.zeros(1, 1, field + 2 * jump, dtype=torch.float64, requires_grad=True)
    y = x
    for k, s, d in layers:
        y = functional.conv1d(y, torch.ones(1, 1, k, dtype=torch.float64), stride=s, dilation=d)
    seen = [torch.autograd.grad(y[0, 0, i], x, retain_graph=True)[0].flatten().nonzero().flatten() for i in (0, 1)]
    assert len(seen[0]) == field
    assert seen[1][0] - seen[0][0] == jump


@pytest.mark.parametrize(("c_in", "c_out", "k", "groups", "bias"), [(3, 8, (3, 5), 1, True), (8, 16, (3, 3), 4, False)])
def test_parameters_and_macs_are_those_of_the_module(
    c_in: int, c_out: int, k: tuple[int, int], groups: int, bias: bool
) -> None:
    layer = torch.nn.Conv2d(c_in, c_out, k, groups=groups, bias=bias)
    assert arithmetic.parameters(c_in, c_out, k, groups, bias) == sum(p.numel() for p in layer.parameters())
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        y = layer(torch.zeros(1, c_in, 9, 11))
    high, wide = y.shape[2:]
    assert arithmetic.macs(c_in, c_out, k, (high, wide), groups) == counter.get_total_flops() // 2


def test_costs_that_papers_state() -> None:
    # VGG: three 3x3 layers cost 27 C^2 weights, one 7x7 of the same receptive field 49 C^2
    C = 64
    assert 3 * arithmetic.parameters(C, C, (3, 3), bias=False) == 27 * C * C
    assert arithmetic.parameters(C, C, (7, 7), bias=False) == 49 * C * C
    # MobileNets: depthwise and pointwise over one full convolution
    full = arithmetic.macs(512, 512, (3, 3), (14, 14))
    separable = arithmetic.macs(512, 512, (3, 3), (14, 14), 512) + arithmetic.macs(512, 512, (1, 1), (14, 14))
    assert arithmetic.separable_cost_ratio(512, 3) == pytest.approx(separable / full, rel=1e-12)
    assert arithmetic.separable_cost_ratio(512, 3) == pytest.approx(0.1131, abs=5e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 2), (4, 3)])
@pytest.mark.parametrize("sides", [(8, 9), (11, 6), (3, 3)])
def test_the_layer_pads_as_tensorflow(kernel: int, stride: int, sides: tuple[int, int]) -> None:
    layer = SameConv2d(2, 3, kernel, stride).double()
    x = torch.randn(2, 2, *sides, dtype=torch.float64)
    above, below = arithmetic.tf_same_padding(sides[0], kernel, stride)
    left, right = arithmetic.tf_same_padding(sides[1], kernel, stride)
    padded = torch.nn.functional.pad(x, (left, right, above, below))
    expected = torch.nn.functional.conv2d(padded, layer.weight, layer.bias, stride)
    torch.testing.assert_close(layer(x), expected)
    assert layer(x).shape[2:] == tuple(-(-side // stride) for side in sides)
