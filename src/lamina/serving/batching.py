"""Requests that are computed together: one thread calls the model, with the rows of all that wait and fit together.

The first time that batches of one kind are joined each is computed alone, too: where a row's result depends on its
neighbours (a task that draws, a model that mixes its batch) batches of this kind are never joined.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lamina.data.streams import Batch

Compute = Callable[[Batch], Batch]
CLOSE = {"rtol": 1e-4, "atol": 1e-6}
"""how far a result may be from the one that is computed alone, for batches to be joined"""


class CancelledError(Exception):
    """Nobody waits for the result any more."""


class FairLock:
    """A lock that is given to those who wait in their order: a long stream lets others in between its pieces."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._held = False

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._mutex:
            turn = None
            if self._held:
                turn = threading.Event()
                self._waiting.append(turn)
            self._held = True
        if turn is not None:
            turn.wait()
        try:
            yield
        finally:
            with self._mutex:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._held = False


@dataclass(eq=False)
class Waiting:
    """A batch of one request, and who computes it."""

    batch: Batch
    kind: Hashable
    compute: Compute
    cancelled: Callable[[], bool]
    result: Future[Batch] = field(default_factory=Future)

    @property
    def rows(self) -> int:
        return len(next(iter(self.batch.values())))


class Batcher:
    """Computes batches in one thread, those of one kind together, up to ``rows`` rows.

    A batch waits at most ``seconds`` for others, and no longer than the batch before it takes. ``observe`` is told the
    rows of each batch that was computed.
    """

    def __init__(self, lock: FairLock, rows: int, seconds: float, observe: Callable[[int], None]) -> None:
        self.lock, self.rows, self.seconds, self.observe = lock, rows, seconds, observe
        self._queue: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._joins: dict[Hashable, bool] = {}
        """whether batches of a kind may be joined; absent: not known yet"""
        self._thread = threading.Thread(target=self._work, name="lamina-batches", daemon=True)
        self._thread.start()

    def __call__(self, batch: Batch, kind: Hashable, compute: Compute, cancelled: Callable[[], bool]) -> Batch:
        """The result for a batch; waits for it. ``kind``: batches of the same one may be computed together.

        Raises what ``compute`` raises, and CancelledError once ``cancelled()``.
        """
        shape = tuple((name, value.dtype, tuple(value.shape[1:])) for name, value in batch.items())
        one = Waiting(batch, (kind, shape), compute, cancelled)
        with self._changed:
            if self._closed:
                raise CancelledError
            self._queue.append(one)
            self._changed.notify_all()
        return one.result.result()

    def close(self) -> None:
        """Compute what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while some := self._next():
            with self.lock.held():
                self._compute(some)

    def _next(self) -> list[Waiting]:
        """What is computed next: the first that waits, and those that fit it. Empty: closed."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return []
                self._changed.wait()
            first = self._queue[0]
            if self._joins.get(first.kind, True) and not self._closed:
                end = time.monotonic() + self.seconds
                while sum(one.rows for one in self._fitting(first)) < self.rows:
                    left = end - time.monotonic()
                    if left <= 0 or not self._changed.wait(left):
                        break
            taken = self._fitting(first)
            for one in taken:
                self._queue.remove(one)
            return taken

    def _fitting(self, first: Waiting) -> list[Waiting]:
        found, rows = [first], first.rows
        if self._joins.get(first.kind, True):
            for one in self._queue:
                if one is not first and one.kind == first.kind and rows + one.rows <= self.rows:
                    found.append(one)
                    rows += one.rows
        return found

    def _compute(self, some: Sequence[Waiting]) -> None:
        for one in some:
            if one.cancelled():
                one.result.set_exception(CancelledError())
        left = [one for one in some if not one.result.done()]
        kind = some[0].kind
        parts = self._together(left) if len(left) > 1 else None
        if parts is not None and kind in self._joins:
            for one, part in zip(left, parts, strict=True):
                one.result.set_result(part)
            return
        agree = [self._alone(one, None if parts is None else parts[i]) for i, one in enumerate(left)]
        if parts is not None:
            self._joins[kind] = all(agree)

    def _together(self, some: Sequence[Waiting]) -> list[Batch] | None:
        """The results of batches that are computed together; None where that fails: one of them may be at fault."""
        sizes = [one.rows for one in some]
        try:
            joined = {name: torch.cat([one.batch[name] for one in some]) for name in some[0].batch}
            out = some[0].compute(joined)
            parts = {name: torch.split(value, sizes) for name, value in out.items()}
        except Exception:
            return None
        self.observe(sum(sizes))
        return [{name: parts[name][i] for name in parts} for i in range(len(some))]

    def _alone(self, one: Waiting, part: Batch | None) -> bool:
        """Compute one batch; whether ``part`` is the same."""
        self.observe(one.rows)
        try:
            alone = one.compute(one.batch)
        except Exception as error:
            one.result.set_exception(error)
            return False
        one.result.set_result(alone)
        return part is None or all(_close(part[name], value) for name, value in alone.items())


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or not b.is_floating_point():
        return torch.equal(a, b)
    return torch.allclose(a, b, equal_nan=True, **CLOSE)
