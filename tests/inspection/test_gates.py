"""Gates, cells and hidden states over time: what the fused kernels hide, and what they give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lamina
from lamina.equations import recurrent as equations
from lamina.errors import UsageError
from lamina.inspection import gate_traces
from lamina.inspection.gates import GATES
from lamina.layers.recurrent import Recurrent

B, T, D, H = 2, 7, 3, 5


class Whole(torch.nn.Module):
    """One recurrent layer behind a name."""

    def __init__(self, recurrent: Recurrent) -> None:
        super().__init__()
        self.memory = recurrent

    def forward(self, x: Tensor, state: Any = None) -> Tensor:
        out: Tensor = self.memory(x, state=state)[0]
        return out


def made(kind: Any, layers: int = 1, bidirectional: bool = False) -> tuple[Whole, Tensor, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model = Whole(Recurrent(kind, D, H, layers, bidirectional=bidirectional, dropout=0.5 if layers > 1 else 0.0))
    state = tuple(torch.randn(B, model.memory.rows, H) for _ in range(2 if kind.startswith("lstm") else 1))
    return model, torch.randn(B, T, D), state


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True), (3, False)])
@pytest.mark.parametrize("started", [False, True])
def test_the_trace_ends_in_the_output_of_the_kernel(kind: str, layers: int, bidirectional: bool, started: bool) -> None:
    model, x, state = made(kind, layers, bidirectional)
    given = (x, state) if started else (x,)
    model.train()  # dropout is off all the same
    traces = gate_traces(model, *given)
    assert model.training
    model.eval()
    with torch.no_grad():
        out, end = model.memory(*given)
    sides = (False, True) if bidirectional else (False,)
    assert [(trace.name, trace.layer, trace.backward) for trace in traces] == [
        ("memory", layer, backward) for layer in range(layers) for backward in sides
    ]
    torch.testing.assert_close(torch.cat([t.hidden_BTH for t in traces[-len(sides) :]], -1), out, rtol=0, atol=1e-6)
    for row, trace in enumerate(traces):
        last = 0 if trace.backward else T - 1
        torch.testing.assert_close(trace.hidden_BTH[:, last], end[0][:, row], rtol=0, atol=1e-6)
        if kind.startswith("lstm"):
            assert trace.cell_BTH is not None
            torch.testing.assert_close(trace.cell_BTH[:, last], end[1][:, row], rtol=0, atol=1e-6)
        else:
            assert trace.cell_BTH is None


@pytest.mark.parametrize("kind", GATES)
def test_the_gates_make_the_state(kind: str) -> None:
    model, x, state = made(kind)
    (trace,) = gate_traces(model.double(), x.double(), tuple(part.double() for part in state))
    assert tuple(trace.gates) == GATES[kind]  # type: ignore[index]
    gate = trace.gates
    before = torch.cat([state[0].double(), trace.hidden_BTH[:, :-1]], 1)
    for name, values in gate.items():
        assert values.shape == (B, T, H)
        if name != "candidate":
            assert ((values > 0) & (values < 1)).all()
    if kind.startswith("gru"):
        wanted = (1 - gate["update"]) * gate["candidate"] + gate["update"] * before
        torch.testing.assert_close(trace.hidden_BTH, wanted)
    elif kind.startswith("lstm"):
        assert trace.cell_BTH is not None
        cells = torch.cat([state[1].double(), trace.cell_BTH[:, :-1]], 1)
        kept = cells if kind == "lstm-1997" else gate["forget"] * cells
        torch.testing.assert_close(trace.cell_BTH, kept + gate["input"] * gate["candidate"])
        squashed = 2 * trace.cell_BTH.sigmoid() - 1 if kind == "lstm-1997" else trace.cell_BTH.tanh()
        torch.testing.assert_close(trace.hidden_BTH, gate["output"] * squashed)


def test_a_gate_is_its_equation() -> None:
    model, x, _ = made("lstm")
    (trace,) = gate_traces(model.double(), x.double())
    weights = [getattr(model.memory, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    h = c = torch.zeros(B, H, dtype=torch.float64)
    W, U, b, b_u = weights
    for t in range(T):
        rows = slice(H, 2 * H)  # torch's order: i, f, g, o
        forget = torch.sigmoid(x[:, t].double() @ W[rows].T + b[rows] + h @ U[rows].T + b_u[rows])
        torch.testing.assert_close(trace.gates["forget"][:, t], forget.detach())
        h, c = equations.lstm_step(x[:, t].double(), h, c, W, U, b, b_u)
        torch.testing.assert_close(trace.hidden_BTH[:, t], h.detach())


def test_the_layers_of_a_language_model() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("lstm-lm", vocab_size=11, embedding_dim=4, hidden_size=6, dropout=0.5)
    tokens = torch.tensor([[3, 1, 4, 1, 5]])
    traces = gate_traces(model, tokens)
    with torch.no_grad():
        logits = model.eval()(tokens)[0]
        torch.testing.assert_close(model.head(traces[-1].hidden_BTH), logits)


@pytest.mark.parametrize("score", ["additive", "general"])
def test_a_decoder_that_is_stepped(score: str) -> None:
    torch.manual_seed(0)
    options = {"source_vocab_size": 9, "embedding_dim": 4, "hidden_size": 5, "attention_size": 6, "num_layers": 2}
    model = lamina.create_model("seq2seq-attention", vocab_size=11, maxout=3, score=score, **options).eval()
    source, tokens = torch.tensor([[3, 1, 4, 1, 5]]), torch.tensor([[2, 7, 1, 8]])
    traces = gate_traces(model, tokens, source=source)
    both = (False, True) if score == "additive" else (False,)
    assert [(t.name, t.layer, t.backward) for t in traces] == [
        *(("encoder", layer, side) for layer in (0, 1) for side in both),
        *(("decoder", layer, False) for layer in (0, 1)),
    ]
    with torch.no_grad():
        _, state = model(tokens, source=source)
    for layer, trace in enumerate(traces[-2:]):
        assert trace.hidden_BTH.shape == (1, 4, 5)
        torch.testing.assert_close(trace.hidden_BTH[:, -1], state.hidden_BLH[:, layer])
    assert "stepper" not in vars(model.decoder)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_model_without_memory_has_none() -> None:
    assert gate_traces(lamina.create_model("lenet5"), torch.randn(1, 1, 32, 32)) == []
    model = lamina.create_model("lstm-lm", vocab_size=11, embedding_dim=4, hidden_size=6)
    with pytest.raises(UsageError, match="expected tokens"):
        gate_traces(model, torch.tensor([1, 2]))
    assert not any(module._forward_pre_hooks for module in model.modules())
