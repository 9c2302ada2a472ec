"""Spectra on their way to a model: brought to the wavelengths it sees, standardised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from lamina.data.protocols import BatchOptions, Input, Needs, Signature
from lamina.data.source import Source, Split
from lamina.data.streams import Batch, InMemory, Stream, Streamed, in_order, shuffled
from lamina.data.targets.code import TargetCode, fit_targets
from lamina.errors import UsageError
from spectra.data.samples import SUFFIX, Floats, Spectra, read_spectra

AT_ONCE = 64
"""spectra of a batch to predict"""


@dataclass(frozen=True, kw_only=True)
class SpectrumPreprocess:
    """Everything done to a spectrum before the model; fitted on train, saved in the run."""

    kind: ClassVar[str] = "spectrum"

    target: TargetCode
    axis: tuple[float, ...]
    """the wavelengths that the model sees: what lies between is interpolated"""
    mean: float
    std: float
    notes: tuple[str, ...] = ()

    def files(self) -> dict[str, dict[str, Any]]:
        facts = {"format": 1, "kind": self.kind, "target": self.target.to_dict(), "mean": self.mean, "std": self.std}
        return {"preprocess.json": facts | {"notes": list(self.notes)}, "axis.json": {"nanometres": list(self.axis)}}

    def model_options(self) -> dict[str, int]:
        return {"length": len(self.axis), "num_classes": self.target.outputs}

    def signature(self) -> Signature:
        return (Input("signal", "float32", (1, len(self.axis))),)

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (batch["signal"],), {}

    def bytes_of(self, split: Split) -> int:
        return 4 * len(split) * len(self.axis)

    def encode(self, split: Split, hold: bool = True) -> InMemory | Streamed:
        """{"signal": (N, 1, L), "target"}: at the model's wavelengths, in the units of the file."""
        spectra = cast(Spectra, split)
        if hold:
            return InMemory(self._signals(spectra.axis, spectra.signals) | self.target.encoded(split))
        return Streamed(len(spectra), partial(_one, self, spectra))

    def prepare(self, batch: Batch) -> Batch:
        return batch | {"signal": (batch["signal"] - self.mean) / self.std}

    def encode_input(self, item: object) -> Batch:
        """A file of spectra, or an array (L,) or (N, L) over the wavelengths that the model sees."""
        if isinstance(item, str | Path):
            path = Path(item).expanduser()
            if not path.is_file():
                raise UsageError(f"no such file: {item}")
            if not path.name.endswith(SUFFIX):
                raise UsageError(f"'{item}' is no file of spectra ({SUFFIX})")
            _, spectra = read_spectra(path)
            return self._signals(spectra.axis, spectra.signals)
        array = np.atleast_2d(np.asarray(item, dtype=np.float32))
        if array.ndim != 2 or array.shape[1] != len(self.axis):
            raise UsageError(f"a spectrum is an array of {len(self.axis)} numbers, got {tuple(array.shape)}")
        return self._signals(np.asarray(self.axis, dtype=np.float32), array)

    def input_batches(self, item: object) -> Iterator[Batch]:
        batch = self.encode_input(item)
        for start in range(0, len(batch["signal"]), AT_ONCE):
            yield self.prepare({"signal": batch["signal"][start : start + AT_ONCE]})

    def undo(self, value: Tensor) -> Floats:
        """A signal (L,) in the units of the file, from one (1, L) as the model sees it."""
        signal: Floats = (value.detach().float().cpu()[0] * self.std + self.mean).numpy()
        return signal

    def training_stream(self, samples: InMemory | Streamed, options: BatchOptions) -> Stream:
        return shuffled(samples, options.recipe, options.place, self.prepare)

    def evaluation_batches(
        self, samples: InMemory | Streamed, options: BatchOptions, workers: int = 0
    ) -> Iterable[Batch]:
        return in_order(samples, options.recipe, options.place, self.prepare, workers)

    def _signals(self, axis: Floats, signals: Floats) -> Batch:
        seen = np.asarray(self.axis, dtype=np.float32)
        rows = np.stack([np.interp(seen, axis, row) for row in signals]).astype(np.float32)
        return {"signal": torch.from_numpy(rows[:, None])}


def _one(preprocess: SpectrumPreprocess, spectra: Spectra, index: int) -> Batch:
    samples = cast(InMemory, preprocess.encode(spectra.subset([index])))
    return {name: tensor[0] for name, tensor in samples.tensors.items()}


def fit(source: Source, needs: Needs) -> SpectrumPreprocess:
    """As many wavelengths as the model is asked to have, else those of the file; mean and deviation of train."""
    if needs.resumed is not None:
        return cast(SpectrumPreprocess, needs.resumed)
    train = cast(Spectra, source.splits["train"])
    length = getattr(needs.model, "length", None) or len(train.axis)
    axis = np.linspace(train.axis[0], train.axis[-1], length)
    notes = () if length == len(train.axis) else (f"{len(train.axis)} wavelengths, brought to {length}",)
    return SpectrumPreprocess(
        target=fit_targets(source),
        axis=tuple(axis.tolist()),
        mean=float(train.signals.mean()),
        std=float(train.signals.std()),
        notes=notes,
    )


def load(files: Mapping[str, Mapping[str, Any]]) -> SpectrumPreprocess:
    facts = files["preprocess.json"]
    return SpectrumPreprocess(
        target=TargetCode.from_dict(facts["target"]),
        axis=tuple(files["axis.json"]["nanometres"]),
        mean=facts["mean"],
        std=facts["std"],
        notes=tuple(facts["notes"]),
    )
