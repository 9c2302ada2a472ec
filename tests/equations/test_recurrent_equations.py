"""The recurrent steps against torch's cells, and back-propagation through time against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lamina.equations import recurrent

B, T, D, H = 3, 6, 4, 5


def _cell(cell: nn.Module) -> list[Tensor]:
    return [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]  # type: ignore[list-item]


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return tuple(torch.randn(B, width, dtype=torch.float64) for width in (D, H, H))  # type: ignore[return-value]


def test_steps_are_those_of_torchs_cells(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, h, c = inputs
    rnn, lstm, gru = nn.RNNCell(D, H).double(), nn.LSTMCell(D, H).double(), nn.GRUCell(D, H).double()
    torch.testing.assert_close(recurrent.rnn_step(x, h, *_cell(rnn)), rnn(x, h))
    torch.testing.assert_close(recurrent.lstm_step(x, h, c, *_cell(lstm)), lstm(x, (h, c)))
    torch.testing.assert_close(recurrent.gru_step(x, h, *_cell(gru)), gru(x, h))


def test_the_candidates_of_the_gru_differ_from_each_other_and_from_the_misquoted_one(
    inputs: tuple[Tensor, Tensor, Tensor],
) -> None:
    x, h, _ = inputs
    weights = [3 * weight for weight in _cell(nn.GRUCell(D, H).double())]
    after, before = (recurrent.gru_step(x, h, *weights, reset_after=after) for after in (True, False))
    W, U, b, b_u = weights
    r, z = torch.sigmoid(x @ W[: 2 * H].T + b[: 2 * H] + h @ U[: 2 * H].T + b_u[: 2 * H]).chunk(2, 1)
    misquoted = (1 - z) * torch.tanh(r * (x @ W[2 * H :].T + h @ U[2 * H :].T + b[2 * H :] + b_u[2 * H :])) + z * h
    pairs = ((after, before), (after, misquoted), (before, misquoted))
    assert min((one - other).abs().max().item() for one, other in pairs) > 0.05


def test_peepholes_see_the_old_cell_at_i_and_f_and_the_new_one_at_o(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, h, c = inputs
    W, U, b, b_u = _cell(nn.LSTMCell(D, H).double())
    p = torch.randn(3, H, dtype=torch.float64)
    got_h, got_c = recurrent.lstm_step(x, h, c, W, U, b, b_u, (p[0], p[1], p[2]))
    for row in range(B):
        for unit in range(H):
            i, f, g, o = (
                (W[k * H + unit] @ x[row] + b[k * H + unit] + U[k * H + unit] @ h[row] + b_u[k * H + unit]).item()
                for k in range(4)
            )
            old = c[row, unit].item()
            sigmoid, tanh = (lambda v: torch.tensor(v).sigmoid().item()), (lambda v: torch.tensor(v).tanh().item())
            new = sigmoid(f + p[1, unit].item() * old) * old + sigmoid(i + p[0, unit].item() * old) * tanh(g)
            assert got_c[row, unit].item() == pytest.approx(new, abs=1e-6)
            hidden = sigmoid(o + p[2, unit].item() * new) * tanh(new)
            assert got_h[row, unit].item() == pytest.approx(hidden, abs=1e-6)


def test_the_lstm_of_1997_never_forgets(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, h, c = inputs
    W, U = torch.zeros(3 * H, D, dtype=torch.float64), torch.zeros(3 * H, H, dtype=torch.float64)
    b = torch.cat([torch.full((H,), -1e3), torch.zeros(H), torch.full((H,), 1e3)]).double()  # i shut, o open
    hidden, cell = recurrent.lstm_1997_step(x, h, c, W, U, b, torch.zeros_like(b))
    assert torch.equal(cell, c)
    torch.testing.assert_close(hidden, torch.tanh(c / 2))  # 2 sigmoid(c) - 1
    b[:H], b[H : 2 * H] = 1e3, 1e3  # i open, g at its upper end: 2
    _, cell = recurrent.lstm_1997_step(x, h, c, W, U, b, torch.zeros_like(b))
    torch.testing.assert_close(cell, c + 2)


def test_bptt_is_autograd() -> None:
    torch.manual_seed(1)
    x = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
    h0 = torch.randn(B, H, dtype=torch.float64, requires_grad=True)
    W, U, b, b_u = (weight.detach().requires_grad_() for weight in _cell(nn.RNNCell(D, H).double()))
    V, targets = torch.randn(2, H, dtype=torch.float64), torch.randn(T, B, 2, dtype=torch.float64)
    states = recurrent.rnn(x, h0, W, U, b, b_u)
    errors = torch.stack(states[1:]) @ V.T - targets
    wanted = torch.autograd.grad(errors.square().sum(), [W, U, b, x, h0])
    with torch.no_grad():
        got = recurrent.bptt(x, states, 2 * errors @ V, W, U)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
