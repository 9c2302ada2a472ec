"""The embedded series, three files of the package vega_datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.data.catalogue import LICENCES
from lamina.data.options import DataOptions
from lamina.data.series.source import rows_options, series_source
from lamina.data.source import Source
from lamina.data.tabular.frames import read_frame
from lamina.data.tabular.rows import joined_rows


@dataclass(frozen=True)
class _File:
    """A file of vega_datasets, and the roles that its columns have unless others are given."""

    name: str
    time: str = "date"
    series: tuple[str, ...] = ()


FILES: Mapping[str, _File] = {
    "seattle-weather": _File("seattle_weather"),
    "seattle-temps": _File("seattle_temps"),
    "stocks": _File("stocks", series=("symbol",)),
}


def open_embedded_series(name: str, options: DataOptions) -> Source:
    """An embedded set of series. Raises UsageError for options that do not suit it."""
    from vega_datasets import local_data

    file = FILES[name]
    path = Path(getattr(local_data, file.name).filepath)
    options = replace(options, time=options.time or file.time, series=options.series or file.series)
    frame, _ = read_frame(path, DataOptions())
    rows = joined_rows({"train": frame}, {"train": name}, rows_options(options), options.series)
    options = replace(rows.options or options, group=options.group)
    source = series_source(name, rows.frame, rows.sizes, rows.place, options, rows.notes, LICENCES[name])
    return replace(source, spec=replace(source.spec, reading=rows.reading))
