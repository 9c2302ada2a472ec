"""Recurrent layers: torch's fused kernels where they exist, and step functions for the kinds that torch lacks.

Kinds (``Kind``): "rnn" Elman 1990, "gru" Cho et al. 2014 (arXiv 1406.1078) in the form of cuDNN and torch, "lstm"
Hochreiter and Schmidhuber 1997 with the forget gate of Gers, Schmidhuber, Cummins 2000. Not in torch:
"gru-reset-before" (Cho's third version: the reset gate is applied before the matrix), "lstm-peephole" (Gers and
Schmidhuber 2000: the gates see the cell), "lstm-1997" (no forget gate; squashing to [-2, 2] and [-1, 1]).

Under torch.compile and torch.export every kind runs as a step function in torch's ``scan``: one graph for every batch
and length. The fused modules cannot do that: Dynamo refuses nn.RNN, nn.LSTM and nn.GRU, and their kernels are traced as
a loop over the traced length (pytorch issues 141184, 126339, 191855). ``scan`` is a prototype feature of torch. Where
one graph is not needed, ``in_graph = False`` keeps the fused kernels, which are faster, outside the graph.

Legend: B batch, T time, D input width, H hidden width, L layers times directions, G gate rows (a multiple of H).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lamina.layers.loops import Tensors, run_eagerly, unroll
from lamina.layers.sequences import check_recurrent, real_steps
from lamina.torch_internals import flat_weights

Kind = Literal["rnn", "gru", "lstm", "gru-reset-before", "lstm-peephole", "lstm-1997"]
KINDS: tuple[str, ...] = get_args(Kind)


class HiddenState(NamedTuple):
    """State of "rnn" and "gru" layers."""

    hidden_BLH: Tensor


class LSTMState(NamedTuple):
    """State of LSTM layers."""

    hidden_BLH: Tensor
    cell_BLH: Tensor


RecurrentState = HiddenState | LSTMState


def rnn_step(gates_BH: Tensor, state: Tensors, w_hh: Tensor, b_hh: Tensor) -> Tensors:
    """h' = tanh(W x + b + U h + b'). ``gates`` is W x + b here and below, computed for all times at once."""
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
    """As ``gru_step``, with n = tanh(W_n x + U_n (r h) + b)."""
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
    """c' = c + i g with g = 4 sigmoid(.) - 2; h' = o (2 sigmoid(c') - 1): no forget gate."""
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
    """Stacked recurrent layers of one kind, optionally bidirectional, with dropout between layers (not after the last).

    Parameters have the names, shapes and initialisation (uniform within 1 / sqrt(H)) of nn.LSTM, nn.GRU or nn.RNN;
    "lstm-1997" has three gates (i, g, o), "lstm-peephole" also has ``peephole_l0`` (3, H) for i, f, o. ``forget_bias``
    is added to the initial biases of the forget gates (1: Gers 2000, Jozefowicz 2015). The attribute ``in_graph``
    (default True) says whether torch.compile includes the loop over time in its graph.

    Raises ValueError for an unknown kind, a size below 1, a dropout outside [0, 1), and a forget bias for a kind
    without forget gates.

    >>> layer = Recurrent("lstm", input_size=8, hidden_size=16, num_layers=2)
    >>> out_BTH, state = layer(torch.randn(4, 10, 8), lengths=torch.tensor([10, 7, 3, 1]))
    >>> out_BTH.shape, state.hidden_BLH.shape
    (torch.Size([4, 10, 16]), torch.Size([4, 2, 16]))
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
            raise ValueError(f"forget_bias needs an LSTM with forget gates: kind '{kind}' has none")
        self.kind: Kind = kind
        self.forget_bias = forget_bias
        self.in_graph = True
        mode = "RNN_TANH" if kind == "rnn" else kind[:4].rstrip("-").upper()
        between = dropout if num_layers > 1 else 0.0  # torch warns of dropout without a second layer
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
        """Lay the weights out as cuDNN needs them; nothing to do for kinds without a fused kernel."""
        if self.kind in ("rnn", "gru", "lstm"):
            super().flatten_parameters()

    def add_forget_bias(self) -> None:
        """Add ``forget_bias`` to one of the two biases of every forget gate; call it again after re-initialising."""
        if self.forget_bias:
            with torch.no_grad():
                for suffix in self._suffixes():
                    getattr(self, f"bias_ih_{suffix}")[self.hidden_size : 2 * self.hidden_size] += self.forget_bias

    @property
    def runs_eagerly(self) -> bool:
        """Whether torch is compiling, and the loop over time stays outside the graph and runs eagerly."""
        return torch.compiler.is_compiling() and not (self.in_graph or torch.compiler.is_exporting())

    @property
    def rows(self) -> int:
        """L, the number of layers times directions."""
        return self.num_layers * (2 if self.bidirectional else 1)

    def init_state(self, batch: int) -> RecurrentState:
        """A zero state (B, L, H), with the dtype and device of the weights. Raises ValueError for a batch below 1."""
        if batch < 1:
            raise ValueError(f"a state needs a batch of at least 1, got {batch}")
        weight = self.weight_ih_l0
        assert isinstance(weight, Tensor)
        shape = (batch, self.rows, self.hidden_size)
        return self.make_state(
            torch.zeros(shape, dtype=weight.dtype, device=weight.device) for _ in range(self._state_size())
        )

    def make_state(self, tensors: Iterable[Tensor]) -> RecurrentState:
        """Build the state from its tensors: hidden, and for an LSTM cell."""
        return LSTMState(*tensors) if self._state_size() == 2 else HiddenState(*tensors)

    def forward(
        self, x_BTD: Tensor, state: Tensors | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """Outputs of the last layer (B, T, H * directions), zero at padding, and each row's state after its last input.

        ``state`` defaults to zeros; ``lengths`` (B,) counts the real inputs of each row, the rest is right padding.
        A state's rows are ordered by layer, forward before backward direction.
        """
        if self.runs_eagerly:
            return cast(tuple[Tensor, RecurrentState], run_eagerly(self.forward, x_BTD, state, lengths))
        start = self.init_state(x_BTD.shape[0]) if state is None else state
        if torch.compiler.is_compiling() or self.kind not in ("rnn", "gru", "lstm"):
            return self._unrolled(x_BTD, start, lengths)
        if lengths is not None:
            lengths = lengths.cpu()  # packing needs the lengths on the CPU
            if int(lengths.min()) < x_BTD.shape[1]:
                return self._packed(x_BTD, start, lengths)
        # autocast turns states to bf16 in some kernels: keep the precision of the given state
        out_BTH, *end = self._fused(x_BTD, (), tuple(part.transpose(0, 1).contiguous() for part in start), (True,))
        return out_BTH, self.make_state(part.transpose(0, 1).to(start[0].dtype) for part in end)

    def stepper(self) -> Callable[[Tensor, Tensors], Tensors]:
        """A function (x_BD, state) -> state, one step of all layers: for inputs that depend on the last output.

        Raises ValueError for a bidirectional network, which has no single step.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional network needs the whole sequence: it has no single step")
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

    def _fused(self, x: Tensor, sizes: Tensors, start: Tensors, order: tuple[bool, ...]) -> Tensors:
        """Call torch's fused kernel: ``sizes`` are the batch sizes of packed inputs, else ``order`` is batch first."""
        function = {"rnn": torch.rnn_tanh, "gru": torch.gru, "lstm": torch.lstm}[self.kind]
        state = start if self.kind == "lstm" else start[0]
        how = (flat_weights(self), True, self.num_layers, self.dropout, self.training, self.bidirectional, *order)
        out: Tensors = function(x, *sizes, state, *how)  # type: ignore[operator]  # the kernels differ in signature
        return out

    def _packed(self, x_BTD: Tensor, start: Tensors, lengths: Tensor) -> tuple[Tensor, RecurrentState]:
        """Rows of unequal length through the fused kernel, as packed sequences."""
        packed = pack_padded_sequence(x_BTD, lengths, batch_first=True, enforce_sorted=False)
        order, back = packed.sorted_indices, packed.unsorted_indices
        assert order is not None
        assert back is not None
        sorted_start = tuple(part.transpose(0, 1).index_select(1, order) for part in start)
        out, *end = self._fused(packed.data, (packed.batch_sizes,), sorted_start, ())
        out_BTH, _ = pad_packed_sequence(
            PackedSequence(out, packed.batch_sizes, order, back), batch_first=True, total_length=x_BTD.shape[1]
        )
        return out_BTH, self.make_state(part.index_select(1, back).transpose(0, 1).to(start[0].dtype) for part in end)

    def _unrolled(self, x_BTD: Tensor, start: Tensors, lengths: Tensor | None) -> tuple[Tensor, RecurrentState]:
        """The same with the step functions: for kinds without a fused kernel, and inside a compiled graph."""
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
        state = self.make_state(torch.stack(part, 1) for part in zip(*ends, strict=True))
        return torch.cat(sides, -1).transpose(0, 1), state

    def _step(self, suffix: str) -> Callable[..., Tensors]:
        """The step function of one layer and direction, (gates, state) -> state, with its weights bound."""
        names = ("weight_hh", "bias_hh", "peephole") if self.kind == "lstm-peephole" else ("weight_hh", "bias_hh")
        weights = self._weights(suffix, *names)
        function = _STEPS[self.kind]
        return lambda gates, state: function(gates, state, *weights)

    def _weights(self, suffix: str, *names: str) -> list[Tensor]:
        """Parameters by name; copied under scan, which refuses weights that share memory, as in cuDNN's layout."""
        weights = [getattr(self, f"{name}_{suffix}") for name in names]
        return [weight.clone() for weight in weights] if torch.compiler.is_compiling() else weights

    def _suffixes(self) -> list[str]:
        sides = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{layer}{side}" for layer in range(self.num_layers) for side in sides]

    def _state_size(self) -> int:
        """The number of tensors in a state."""
        return 2 if self.kind.startswith("lstm") else 1
