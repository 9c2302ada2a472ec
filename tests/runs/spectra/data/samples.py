"""Splits of spectra, and the files that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lamina.data.fingerprints import of_frame
from lamina.data.options import DataOptions
from lamina.data.source import Source, as_index, chosen_targets
from lamina.data.spec import DataSpec
from lamina.data.splits import complete
from lamina.data.targets.labels import encode_targets, is_number, target_columns, unlabelled
from lamina.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".spectra"
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Spectra:
    """Signals (N, L) over one axis of L wavelengths."""

    axis: Floats
    signals: Floats
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.signals)

    def subset(self, index: Sequence[int]) -> Spectra:
        chosen = as_index(index)
        return Spectra(self.axis, self.signals[chosen.numpy()], chosen_targets(self.targets, chosen))

    def with_targets(self, targets: Tensor | None) -> Spectra:
        return replace(self, targets=targets)

    def joined(self, other: Spectra) -> Spectra:
        if not np.array_equal(self.axis, other.axis):
            raise DataError("spectra go together where their wavelengths are the same ones")
        return Spectra(self.axis, np.concatenate([self.signals, other.signals]))


def read_spectra(path: Path) -> tuple[pd.DataFrame, Spectra]:
    """A table with a wavelength over each column of numbers: as it is, and its spectra."""
    import pandas as pd

    frame = pd.read_csv(path)
    axis = [name for name in frame.columns if is_number(name)]
    if not axis:
        raise DataError(f"{path} holds no spectra: no column is called by a wavelength")
    return frame, Spectra(np.array(axis, dtype=np.float32), frame[axis].to_numpy(dtype=np.float32))


def open_spectra(name: str, path: Path, options: DataOptions) -> Source | None:
    """A file of spectra, which may have a column of targets; None for any other."""
    if not path.name.endswith(SUFFIX):
        return None
    frame, spectra = read_spectra(path)
    named = target_columns([one for one in frame.columns if not is_number(one)], options, name)
    if isinstance(named, str):
        labels = unlabelled(named)
    else:
        labels = encode_targets(frame[list(named)], options, lambda row: f"{name}, row {row + 1}")
    spec = DataSpec(name=name, kind="spectrum", **labels.facts(), fingerprint=of_frame(frame, labels.values))
    return complete(spec, {"train": spectra.with_targets(labels.values)}, options)
