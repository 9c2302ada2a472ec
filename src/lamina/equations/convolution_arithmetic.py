"""The arithmetic of convolutions along one axis: sizes, padding, receptive field, cost.

Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016, arXiv 1603.07285.

Legend: n input size, k kernel size, s stride, p padding on each side, d dilation, along one axis.
"""

from __future__ import annotations

from collections.abc import Iterable


def output_size(n: int, k: int, s: int = 1, p: int = 0, d: int = 1) -> int:
    """floor((n + 2p - d(k-1) - 1) / s) + 1 (relationship 15). Pooling follows the same formula.

    Raises ValueError if the dilated kernel does not fit into the padded input.

    >>> output_size(224, 7, s=2, p=3)
    112
    """
    slack = n + 2 * p - d * (k - 1) - 1
    if slack < 0:
        raise ValueError(f"a kernel that spans {d * (k - 1) + 1} does not fit into a padded input of {n + 2 * p}")
    return slack // s + 1


def transposed_output_size(n: int, k: int, s: int = 1, p: int = 0, d: int = 1, extra: int = 0) -> int:
    """(n-1)s - 2p + d(k-1) + extra + 1 (relationship 14).

    ``extra`` is torch's output_padding: s input sizes of a convolution share one output size, and ``extra`` selects the
    one that the transposed convolution restores.
    """
    return (n - 1) * s - 2 * p + d * (k - 1) + extra + 1


def same_padding(k: int, d: int = 1) -> int:
    """p = d(k-1)/2, which keeps the size at stride 1. Raises ValueError if no symmetric padding does."""
    if d * (k - 1) % 2:
        raise ValueError(f"no equal padding keeps the size for kernel {k} and dilation {d}")
    return d * (k - 1) // 2


def tf_same_padding(n: int, k: int, s: int = 1, d: int = 1) -> tuple[int, int]:
    """TensorFlow's 'SAME': (before, after) with before + after = max((ceil(n/s) - 1)s + d(k-1) + 1 - n, 0).

    If the total is odd, the extra sample goes after (bottom, right): at stride 2 this differs from symmetric padding.
    """
    total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
    return total // 2, total - total // 2


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> tuple[int, int]:
    """Receptive field r and stride (jump) j of an output after layers of (kernel, stride, dilation), input side first.

    r_l = r_{l-1} + (k_l - 1) d_l j_{l-1} and j_l = j_{l-1} s_l, both in input samples; r_0 = j_0 = 1.

    >>> receptive_field([(3, 1, 1), (3, 1, 1), (3, 1, 1)])
    (7, 1)
    """
    r, j = 1, 1
    for k, s, d in layers:
        r += (k - 1) * d * j
        j *= s
    return r, j


def parameters(c_in: int, c_out: int, k: tuple[int, int], groups: int = 1, bias: bool = True) -> int:
    """C_out (C_in / groups) k_h k_w, and C_out biases."""
    return c_out * (c_in // groups) * k[0] * k[1] + (c_out if bias else 0)


def macs(c_in: int, c_out: int, k: tuple[int, int], out: tuple[int, int], groups: int = 1) -> int:
    """Multiply-adds for one input: H_out W_out C_out (C_in / groups) k_h k_w. Biases are not counted."""
    return out[0] * out[1] * parameters(c_in, c_out, k, groups, bias=False)


def separable_cost_ratio(c_out: int, k: int) -> float:
    """1/N + 1/k^2: the cost of a depthwise k x k and a 1 x 1 convolution to N channels, relative to one full k x k
    convolution (Howard et al. 2017, MobileNets, arXiv 1704.04861, section 3.1)."""
    return 1 / c_out + 1 / k**2
