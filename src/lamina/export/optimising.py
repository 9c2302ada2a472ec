"""Fast inference inside torch: several equivalent forms of a model are timed on the machine at hand."""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lamina.errors import ExportError, UsageError
from lamina.export.example import example_input
from lamina.export.folding import fold_batch_norms
from lamina.export.verification import BATCHES, relative_difference

ROUNDS = 7
WARM_UP = 2
"""untimed calls first, in which graphs are optimised"""
SECONDS = 1.5
"""a comparison that takes longer ends after three rounds"""
TOLERANCE = 1e-4
TOLERANCE_BF16 = 0.05
"""bfloat16 has 8 significant bits"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A form of the model that was tried."""

    name: str
    milliseconds: float | None
    """median over the rounds; None if it was rejected before it was timed"""
    difference: float | None
    """largest difference from the given model's outputs, relative to the largest output"""
    note: str = ""
    """why it was rejected"""


@dataclass(frozen=True, kw_only=True)
class OptimisationReport:
    """The candidates of ``optimize``, and the one it chose."""

    chosen: str
    folded: int
    """number of batch norms folded into the layer before them"""
    milliseconds_given: float
    """of the given model, timed in turn with the chosen candidate"""
    milliseconds: float
    """of the chosen candidate"""
    candidates: tuple[Candidate, ...] = field(repr=False)

    @property
    def ways(self) -> tuple[Candidate, ...]:
        """Deprecated: the former name of ``candidates``."""
        warnings.warn("OptimisationReport.ways is now candidates", DeprecationWarning, stacklevel=2)
        return self.candidates

    def __str__(self) -> str:
        lines = [
            f"{self.chosen}: {self.milliseconds:.2f} ms, as given {self.milliseconds_given:.2f} ms "
            f"({self.milliseconds_given / self.milliseconds:.2f} times as fast); {self.folded} batch norms folded"
        ]
        for one in self.candidates:
            duration = "rejected" if one.milliseconds is None else f"{one.milliseconds:.2f} ms"
            difference = "" if one.difference is None else f", differs by {one.difference:.1e}"
            lines.append(f"  {one.name}: {duration}{difference}" + (f" ({one.note})" if one.note else ""))
        return "\n".join(lines)


class Optimised(nn.Module):
    """A model optimised for inference: same inputs and outputs, no gradients.

    If there is a frozen graph, it runs inputs of the example's shape, and of the batch sizes for which its outputs were
    verified; other inputs go through the layers one by one. ``report`` lists what was tried.
    """

    report: OptimisationReport

    def __init__(
        self,
        plain: nn.Module,
        frozen: Callable[[Tensor], Tensor] | None,
        dtype: torch.dtype | None,
        channels_last: bool,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.plain = plain
        self._frozen = frozen
        self._dtype = dtype
        self._channels_last = channels_last
        self._shape = shape
        self.any_batch = False
        """whether the frozen graph was verified for other batch sizes than the example's"""

    def forward(self, x: Tensor) -> Tensor:
        given = x.dtype
        if self._dtype is not None:
            x = x.to(self._dtype)
        if self._channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        shape = tuple(x.shape)
        verified = shape[1:] == self._shape[1:] and (self.any_batch or shape[0] == self._shape[0])
        with torch.no_grad():
            out: Tensor = self._frozen(x) if self._frozen is not None and verified else self.plain(x)
        return out if self._dtype is None else out.to(given)


def optimize(model: nn.Module, *, example: Tensor | None = None, bf16: bool = False) -> Optimised:
    """The fastest form of a model for inference inside torch, measured on this machine; ``model`` itself is unchanged.

    Batch norms are folded into the layers before them. Then the layers one by one, the channels_last memory format (for
    models with 2-d convolutions) and graphs frozen by ``torch.jit``, plain and optimised for oneDNN, are timed in turn.
    The outputs of every candidate are compared with the model's, on the example and on batches of 1, 2 and 5: it is
    rejected if they differ by more than 1e-4 of the largest output (0.05 for bfloat16).

    Args:
        model: the model.
        example: one batch of input, of the size to optimise for; by default one input of the variant's own size.
        bf16: also try bfloat16 weights and activations; inputs and outputs keep their dtype.

    The result's ``report`` lists the candidates with their times. Run it on an otherwise idle machine. Raises
    UsageError for a model whose input is not known, and an example that the model does not accept.

        fast = lamina.optimize(model, example=x_BCHW)
        print(fast.report)
        logits_BK = fast(x_BCHW)
    """
    given = copy.deepcopy(model).eval().requires_grad_(False)
    example = (example_input(given) if example is None else example).detach()
    first = next(given.parameters(), None)
    if first is not None:
        example = example.to(first.device)
    inputs = _inputs(example)
    try:
        with torch.no_grad():
            expected = [given(x) for x in inputs]
    except (RuntimeError, ValueError, TypeError) as error:
        raise UsageError(f"the model does not accept the example: {' '.join(str(error).split())}") from error
    if not all(isinstance(out, Tensor) for out in expected):
        raise UsageError(f"the model returns a {type(expected[0]).__name__}, expected one tensor")
    layers, folded = _folded(given, inputs, expected)
    reference = Optimised(given, None, None, False, tuple(example.shape))
    best, best_name, candidates = reference, "as given", []
    for name, build, tolerance in _candidates(layers, example, bf16):
        try:
            tried = build()
            difference = _check(tried, inputs, expected, tolerance)
        except Exception as error:  # torch rejects a form for many reasons; the others remain
            candidates.append(Candidate(name=name, milliseconds=None, difference=None, note=_one_line(error)))
            continue
        _, milliseconds, leader = _compare(best, tried, example)
        candidates.append(Candidate(name=name, milliseconds=milliseconds, difference=difference))
        if leader is tried:
            best, best_name = tried, name
    before, after, _ = _compare(reference, best, example)
    best.report = OptimisationReport(
        chosen=best_name, folded=folded, milliseconds_given=before, milliseconds=after, candidates=tuple(candidates)
    )
    return best.eval()


def _candidates(layers: nn.Module, example: Tensor, bf16: bool) -> Iterator[tuple[str, Callable[[], Optimised], float]]:
    convolutions = any(isinstance(module, nn.Conv2d) for module in layers.modules()) and example.ndim == 4
    types: list[torch.dtype | None] = [None]
    if bf16 and example.is_floating_point():
        types.append(torch.bfloat16)
    for dtype in types:
        for channels_last in (False, True) if convolutions else (False,):
            for freeze in (None, _freeze, _freeze_for_onednn):
                if freeze is _freeze_for_onednn and example.device.type != "cpu":
                    continue
                words = ["layers one by one" if freeze is None else "frozen graph"]
                words += ["for oneDNN"] * (freeze is _freeze_for_onednn)
                words += ["channels_last"] * channels_last + ["bf16"] * (dtype is not None)

                def build(
                    dtype: torch.dtype | None = dtype,
                    channels_last: bool = channels_last,
                    freeze: Callable[[nn.Module, Tensor], Callable[[Tensor], Tensor]] | None = freeze,
                ) -> Optimised:
                    plain, x = copy.deepcopy(layers), example
                    if dtype is not None:
                        plain, x = plain.to(dtype), x.to(dtype)
                    if channels_last:
                        plain = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                        x = x.contiguous(memory_format=torch.channels_last)
                    frozen = None if freeze is None else freeze(plain, x)
                    return Optimised(plain, frozen, dtype, channels_last, tuple(example.shape))

                yield ", ".join(words), build, TOLERANCE if dtype is None else TOLERANCE_BF16


def _freeze(plain: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The graph of one forward pass, with the weights as constants."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(plain, x, check_trace=False)
        return _as_function(torch.jit.freeze(traced.eval()))


def _freeze_for_onednn(plain: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The same, with convolutions and the operations after them in oneDNN's memory layout."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(plain, x, check_trace=False)
        return _as_function(torch.jit.optimize_for_inference(traced.eval()))


def _as_function(graph: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Hide the graph from ``nn.Module``, so that its weights are not registered as submodules."""
    return lambda x: graph(x)


def _folded(given: nn.Module, inputs: list[Tensor], expected: list[Tensor]) -> tuple[nn.Module, int]:
    """A copy with folded batch norms; the given model if folding fails or changes its outputs."""
    layers = copy.deepcopy(given)
    try:
        count = fold_batch_norms(layers, inputs[0])
        with torch.no_grad():
            worst = max(relative_difference(layers(x), out) for x, out in zip(inputs, expected, strict=True))
    except Exception:  # a model that accesses its own norms
        return given, 0
    return (layers, count) if worst <= TOLERANCE else (given, 0)


def _check(tried: Optimised, inputs: list[Tensor], expected: list[Tensor], tolerance: float) -> float:
    """The largest relative difference; sets ``any_batch`` of the candidate. Raises ExportError above the tolerance."""
    worst = relative_difference(tried(inputs[0]), expected[0])
    if not worst <= tolerance:
        raise ExportError(f"differs by {worst:.1e}")
    tried.any_batch = True
    try:
        others = [relative_difference(tried(x), out) for x, out in zip(inputs[1:], expected[1:], strict=True)]
    except RuntimeError:  # a graph for one batch size only
        others = [float("inf")]
    tried.any_batch = all(difference <= tolerance for difference in others)
    for x, out in zip(inputs[1:], expected[1:], strict=True):
        worst = max(worst, relative_difference(tried(x), out))
    if not worst <= tolerance:
        raise ExportError(f"differs by {worst:.1e}")
    return worst


def _inputs(example: Tensor) -> list[Tensor]:
    """The example, and batches of 1, 2 and 5 drawn from its values, so that tokens stay valid."""
    random = torch.Generator().manual_seed(0)
    values = example.flatten().cpu()
    found = [example]
    for batch in BATCHES:
        shape = (batch, *example.shape[1:])
        index = torch.randint(len(values), (batch * example[:1].numel(),), generator=random)
        found.append(values[index].reshape(shape).to(example.device))
    return found


def _compare(old: Optimised, new: Optimised, example: Tensor) -> tuple[float, float, Optimised]:
    """Median milliseconds of both, timed in turn, and the faster one."""
    for _ in range(WARM_UP):
        new(example)
    times: tuple[list[float], list[float]] = ([], [])
    begin = _now(example)
    while len(times[0]) < ROUNDS and (len(times[0]) < 3 or _now(example) - begin < SECONDS):
        for tried, taken in zip((old, new), times, strict=True):
            start = _now(example)
            tried(example)
            taken.append(1000 * (_now(example) - start))
    before, after = (statistics.median(taken) for taken in times)
    return before, after, new if after < before else old


def _now(example: Tensor) -> float:
    if example.is_cuda:
        torch.cuda.synchronize(example.device)
    return time.perf_counter()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
