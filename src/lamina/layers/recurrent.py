"""Recurrent layers: torch's fused kernels where they exist, and the forms written out that torch lacks.

Kinds (``Kind``): "rnn" Elman 1990, "gru" Cho et al. 2014 (arXiv 1406.1078) as cuDNN and torch have it, "lstm"
Hochreiter and Schmidhuber 1997 with the forget gate of Gers, Schmidhuber, Cummins 2000; and, written out,
"gru-reset-before" (the candidate of Cho's third version: the reset gate acts before the matrix), "lstm-peephole" (Gers
and Schmidhuber 2000: gates see the cell), "lstm-1997" (no forget gate; squashing with ranges [-2, 2] and [-1, 1]).

While torch compiles or exports, every kind runs as a written-out step under torch's ``scan``: one graph for every
batch and length. The fused modules cannot: Dynamo refuses nn.RNN, nn.LSTM and nn.GRU, and their kernels are traced as a
loop over the traced length (pytorch issues 141184, 126339, 191855). ``scan`` is a prototype feature of torch. Where one
graph is not needed, ``in_graph = False`` leaves the fused kernels as they are, outside of it: they are faster.

Legend: B batch, T time, D input width, H hidden width, L layers times directions, G gates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lamina.layers.loops import Tensors, outside, unroll
from lamina.layers.sequences import check_recurrent, real_steps
from lamina.torch_internals import flat_weights

Kind = Literal["rnn", "gru", "lstm", "gru-reset-before", "lstm-peephole", "lstm-1997"]
KINDS: tuple[str, ...] = get_args(Kind)


class HiddenState(NamedTuple):
    """State of a network of "rnn" or "gru" layers."""

    hidden_BLH: Tensor


class LSTMState(NamedTuple):
    """State of a network of LSTM layers."""

    hidden_BLH: Tensor
    cell_BLH: Tensor


RecurrentState = HiddenState | LSTMState


def rnn_step(gates_BH: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor) -> Tensors:
    """h' = tanh(W x + b + U h + b'); ``gates_BH`` is W x + b, as in the steps below."""
    (h,) = state
    return (torch.tanh(gates_BH + F.linear(h, w_hh, b_hh)),)


def gru_step(gates_BG: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor) -> Tensors:
    """r, z = sigmoid(W x + U h); n = tanh(W_n x + r (U_n h + b)); h' = (1 - z) n + z h."""
    (h,) = state
    x_r, x_z, x_n = gates_BG.chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    z = torch.sigmoid(x_z + h_z)
    return ((1 - z) * n + z * h,)


def gru_reset_before_step(gates_BG: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor) -> Tensors:
    """As ``gru_step`` with n = tanh(W_n x + U_n (r h) + b)."""
    (h,) = state
    (x_r, x_z, x_n), (w_r, w_z, w_n), (b_r, b_z, b_n) = gates_BG.chunk(3, -1), w_hh.chunk(3), b_hh.chunk(3)
    r = torch.sigmoid(x_r + F.linear(h, w_r, b_r))
    z = torch.sigmoid(x_z + F.linear(h, w_z, b_z))
    n = torch.tanh(x_n + F.linear(r * h, w_n, b_n))
    return ((1 - z) * n + z * h,)


def lstm_step(gates_BG: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor) -> Tensors:
    """i, f, o = sigmoid(W x + U h); g = tanh(...); c' = f c + i g; h' = o tanh(c')."""
    h, c = state
    i, f, g, o = (gates_BG + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def lstm_peephole_step(gates_BG: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor, peephole_3H: Tensor) -> Tensors:
    """As ``lstm_step``, with p_i c added to gate i, p_f c to f, p_o c' (the new cell) to o."""
    h, c = state
    p_i, p_f, p_o = peephole_3H.unbind()
    i, f, g, o = (gates_BG + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    new = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
    return torch.sigmoid(o + p_o * new) * torch.tanh(new), new


def lstm_1997_step(gates_BG: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor) -> Tensors:
    """c' = c + i g with g = 4 sigmoid(.) - 2; h' = o (2 sigmoid(c') - 1): the cell forgets nothing."""
    h, c = state
    i, g, o = (gates_BG + F.linear(h, w_hh, b_hh)).chunk(3, -1)
    c = c + torch.sigmoid(i) * (4 * torch.sigmoid(g) - 2)
    return torch.sigmoid(o) * (2 * torch.sigmoid(c) - 1), c


_STEPS: dict[str, Callable[..., Tensors]] = {
    "rnn": rnn_step,
    "gru": gru_step,
    "lstm": lstm_step,
    "gru-reset-before": gru_reset_before_step,
    "lstm-peephole": lstm_peephole_step,
    "lstm-1997": lstm_1997_step,
}


class Recurrent(nn.RNNBase):
    """Layers of one kind, in both directions with ``bidirectional``, with dropout between layers (not after the last).

    ``forward(x_BTD, state=None, lengths=None)`` gives the outputs of the last layer (B, T, H * directions), zero at
    padding, and the state after each row's last real input. Rows of a state are layer after layer, forward before
    backward. Parameters have the names, shapes and initialisation of nn.LSTM, nn.GRU or nn.RNN: uniform within
    1 / sqrt(H); kind "lstm-1997" has three gates (i, g, o), "lstm-peephole" also ``peephole_l0`` (3, H): i, f, o.

    ``forget_bias`` is what the forget gates' biases start with on top (1: Gers 2000, Jozefowicz 2015). The attribute
    ``in_graph``, True unless it is set, says whether torch.compile takes the loop over time into its graph.
    Raises ValueError for an unknown kind, sizes below 1, a dropout out of [0, 1), a forget bias where no gate forgets.
    """

    def __init__(
        self,
        kind: Kind,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        forget_bias: float = 0.0,
    ) -> None:
        check_recurrent(kind, (input_size, hidden_size, num_layers), dropout, KINDS)
        if forget_bias and kind not in ("lstm", "lstm-peephole"):
            raise ValueError(f"forget_bias is of LSTMs with a forget gate, kind '{kind}' has none")
        self.kind: Kind = kind
        self.forget_bias = forget_bias
        self.in_graph = True
        mode = "RNN_TANH" if kind == "rnn" else kind[:4].rstrip("-").upper()
        between = dropout if num_layers > 1 else 0.0  # torch warns of dropout that has no place
        super().__init__(
            mode, input_size, hidden_size, num_layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        for suffix in self._suffixes():
            if kind == "lstm-1997":  # no forget gate
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    whole = getattr(self, f"{name}_{suffix}")
                    setattr(self, f"{name}_{suffix}", nn.Parameter(whole.detach()[: 3 * hidden_size].clone()))
            elif kind == "lstm-peephole":
                bound = 1 / math.sqrt(hidden_size)
                peephole = torch.empty(3, hidden_size).uniform_(-bound, bound)
                self.register_parameter(f"peephole_{suffix}", nn.Parameter(peephole))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.add_forget_bias()

    def flatten_parameters(self) -> None:
        """Lay the weights out as cuDNN wants them, where a fused kernel takes them."""
        if self.kind in ("rnn", "gru", "lstm"):
            super().flatten_parameters()

    def add_forget_bias(self) -> None:
        """Add ``forget_bias`` to one of the two biases of every forget gate: after another initialisation, too."""
        if self.forget_bias:
            with torch.no_grad():
                for suffix in self._suffixes():
                    getattr(self, f"bias_ih_{suffix}")[self.hidden_size : 2 * self.hidden_size] += self.forget_bias

    @property
    def left_out(self) -> bool:
        """Whether torch is compiling a graph that this network's loops are no part of."""
        return torch.compiler.is_compiling() and not (self.in_graph or torch.compiler.is_exporting())

    @property
    def rows(self) -> int:
        """L, layers times directions."""
        return self.num_layers * (2 if self.bidirectional else 1)

    def init_state(self, batch: int) -> RecurrentState:
        """Zeros, in the dtype and on the device of the weights."""
        if batch < 1:
            raise ValueError(f"a state needs a batch of at least 1, got {batch}")
        weight = self.weight_ih_l0
        assert isinstance(weight, Tensor)
        shape = (batch, self.rows, self.hidden_size)
        return self.state_of(torch.zeros(shape, dtype=weight.dtype, device=weight.device) for _ in range(self._parts()))

    def state_of(self, tensors: Iterable[Tensor]) -> RecurrentState:
        """The state made of these tensors: hidden, and cell where the kind has one."""
        return LSTMState(*tensors) if self._parts() == 2 else HiddenState(*tensors)

    def forward(
        self, x_BTD: Tensor, state: Tensors | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        if self.left_out:
            return cast(tuple[Tensor, RecurrentState], outside(self.forward, x_BTD, state, lengths))
        start = self.init_state(x_BTD.shape[0]) if state is None else state
        if torch.compiler.is_compiling() or self.kind not in ("rnn", "gru", "lstm"):
            return self._written(x_BTD, start, lengths)
        if lengths is not None:
            lengths = lengths.cpu()  # torch packs by lengths that lie on the CPU
            if int(lengths.min()) < x_BTD.shape[1]:
                return self._packed(x_BTD, start, lengths)
        # autocast turns states to bf16 in some kernels: ours keep the precision they came in
        out_BTH, *end = self._kernel(x_BTD, (), tuple(part.transpose(0, 1).contiguous() for part in start), (True,))
        return out_BTH, self.state_of(part.transpose(0, 1).to(start[0].dtype) for part in end)

    def stepper(self) -> Callable[[Tensor, Tensors], Tensors]:
        """A function (x_BD, state) -> state, one step of all layers: where the next input depends on the last output.

        Raises ValueError for a bidirectional network, which has no steps.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional network sees the whole sequence: it has no single step")
        layers = [(self._weights(suffix, "weight_ih", "bias_ih"), self._step(suffix)) for suffix in self._suffixes()]

        def step(x_BD: Tensor, state: Tensors) -> Tensors:
            ends: list[Tensors] = []
            starts = zip(*(part.unbind(1) for part in state), strict=True)
            for (weights, advance), start in zip(layers, starts, strict=True):
                if ends:
                    x_BD = F.dropout(x_BD, self.dropout, self.training)
                ends.append(advance(F.linear(x_BD, *weights), start))
                x_BD = ends[-1][0]
            return tuple(torch.stack(part, 1) for part in zip(*ends, strict=True))

        return step

    def _kernel(self, x: Tensor, sizes: Tensors, start: Tensors, order: tuple[bool, ...]) -> Tensors:
        """torch's fused kernel; ``sizes``: the batch sizes of packed inputs, else ``order`` says batch first."""
        function = {"rnn": torch.rnn_tanh, "gru": torch.gru, "lstm": torch.lstm}[self.kind]
        state = start if self.kind == "lstm" else start[0]
        how = (flat_weights(self), True, self.num_layers, self.dropout, self.training, self.bidirectional, *order)
        out: Tensors = function(x, *sizes, state, *how)  # type: ignore[operator]
        return out

    def _packed(self, x_BTD: Tensor, start: Tensors, lengths: Tensor) -> tuple[Tensor, RecurrentState]:
        packed = pack_padded_sequence(x_BTD, lengths, batch_first=True, enforce_sorted=False)
        order, back = packed.sorted_indices, packed.unsorted_indices
        assert order is not None
        assert back is not None
        sorted_start = tuple(part.transpose(0, 1).index_select(1, order) for part in start)
        out, *end = self._kernel(packed.data, (packed.batch_sizes,), sorted_start, ())
        out_BTH, _ = pad_packed_sequence(
            PackedSequence(out, packed.batch_sizes, order, back), batch_first=True, total_length=x_BTD.shape[1]
        )
        return out_BTH, self.state_of(part.index_select(1, back).transpose(0, 1).to(start[0].dtype) for part in end)

    def _written(self, x_BTD: Tensor, start: Tensors, lengths: Tensor | None) -> tuple[Tensor, RecurrentState]:
        real_TB = None if lengths is None else real_steps(x_BTD, lengths).T
        x_TBD = x_BTD.transpose(0, 1)
        ends: list[Tensors] = []
        sides: list[Tensor] = []
        for row, suffix in enumerate(self._suffixes()):
            backward = suffix.endswith("_reverse")
            if row and not backward:
                x_TBD = F.dropout(torch.cat(sides, -1), self.dropout, self.training)
            sides = sides if backward else []
            gates = F.linear(x_TBD, getattr(self, f"weight_ih_{suffix}"), getattr(self, f"bias_ih_{suffix}"))
            advance = self._step(suffix)

            def step(
                old: Tensors, given: Tensors, advance: Callable[..., Tensors] = advance
            ) -> tuple[Tensors, Tensors]:
                new = advance(given[0], old)
                return new, (new[0],)

            end, (out,) = unroll(step, tuple(part[:, row] for part in start), (gates,), real_TB, reverse=backward)
            ends.append(end)
            sides.append(out)
        state = self.state_of(torch.stack(part, 1) for part in zip(*ends, strict=True))
        return torch.cat(sides, -1).transpose(0, 1), state

    def _step(self, suffix: str) -> Callable[..., Tensors]:
        """The step of a layer and direction, (gates, state) -> state."""
        names = ("weight_hh", "bias_hh", "peephole") if self.kind == "lstm-peephole" else ("weight_hh", "bias_hh")
        weights = self._weights(suffix, *names)
        function = _STEPS[self.kind]
        return lambda gates, state: function(gates, state, *weights)

    def _weights(self, suffix: str, *names: str) -> list[Tensor]:
        """Parameters by name; copies under scan, which refuses weights that share memory, as cuDNN lays them out."""
        weights = [getattr(self, f"{name}_{suffix}") for name in names]
        return [weight.clone() for weight in weights] if torch.compiler.is_compiling() else weights

    def _suffixes(self) -> list[str]:
        sides = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{layer}{side}" for layer in range(self.num_layers) for side in sides]

    def _parts(self) -> int:
        return 2 if self.kind.startswith("lstm") else 1
