"""Spectra: the row of the table of modalities."""

from __future__ import annotations

from typing import cast

from lamina.data.protocols import Modality
from lamina.data.source import Source
from spectra.data.preprocess import fit, load
from spectra.data.samples import Spectra, open_spectra


def describe(source: Source) -> dict[str, object]:
    axis = cast(Spectra, source.splits["train"]).axis
    return {"wavelengths": len(axis), "nanometres": [float(axis[0]), float(axis[-1])]}


MODALITY = Modality(
    name="spectrum",
    noun="spectra",
    unit="spectrum",
    fit=fit,
    load=load,
    describe=describe,
    files=("preprocess.json", "axis.json"),
    open=open_spectra,
)
