"""What is fastest inside torch: ways to calculate the same, timed against each other on the machine at hand."""

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
"""calls before those that are timed: graphs are rewritten in them"""
SECONDS = 1.5
"""a comparison that has taken longer ends after three rounds"""
TOLERANCE = 1e-4
TOLERANCE_BF16 = 0.05
"""bfloat16 keeps 8 bits of each number"""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way that was tried."""

    name: str
    milliseconds: float | None
    """the median over the rounds; None where it was left out before it was timed"""
    difference: float | None
    """max|got - wanted| / max|wanted| against the model as given"""
    note: str = ""
    """why it was left out"""


@dataclass(frozen=True, kw_only=True)
class OptimisationReport:
    """What ``optimize`` tried and chose."""

    chosen: str
    folded: int
    """batch norms folded into the layer before them"""
    milliseconds_given: float
    """of the model as given, timed in turn with the way chosen"""
    milliseconds: float
    """of the way chosen"""
    ways: tuple[Way, ...] = field(repr=False)

    def __str__(self) -> str:
        lines = [
            f"{self.chosen}: {self.milliseconds:.2f} ms, as given {self.milliseconds_given:.2f} ms "
            f"({self.milliseconds_given / self.milliseconds:.2f} times as fast); {self.folded} batch norms folded"
        ]
        for way in self.ways:
            known = "left out" if way.milliseconds is None else f"{way.milliseconds:.2f} ms"
            difference = "" if way.difference is None else f", differs by {way.difference:.1e}"
            lines.append(f"  {way.name}: {known}{difference}" + (f" ({way.note})" if way.note else ""))
        return "\n".join(lines)


class Optimised(nn.Module):
    """The model made fast for inference, without gradients: called as the model is, gives what it gives.

    The frozen graph, where there is one, takes inputs of the example's shape and of any batch for which it was found
    right; other inputs go through the layers one by one. ``report`` says what was tried.
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
        """whether the frozen graph was right for other batches than the example's"""

    def forward(self, x: Tensor) -> Tensor:
        given = x.dtype
        if self._dtype is not None:
            x = x.to(self._dtype)
        if self._channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        shape = tuple(x.shape)
        right = shape[1:] == self._shape[1:] and (self.any_batch or shape[0] == self._shape[0])
        with torch.no_grad():
            out: Tensor = self._frozen(x) if self._frozen is not None and right else self.plain(x)
        return out if self._dtype is None else out.to(given)


def optimize(model: nn.Module, *, example: Tensor | None = None, bf16: bool = False) -> Optimised:
    """The fastest way found inside torch to calculate ``model(x)``; the model itself stays as it is.

    Batch norms are folded into the layers before them; then layers one by one, channels_last (where there are 2-d
    convolutions) and graphs frozen by ``torch.jit``, plain and rewritten for oneDNN, are timed in turn on ``example``,
    by default one input of the size that the model's variant states. Every way is compared with the model as given, on
    the example and on batches of 1, 2 and 5: 1e-4 of the largest output is allowed. ``bf16=True`` also tries bfloat16
    weights and activations, for which 0.05 is allowed; inputs and outputs keep their type.

    ``.report`` of the result says what was tried, how long it took, and what was chosen. Measure on a quiet machine.
    Raises UsageError for a model whose input is not known and for an example that it does not take.
    """
    given = copy.deepcopy(model).eval().requires_grad_(False)
    example = (example_input(given) if example is None else example).detach()
    first = next(given.parameters(), None)
    if first is not None:
        example = example.to(first.device)
    inputs = _inputs(example)
    try:
        with torch.no_grad():
            wanted = [given(x) for x in inputs]
    except (RuntimeError, ValueError, TypeError) as error:
        raise UsageError(f"the model does not take the example: {' '.join(str(error).split())}") from error
    if not all(isinstance(out, Tensor) for out in wanted):
        raise UsageError(f"the model gives a {type(wanted[0]).__name__}, expected one tensor")
    layers, folded = _folded(given, inputs, wanted)
    reference = Optimised(given, None, None, False, tuple(example.shape))
    best, best_name, ways = reference, "as given", []
    for name, build, tolerance in _ways(layers, example, bf16):
        try:
            way = build()
            difference = _check(way, inputs, wanted, tolerance)
        except Exception as error:  # torch refuses a way for many reasons; the others remain
            ways.append(Way(name=name, milliseconds=None, difference=None, note=_one_line(error)))
            continue
        _, milliseconds, leader = _compare(best, way, example)
        ways.append(Way(name=name, milliseconds=milliseconds, difference=difference))
        if leader is way:
            best, best_name = way, name
    before, after, _ = _compare(reference, best, example)
    best.report = OptimisationReport(
        chosen=best_name, folded=folded, milliseconds_given=before, milliseconds=after, ways=tuple(ways)
    )
    return best.eval()


def _ways(layers: nn.Module, example: Tensor, bf16: bool) -> Iterator[tuple[str, Callable[[], Optimised], float]]:
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
    """The graph of one forward with its weights as constants."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(plain, x, check_trace=False)  # type: ignore[no-untyped-call]
        return _as_function(torch.jit.freeze(traced.eval()))


def _freeze_for_onednn(plain: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The same, with convolutions and what follows them in oneDNN's own layout."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(plain, x, check_trace=False)  # type: ignore[no-untyped-call]
        return _as_function(torch.jit.optimize_for_inference(traced.eval()))


def _as_function(graph: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Hidden from ``nn.Module``: the graph's weights are not the module's."""
    return lambda x: graph(x)


def _folded(given: nn.Module, inputs: list[Tensor], wanted: list[Tensor]) -> tuple[nn.Module, int]:
    """A copy with its batch norms folded; as given where that changes what it says."""
    layers = copy.deepcopy(given)
    try:
        count = fold_batch_norms(layers, inputs[0])
        with torch.no_grad():
            worst = max(relative_difference(layers(x), out) for x, out in zip(inputs, wanted, strict=True))
    except Exception:  # a model that looks into its own norms
        return given, 0
    return (layers, count) if worst <= TOLERANCE else (given, 0)


def _check(way: Optimised, inputs: list[Tensor], wanted: list[Tensor], tolerance: float) -> float:
    """The difference on the example; settles whether other batches may take the frozen graph. Raises ExportError."""
    worst = relative_difference(way(inputs[0]), wanted[0])
    if not worst <= tolerance:
        raise ExportError(f"differs by {worst:.1e}")
    way.any_batch = True
    try:
        others = [relative_difference(way(x), out) for x, out in zip(inputs[1:], wanted[1:], strict=True)]
    except RuntimeError:  # a graph that knows one batch only
        others = [float("inf")]
    way.any_batch = all(difference <= tolerance for difference in others)
    for x, out in zip(inputs[1:], wanted[1:], strict=True):
        worst = max(worst, relative_difference(way(x), out))
    if not worst <= tolerance:
        raise ExportError(f"differs by {worst:.1e}")
    return worst


def _inputs(example: Tensor) -> list[Tensor]:
    """The example, then batches of 1, 2 and 5 like it: its values mixed anew, so that tokens stay tokens."""
    random = torch.Generator().manual_seed(0)
    values = example.flatten().cpu()
    found = [example]
    for batch in BATCHES:
        shape = (batch, *example.shape[1:])
        index = torch.randint(len(values), (batch * example[:1].numel(),), generator=random)
        found.append(values[index].reshape(shape).to(example.device))
    return found


def _compare(old: Optimised, new: Optimised, example: Tensor) -> tuple[float, float, Optimised]:
    """Median milliseconds of both, run in turn, and the faster one."""
    for _ in range(WARM_UP):
        new(example)
    times: tuple[list[float], list[float]] = ([], [])
    begin = _now(example)
    while len(times[0]) < ROUNDS and (len(times[0]) < 3 or _now(example) - begin < SECONDS):
        for way, taken in zip((old, new), times, strict=True):
            start = _now(example)
            way(example)
            taken.append(1000 * (_now(example) - start))
    before, after = (statistics.median(taken) for taken in times)
    return before, after, new if after < before else old


def _now(example: Tensor) -> float:
    if example.is_cuda:
        torch.cuda.synchronize(example.device)
    return time.perf_counter()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
