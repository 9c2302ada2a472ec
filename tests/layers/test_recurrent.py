"""Recurrent layers against torch's modules, and against the plain equations where torch has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lamina.equations import recurrent as equations
from lamina.layers.recurrent import HiddenState, LSTMState, Recurrent
from lamina.layers.sequences import reverse_rows, select_rows

TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
KINDS = (*TORCH, "gru-reset-before", "lstm-peephole", "lstm-1997")
B, T, D, H = 4, 7, 3, 5


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _pair(kind: str, layers: int, bidirectional: bool) -> tuple[Recurrent, Any]:
    """Ours and torch's, the same weights, in double."""
    peer = TORCH[kind](D, H, layers, batch_first=True, bidirectional=bidirectional).double()
    ours = Recurrent(kind, D, H, layers, bidirectional=bidirectional).double()
    ours.load_state_dict(peer.state_dict())
    return ours, peer


def _start(kind: str, rows: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(B, rows, H, dtype=torch.float64) for _ in range(2 if kind.startswith("lstm") else 1))


def _close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("written", [False, True])
def test_outputs_states_and_gradients_are_those_of_torch(
    kind: str, layers: int, bidirectional: bool, ragged: bool, written: bool
) -> None:
    ours, peer = _pair(kind, layers, bidirectional)
    x = torch.randn(B, T, D, dtype=torch.float64, requires_grad=True)
    start = _start(kind, ours.rows)
    lengths = torch.tensor([3, T, 1, 5]) if ragged else None
    first = tuple(part.transpose(0, 1).contiguous() for part in start)
    given = first if kind == "lstm" else first[0]
    if lengths is None:
        wanted, end = peer(x, given)
    else:
        packed, end = peer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), given)
        wanted, _ = pad_packed_sequence(packed, batch_first=True, total_length=T)
    run = ours._unrolled if written else ours
    out, state = run(x, start, lengths)  # the written-out form is what torch.export and torch.compile see
    _close(out, wanted)
    for part, other in zip(state, end if kind == "lstm" else (end,), strict=True):
        _close(part, other.transpose(0, 1))
    scale = torch.randn_like(out)
    weights = ("weight_hh_l0", "bias_ih_l0")
    got = torch.autograd.grad((out * scale).sum(), [x, *(getattr(ours, name) for name in weights)])
    expected = torch.autograd.grad((wanted * scale).sum(), [x, *(getattr(peer, name) for name in weights)])
    for a, b in zip(got, expected, strict=True):
        _close(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_its_equation(kind: str) -> None:
    layer = Recurrent(kind, D, H).double()  # type: ignore[arg-type]
    x, state = torch.randn(B, T, D, dtype=torch.float64), tuple(part[:, 0] for part in _start(kind, 1))
    weights = [getattr(layer, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
    out, end = layer(x, tuple(part[:, None] for part in state))
    for t in range(T):
        if kind == "rnn":
            state = (equations.rnn_step(x[:, t], *state, *weights),)
        elif kind.startswith("gru"):
            state = (equations.gru_step(x[:, t], *state, *weights, reset_after=kind == "gru"),)
        elif kind == "lstm-1997":
            state = equations.lstm_1997_step(x[:, t], *state, *weights)
        else:
            peepholes = tuple(layer.peephole_l0) if kind == "lstm-peephole" else None
            state = equations.lstm_step(x[:, t], *state, *weights, peepholes)
        _close(out[:, t], state[0])
    for part, wanted in zip(end, state, strict=True):
        _close(part[:, 0], wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_prefill_and_ragged_lengths_agree_with_the_whole(kind: str) -> None:
    layer = Recurrent(kind, D, H, 2).double()  # type: ignore[arg-type]
    x = torch.randn(B, T, D, dtype=torch.float64)
    whole, end = layer(x)
    prefix, state = layer(x[:, :4])
    for t in range(4, T):
        prefix_t, state = layer(x[:, t : t + 1], state)
        prefix = torch.cat([prefix, prefix_t], 1)
    _close(prefix, whole)
    stepped = layer.init_state(B)
    for t in range(T):
        stepped = layer.stepper()(x[:, t], stepped)
    for one, two, three in zip(end, state, stepped, strict=True):
        _close(two, one)
        _close(three, one)
    lengths = torch.tensor([2, 7, 1, 4])
    noisy = x.clone()
    for row, length in enumerate(lengths):
        noisy[row, length:] = 1e6  # padding never leaks
        alone, last = layer(x[row : row + 1, :length])
        out, ragged = layer(noisy, None, lengths)
        _close(out[row : row + 1, :length], alone)
        assert not out[row, length:].any()
        for part, other in zip(ragged, last, strict=True):
            _close(part[row : row + 1], other)


def test_parameter_counts_and_names_are_torchs() -> None:
    for kind, gates in (("rnn", 1), ("gru", 3), ("lstm", 4), ("gru-reset-before", 3), ("lstm-1997", 3)):
        layer = Recurrent(kind, D, H)  # type: ignore[arg-type]
        assert sum(weight.numel() for weight in layer.parameters()) == gates * H * (D + H + 2)
    peephole = Recurrent("lstm-peephole", D, H)
    assert sum(weight.numel() for weight in peephole.parameters()) == 4 * H * (D + H + 2) + 3 * H
    ours, peer = Recurrent("lstm", D, H, 2, bidirectional=True), nn.LSTM(D, H, 2, bidirectional=True)
    assert list(ours.state_dict()) == list(peer.state_dict())
    bound = max(weight.abs().max().item() for weight in ours.parameters())
    assert 0.9 * H**-0.5 < bound <= H**-0.5


def test_forget_bias_is_added_once_to_the_forget_gate() -> None:
    layer = Recurrent("lstm", D, H, 2, forget_bias=1.0)
    for bias in (layer.bias_ih_l0 + layer.bias_hh_l0, layer.bias_ih_l1 + layer.bias_hh_l1):
        forget = bias[H : 2 * H]
        assert forget.min() >= 1 - 2 * H**-0.5
        assert forget.max() <= 1 + 2 * H**-0.5
        assert torch.cat([bias[:H], bias[2 * H :]]).abs().max() <= 2 * H**-0.5


def test_dropout_lies_between_layers_only() -> None:
    x = torch.randn(B, T, D)
    one, two = Recurrent("gru", D, H, 1, dropout=0.5), Recurrent("gru", D, H, 2, dropout=0.5)
    assert torch.equal(one(x)[0], one(x)[0])
    assert not torch.equal(two(x)[0], two(x)[0])
    assert not torch.equal(two._unrolled(x, two.init_state(B), None)[0], two._unrolled(x, two.init_state(B), None)[0])
    assert torch.equal(two.eval()(x)[0], two(x)[0])


def test_compiled_and_exported_layers_take_other_lengths_with_gradients() -> None:
    layer = Recurrent("lstm", D, H, bidirectional=True)
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for time in (4, 6):
        x, lengths = torch.randn(B, time, D), torch.tensor([time, 1, 3, 2])
        got, wanted = compiled(x, None, lengths)[0], layer(x, None, lengths)[0]
        torch.testing.assert_close(got, wanted)
        mine = torch.autograd.grad(got.square().sum(), list(layer.parameters()))
        theirs = torch.autograd.grad(wanted.square().sum(), list(layer.parameters()))
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.compiler.reset()
    batch, time_ = torch.export.Dim("batch"), torch.export.Dim("time")
    shapes = {"x_BTD": {0: batch, 1: time_}, "state": None, "lengths": {0: batch}}
    given = (torch.randn(3, 5, D), None, torch.tensor([5, 2, 1]))
    program = torch.export.export(layer.eval(), given, dynamic_shapes=shapes).module()
    x, lengths = torch.randn(2, 9, D), torch.tensor([9, 4])
    torch.testing.assert_close(program(x, None, lengths)[0], layer(x, None, lengths)[0])


@pytest.mark.parametrize("kind", ["gru", "lstm-peephole"])
def test_loops_may_be_left_out_of_a_compiled_graph(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Recurrent(kind, D, H, 2)
    graphs: list[Any] = []

    def backend(graph: Any, given: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def outside_and_in(x: Tensor) -> Tensor:
        return layer(x.sin(), None, torch.tensor([5, 2, 7, 1]))[0].cos()

    x = torch.randn(B, T, D)
    torch.compiler.reset()
    for in_graph in (True, False):
        layer.in_graph = in_graph
        compiled = torch.compile(outside_and_in, backend=backend)
        torch.testing.assert_close(compiled(x), outside_and_in(x))
    assert ["scan" in graph.code for graph in graphs] == [True, False, False]
    torch.compiler.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(outside_and_in, backend=backend, fullgraph=True)(x)
    torch.compiler.reset()


def test_a_compiled_loop_keeps_what_the_forward_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytorch issue 153679: else the inductor of torch 2.13 gives wrong gradients, which ``make conformance`` shows."""
    monkeypatch.setattr(torch._functorch.config, "donated_buffer", True)
    layer = Recurrent("gru", D, H)
    torch.compiler.reset()
    torch.compile(layer, backend="eager", fullgraph=True)(torch.randn(B, T, D))
    assert not torch._functorch.config.donated_buffer
    torch.compiler.reset()


def test_compiles_with_weights_in_one_piece_of_memory_as_cudnn_lays_them_out() -> None:
    layer = Recurrent("gru", D, H)
    flat = torch.cat([weight.detach().flatten() for weight in layer.parameters()])
    for weight, piece in zip(layer.parameters(), flat.split([w.numel() for w in layer.parameters()]), strict=True):
        weight.data = piece.view(weight.shape)
    x = torch.randn(B, T, D)
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager", fullgraph=True)(x)[0], layer(x)[0])
    torch.compiler.reset()


def test_rows_of_a_state_are_chosen_and_repeated() -> None:
    state = LSTMState(torch.randn(2, 1, H), torch.randn(2, 1, H))
    chosen = select_rows(state, torch.tensor([1, 1, 0]))
    assert isinstance(chosen, LSTMState)
    assert torch.equal(chosen.cell_BLH, state.cell_BLH[[1, 1, 0]])
    assert isinstance(Recurrent("gru", D, H).init_state(2), HiddenState)


def test_rows_reverse_within_their_lengths() -> None:
    tokens = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7]])
    assert reverse_rows(tokens, torch.tensor([3, 4])).tolist() == [[3, 2, 1, 0], [7, 6, 5, 4]]
    assert reverse_rows(tokens, None).tolist() == [[0, 3, 2, 1], [7, 6, 5, 4]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "lstn"}, "there is no kind 'lstn'"),
        ({"hidden_size": 0}, "at least 1, got 0"),
        ({"dropout": 1.0}, "dropout"),
        ({"kind": "gru", "forget_bias": 1.0}, "forget_bias"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recurrent(**{"kind": "lstm", "input_size": D, "hidden_size": H, **options})


def test_a_bidirectional_network_has_no_step() -> None:
    layer = Recurrent("gru", D, H, bidirectional=True)
    with pytest.raises(ValueError, match="no single step"):
        layer.stepper()
