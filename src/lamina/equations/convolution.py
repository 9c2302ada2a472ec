"""2D convolution as sums over kernel positions and as one matrix product, its gradients and its adjoint.

Source: Dumoulin & Visin 2016, arXiv 1603.07285. What deep learning calls convolution is cross-correlation: the kernel
is not flipped. ``true_convolution`` flips it.

Legend: x (B, C, H, W); weight w (O, C/groups, kh, kw) as in F.conv2d; output y (B, O, H', W').
``stride``, ``padding`` and ``dilation`` are (vertical, horizontal). G is the group, c and o a channel in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lamina.equations.convolution_arithmetic import output_size, transposed_output_size

Pair = tuple[int, int]


def _out(x: Tensor, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """H' and W'."""
    high, wide = (output_size(x.shape[2 + i], kernel[i], stride[i], padding[i], dilation[i]) for i in (0, 1))
    return high, wide


def _taps(kernel: Pair, out: Pair, stride: Pair, dilation: Pair) -> Iterator[tuple[int, int, slice, slice]]:
    """Each kernel position (m, n) with the rows s i + d m and columns s j + d n that it reads for all (i, j)."""
    for m in range(kernel[0]):
        for n in range(kernel[1]):
            top, left = dilation[0] * m, dilation[1] * n
            rows = slice(top, top + stride[0] * (out[0] - 1) + 1, stride[0])
            columns = slice(left, left + stride[1] * (out[1] - 1) + 1, stride[1])
            yield m, n, rows, columns


def _pad(x: Tensor, padding: Pair) -> Tensor:
    """x with zeros around it."""
    p, q = padding
    B, C, H, W = x.shape
    padded = x.new_zeros(B, C, H + 2 * p, W + 2 * q)
    padded[:, :, p : p + H, q : q + W] = x
    return padded


def _by_group(x: Tensor, groups: int, axis: int) -> Tensor:
    """Split the channel axis into (groups, channels per group)."""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def cross_correlation(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """y[o, i, j] = b[o] + sum over c, m, n of w[o, c, m, n] x[c, s i + d m - p, s j + d n - p], zero outside x.

    Raises ValueError if the dilated kernel does not fit into the padded input.

    >>> cross_correlation(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    kernel = (w.shape[2], w.shape[3])
    out = _out(x, kernel, stride, padding, dilation)
    x_BGcHW = _by_group(_pad(x, padding), groups, 1)
    w_Gocmn = _by_group(w, groups, 0)
    y_BGoHW = x.new_zeros(len(x), groups, w_Gocmn.shape[1], *out)
    for m, n, rows, columns in _taps(kernel, out, stride, dilation):
        y_BGoHW += torch.einsum("bgchw,goc->bgohw", x_BGcHW[..., rows, columns], w_Gocmn[..., m, n])
    y = y_BGoHW.flatten(1, 2)
    return y if bias is None else y + bias[:, None, None]


def true_convolution(x: Tensor, w: Tensor, padding: Pair = (0, 0)) -> Tensor:
    """y[i, j] = sum of w[m, n] x[i - m, j - n], over the positions where the kernel fits: cross-correlation with the
    kernel rotated by 180 degrees."""
    return cross_correlation(x, w.flip(2, 3), padding=padding)


def transposed_convolution(
    y: Tensor,
    w: Tensor,
    bias: Tensor | None = None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    output_padding: Pair = (0, 0),
) -> Tensor:
    """The adjoint A^T of cross_correlation A with the same w: <A x, y> = <x, A^T y> (section 4).

    It is not the inverse. Every y[o, i, j] is distributed over the inputs it was computed from: w[o, c, m, n]
    y[o, i, j] is added to x[c, s i + d m - p, s j + d n - p]. y is (B, O, H', W') and w (O, C/groups, kh, kw), which
    F.conv_transpose2d reads as (in, out/groups, kh, kw). Returns (B, C, H, W).
    """
    kernel, out = (w.shape[2], w.shape[3]), (y.shape[2], y.shape[3])
    y_BGoHW = _by_group(y, groups, 1)
    w_Gocmn = _by_group(w, groups, 0)
    high, wide = (
        transposed_output_size(out[i], kernel[i], stride[i], padding[i], dilation[i], output_padding[i]) for i in (0, 1)
    )
    p, q = padding
    x_BGcHW = y.new_zeros(len(y), groups, w.shape[1], high + 2 * p, wide + 2 * q)
    for m, n, rows, columns in _taps(kernel, out, stride, dilation):
        x_BGcHW[..., rows, columns] += torch.einsum("bgohw,goc->bgchw", y_BGoHW, w_Gocmn[..., m, n])
    x = x_BGcHW.flatten(1, 2)[:, :, p : p + high, q : q + wide]
    return x if bias is None else x + bias[:, None, None]


def cross_correlation_gradients(
    g: Tensor,
    x: Tensor,
    w: Tensor,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """dL/dx, dL/dw and dL/db from g = dL/dy, (B, O, H', W').

    dx = A^T g, the transposed convolution; dw[o, c, m, n] = sum of g[o, i, j] x[c, s i + d m - p, s j + d n - p] over
    the batch and all i, j; db[o] = sum of g[o].
    """
    kernel, out = (w.shape[2], w.shape[3]), (g.shape[2], g.shape[3])
    # rows and columns at the far edge that the stride skips: no output depends on them, their gradient is zero
    left_over = [(x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) % stride[i] for i in (0, 1)]
    dx = transposed_convolution(g, w, None, stride, padding, dilation, groups, (left_over[0], left_over[1]))
    x_BGcHW = _by_group(_pad(x, padding), groups, 1)
    g_BGoHW = _by_group(g, groups, 1)
    dw = torch.zeros_like(w)
    for m, n, rows, columns in _taps(kernel, out, stride, dilation):
        dw[..., m, n] = torch.einsum("bgohw,bgchw->goc", g_BGoHW, x_BGcHW[..., rows, columns]).flatten(0, 1)
    return dx, dw, g.sum((0, 2, 3))


def im2col(x: Tensor, kernel: Pair, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1)) -> Tensor:
    """(B, C kh kw, H' W'): column l holds the inputs of output l, ordered by channel, then row, then column."""
    out = _out(x, kernel, stride, padding, dilation)
    padded = _pad(x, padding)
    seen = [padded[:, :, rows, columns] for _, _, rows, columns in _taps(kernel, out, stride, dilation)]
    return torch.stack(seen, dim=2).flatten(3).flatten(1, 2)


def cross_correlation_im2col(
    x: Tensor,
    w: Tensor,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """cross_correlation as one matrix product per group: (O/G, C/G kh kw) times the columns of ``im2col``."""
    kernel = (w.shape[2], w.shape[3])
    columns_BGKL = _by_group(im2col(x, kernel, stride, padding, dilation), groups, 1)
    w_GoK = _by_group(w.flatten(1), groups, 0)
    y_BGoL = w_GoK @ columns_BGKL
    return y_BGoL.reshape(len(x), len(w), *_out(x, kernel, stride, padding, dilation))
