"""The steps of recurrent networks, and back-propagation through time written out.

Papers: Elman, "Finding structure in time", Cognitive Science 14 (1990); Werbos, "Backpropagation through time", Proc.
IEEE 78 (1990); Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with the forget gate of
Gers, Schmidhuber, Cummins (2000) and the peepholes of Gers, Schmidhuber (2000); Cho et al., EMNLP 2014
(arXiv 1406.1078).

Legend: B batch, T time, D inputs, H hidden units. W (gates H, D) and U (gates H, H) hold one block of H rows per gate,
in torch's order: i, f, g, o for the LSTM and r, z, n for the GRU. b belongs to W, b_u to U: torch has both.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rnn_step(x_BD: Tensor, h_BH: Tensor, W: Tensor, U: Tensor, b: Tensor, b_u: Tensor) -> Tensor:
    """h_t = tanh(W x_t + b + U h_{t-1} + b_u), (B, H) (Elman 1990)."""
    return torch.tanh(x_BD @ W.T + b + h_BH @ U.T + b_u)


def lstm_step(
    x_BD: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    W: Tensor,
    U: Tensor,
    b: Tensor,
    b_u: Tensor,
    peepholes: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """i, f, o = sigmoid(W x + U h); g = tanh(W_g x + U_g h); c_t = f c_{t-1} + i g; h_t = o tanh(c_t).

    With ``peepholes`` (p_i, p_f, p_o), (H,) each, p_i c_{t-1} is added to gate i, p_f c_{t-1} to f, and p_o c_t (of the
    new cell) to o, before the sigmoid. Returns h_t and c_t, (B, H) each.

    >>> x, h, c = torch.randn(2, 3), torch.zeros(2, 4), torch.zeros(2, 4)
    >>> h, c = lstm_step(x, h, c, torch.randn(16, 3), torch.randn(16, 4), torch.zeros(16), torch.zeros(16))
    >>> h.shape, c.shape
    (torch.Size([2, 4]), torch.Size([2, 4]))
    """
    p_i, p_f, p_o = peepholes if peepholes is not None else (0.0, 0.0, 0.0)
    i, f, g, o = (x_BD @ W.T + b + h_BH @ U.T + b_u).chunk(4, 1)
    c = torch.sigmoid(f + p_f * c_BH) * c_BH + torch.sigmoid(i + p_i * c_BH) * torch.tanh(g)
    return torch.sigmoid(o + p_o * c) * torch.tanh(c), c


def lstm_1997_step(
    x_BD: Tensor, h_BH: Tensor, c_BH: Tensor, W: Tensor, U: Tensor, b: Tensor, b_u: Tensor
) -> tuple[Tensor, Tensor]:
    """The first LSTM: no forget gate, c_t = c_{t-1} + i g. Three blocks of rows: i, g, o.

    The squashing functions are logistic, with range [-2, 2] for g and [-1, 1] for the cell's output. Returns h_t, c_t.
    """
    i, g, o = (x_BD @ W.T + b + h_BH @ U.T + b_u).chunk(3, 1)
    c = c_BH + torch.sigmoid(i) * (4 * torch.sigmoid(g) - 2)
    return torch.sigmoid(o) * (2 * torch.sigmoid(c) - 1), c


def gru_step(
    x_BD: Tensor, h_BH: Tensor, W: Tensor, U: Tensor, b: Tensor, b_u: Tensor, *, reset_after: bool = True
) -> Tensor:
    """r, z = sigmoid(W x + U h); h_t = (1 - z) n + z h_{t-1}, (B, H), with one of two candidates:

    ``reset_after``: n = tanh(W_n x + b_n + r (U_n h + b_un)), as in the paper's first version, cuDNN and torch;
    otherwise n = tanh(W_n x + b_n + U_n (r h) + b_un), as in the paper's third version.

    Often misquoted as tanh(W_n [r h, r x]), where r = 0 would block the input too. Chung et al. 2014 (arXiv 1412.3555)
    exchange z and 1 - z.
    """
    (W_r, W_z, W_n), (U_r, U_z, U_n) = W.chunk(3), U.chunk(3)
    (b_r, b_z, b_n), (u_r, u_z, u_n) = b.chunk(3), b_u.chunk(3)
    r = torch.sigmoid(x_BD @ W_r.T + b_r + h_BH @ U_r.T + u_r)
    z = torch.sigmoid(x_BD @ W_z.T + b_z + h_BH @ U_z.T + u_z)
    reset = r * (h_BH @ U_n.T + u_n) if reset_after else (r * h_BH) @ U_n.T + u_n
    n = torch.tanh(x_BD @ W_n.T + b_n + reset)
    return (1 - z) * n + z * h_BH


def rnn(x_TBD: Tensor, h0_BH: Tensor, W: Tensor, U: Tensor, b: Tensor, b_u: Tensor) -> list[Tensor]:
    """The unrolled Elman network: its states [h_0, h_1, ..., h_T], each (B, H)."""
    states = [h0_BH]
    for x_BD in x_TBD:
        states.append(rnn_step(x_BD, states[-1], W, U, b, b_u))
    return states


def bptt(
    x_TBD: Tensor, states: list[Tensor], dL_dh_TBH: Tensor, W: Tensor, U: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the loss L by back-propagation through time (Werbos 1990), with ``states`` from ``rnn``.

    ``dL_dh_TBH`` is the gradient that reaches h_t directly from the output of step t: V^T dL/dy_t for y_t = V h_t. With
    delta_t the total gradient of h_t and a_t = (1 - h_t^2) delta_t that of its pre-activation:

        delta_t = dL/dh_t + U^T a_{t+1}; dW = sum a_t x_t^T; dU = sum a_t h_{t-1}^T; db = sum a_t.

    Returns dW, dU, db (equal to that of b_u), dL/dx (T, B, D) and dL/dh_0 (B, H).
    """
    dW, dU, db = torch.zeros_like(W), torch.zeros_like(U), torch.zeros_like(W[:, 0])
    dx = torch.zeros_like(x_TBD)
    from_later_BH = torch.zeros_like(states[0])
    for t in reversed(range(len(x_TBD))):
        delta_BH = dL_dh_TBH[t] + from_later_BH
        a_BH = (1 - states[t + 1] ** 2) * delta_BH  # states[t + 1] is the output of step t
        dW += a_BH.T @ x_TBD[t]
        dU += a_BH.T @ states[t]
        db += a_BH.sum(0)
        dx[t] = a_BH @ W
        from_later_BH = a_BH @ U
    return dW, dU, db, dx, from_later_BH
