"""A run that answers many requests at once: everything read when it is opened, the model called by one at a time."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from lamina.data.requests import RequestFormat
from lamina.data.streams import Batch
from lamina.errors import DataWarning, RunError, UsageError
from lamina.export.formats import check_engine
from lamina.runs.run import Run
from lamina.runs.views.export import run_in_engine
from lamina.runs.weights import digest
from lamina.serving.batching import Batcher, CancelledError, FairLock
from lamina.serving.limits import ServingOptions
from lamina.serving.metrics import Metrics
from lamina.tasks.base import Task

VERBS = ("predict", "generate", "embed")
FEATURES = "features"


@dataclass(eq=False)
class Call:
    """One request, as the threads that compute it know it."""

    kind: Hashable = ()
    """requests of one kind may be computed together: the verb and its options"""
    cancelled: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)


_CALL: ContextVar[Call] = ContextVar("call")


class ServedRun(Run):
    """A run whose batches are computed with those of other requests."""

    batcher: Batcher

    def predict_batch(self, batch: Batch, number: int = 0, task: Task | None = None) -> Batch:
        compute = partial(super().predict_batch, number=number, task=task)
        return _batched(self.batcher, batch, (number,), compute)

    def embed_batch(self, batch: Batch) -> Tensor:
        embed = super().embed_batch
        return _batched(self.batcher, batch, (), lambda joined: {FEATURES: embed(joined)})[FEATURES]


def _batched(batcher: Batcher, batch: Batch, more: Hashable, compute: Callable[[Batch], Batch]) -> Batch:
    call = _CALL.get()
    return batcher(batch, (call.kind, more), compute, call.cancelled.is_set)


class Service:
    """A run opened to be served: ``Service(lamina.open_run("runs/lenet5-digits").path)``, closed by ``close``.

    What it needs of the run's folder is read at once: the folder may be moved or trained anew while it is served.
    Raises UsageError for a run without a verb that can be served, and for an engine that is not installed.
    """

    def __init__(self, path: Path, options: ServingOptions | None = None, engine: str = "torch") -> None:
        self.options = ServingOptions() if options is None else options
        self.engine, self.metrics, self.lock = engine, Metrics(), FairLock()
        check_engine(engine)
        self.run = ServedRun(path)
        self.run.expect_installed()
        self.format = self._format()
        self._read()
        if engine != "torch" and self.run.kind is not None and not self.run.kind.predicts_at_once:
            raise UsageError(f"{path} is of a model that generates, which is served by torch: leave out --engine")
        self._exported = run_in_engine(self.run, engine) if engine != "torch" else None
        self.run.batcher = Batcher(self.lock, self.options.batch, self.options.wait / 1000, self.metrics.batch)
        if self._exported is not None:
            own = self._exported.predict_batch
            self._exported.predict_batch = lambda batch: _batched(self.run.batcher, batch, (), own)  # type: ignore[method-assign]
        self._warnings = ExitStack()
        self._warnings.enter_context(warnings.catch_warnings())
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = _noted(warnings.showwarning)

    def _format(self) -> RequestFormat:
        modality = self.run.modality
        if modality.requests is None:
            raise UsageError(f"runs on {modality.noun} are not served: their package has no format of requests")
        return modality.requests

    def _read(self) -> None:
        """Read what the verbs need, so that the folder may be moved. Raises RunError for a run without weights."""
        run = self.run
        self.verbs = tuple(verb for verb in VERBS if verb in run.verbs)
        if not self.verbs:
            raise UsageError(f"{run.path} has none of {', '.join(VERBS)}: its verbs are {', '.join(run.verbs)}")
        self._stamp = _stamp(run.directory.weights)
        _ = run.model, run.task, run.view, run.objective, run.fitted, run.classes, run.batch_options
        self.weights = digest(run.directory.weights)
        if self.changed() is not None:
            raise RunError(f"{run.path} got other weights while it was read: serve it once its training has ended")
        self.at_once = run.kind is None or run.kind.predicts_at_once

    def close(self) -> None:
        """End the thread that computes; requests that wait are computed before."""
        self.run.batcher.close()
        self._warnings.close()

    # ------------------------------------------------------------------ verbs, called in threads of their own

    def predict(self, call: Call, items: Sequence[Any], options: Mapping[str, Any]) -> list[dict[str, Any]]:
        """As ``Run.predict``. Raises what it raises, and CancelledError."""
        call.kind = ("predict", tuple(sorted(options.items())))
        _CALL.set(call)
        if self._exported is not None:
            if options:
                raise UsageError(f"options are for the engine torch, not {self.engine}")
            return self._exported.predict(*items)
        if self.at_once:
            return self.run.predict(*items, **options)
        with self.lock.held():  # the view calls the model itself
            _expect_waiting(call)
            return self.run.predict(*items, **options)

    def embed(self, call: Call, items: Sequence[Any]) -> list[list[float]]:
        """As ``Run.embed``."""
        call.kind = "embed"
        _CALL.set(call)
        found: list[list[float]] = self.run.embed(*items).tolist()
        return found

    def generate(self, call: Call, prompts: Sequence[str], options: Mapping[str, Any]) -> list[Any]:
        """As ``Run.generate``."""
        _CALL.set(call)
        if len(prompts) == 1:
            return ["".join(self.stream(call, prompts[0], options))]
        with self.lock.held():
            _expect_waiting(call)
            return self.run.generate(*prompts, **options)

    def stream(self, call: Call, prompt: str, options: Mapping[str, Any]) -> Iterator[str]:
        """As ``Run.stream``; others are served between the pieces. Ends when the call is cancelled."""
        _CALL.set(call)
        pieces = self.run.stream(prompt, **options)
        while True:
            with self.lock.held():
                _expect_waiting(call)
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    @property
    def takes_prompts(self) -> bool:
        return self.run.view.takes_prompts

    # ------------------------------------------------------------------ what it is

    def changed(self) -> str | None:
        """What has become of the run's weights since they were read; None: nothing."""
        now = _stamp(self.run.directory.weights)
        if now == self._stamp:
            return None
        what = "is not there any more" if now is None else "has other weights now"
        return f"the run's folder {what}: the weights that were read are served until the server is started again"

    def facts(self) -> dict[str, Any]:
        """What is served, as ``/health`` says it."""
        run = self.run
        return {
            "status": "ok",
            "run": run.path.name,
            "model": run.config.name,
            "task": run.task_name,
            "verbs": list(self.verbs),
            "engine": self.engine,
            "weights": self.weights,
            "changed": self.changed(),
        }


def _expect_waiting(call: Call) -> None:
    if call.cancelled.is_set():
        raise CancelledError


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _noted(others: Callable[..., None]) -> Callable[..., None]:
    """Warnings of data become notes of the request that they are about."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        call = _CALL.get(None)
        if call is not None and issubclass(category, DataWarning):
            if str(message) not in call.notes:
                call.notes.append(str(message))
            return
        others(message, category, *place, **more)

    return show
