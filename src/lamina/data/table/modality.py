"""Tables: the entry of the table of modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lamina.data.protocols import Modality, Needs
from lamina.data.source import Source
from lamina.data.table.inputs import from_word, inputs
from lamina.data.table.preprocess import TablePreprocess, fit_table
from lamina.data.table.requests import REQUESTS
from lamina.data.table.samples import Table
from lamina.errors import UsageError


def fit(source: Source, needs: Needs) -> TablePreprocess:
    """Fit the preprocess of a table. Raises UsageError for a model with image inputs."""
    if needs.channels is not None or needs.size is not None:
        raise UsageError(f"{source.spec.name} is a table, but the model takes images")
    return fit_table(source)


def load(files: Mapping[str, Mapping[str, Any]]) -> TablePreprocess:
    return TablePreprocess.from_dict(files["preprocess.json"])


def describe(source: Source) -> dict[str, object]:
    """The input columns, with their ranges over all splits."""
    import pandas as pd

    frame = pd.concat([cast(Table, split).frame for split in source.splits.values()], ignore_index=True)
    rows = []
    for column in source.spec.columns:
        series = frame[column.name]
        row: dict[str, Any] = {"name": column.name, "kind": column.kind, "missing": int(series.isna().sum())}
        if column.kind in ("numeric", "index"):
            present = series.dropna()
            row |= {"min": float(present.min()), "max": float(present.max())} if len(present) else {}
        else:
            row["categories"] = int(series.nunique())
        rows.append(row)
    return {"columns": rows}


MODALITY = Modality(
    name="table",
    noun="a table",
    unit="row",
    fit=cast(Any, fit),
    load=cast(Any, load),
    example="{row}",
    describe=describe,
    inputs=inputs,
    rows=lambda item: not isinstance(item, Mapping),
    from_word=from_word,
    requests=REQUESTS,
    remarks=lambda preprocess, split: cast(TablePreprocess, preprocess).unseen(cast(Table, split).frame),
)
