"""Tables and texts in numbered parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.errors import DataError


def rows(first: int, count: int) -> pd.DataFrame:
    numbers = range(first, first + count)
    return pd.DataFrame(
        {"size": [n * 0.5 for n in numbers], "town": [f"t{n % 3}" for n in numbers], "price": [*numbers]}
    )


def write_parts(root: Path, pattern: str, count: int = 4) -> Path:
    root.mkdir(exist_ok=True)
    for part in range(count):
        path = root / pattern.format(part)
        frame = rows(10 * part, 10)
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return root


@pytest.mark.parametrize(
    "pattern",
    ["part-{:05}.parquet", "houses-{:05}-of-00004.parquet", "train-{:03}.csv", "part-{:05}-c000.snappy.parquet"],
)
def test_parts_are_one_table(tmp_path: Path, pattern: str) -> None:
    root = write_parts(tmp_path / "parts", pattern)
    rows(0, 40).to_csv(tmp_path / "whole.csv", index=False)
    options = DataOptions(target="price", task="regression")
    parts, whole = (open_source(str(path), options=options) for path in (root, tmp_path / "whole.csv"))
    assert parts.spec.sizes == whole.spec.sizes
    for name, split in parts.splits.items():
        other: Any = whole.splits[name]
        assert torch.equal(split.targets, other.targets)  # type: ignore[attr-defined] # of a table
        assert split.frame.equals(other.frame)  # type: ignore[attr-defined] # of a table


def test_parts_of_splits(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("validation", 1), ("test", 2)):
        write_parts(tmp_path, f"{split}-{{:05}}-of-{count:05}.parquet", count)
    spec = open_source(str(tmp_path), options=DataOptions(target="price")).spec
    assert spec.sizes == {"train": 30, "validation": 10, "test": 20}


def other_columns(root: Path) -> None:
    rows(0, 3).rename(columns={"town": "city"}).to_parquet(root / "part-00002.parquet")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "part-00001.parquet").unlink(), r"'\S+part-00001.parquet' is missing"),
        (lambda root: (root / "part-00002.parquet").write_bytes(b"PAR1xx"), r"cannot read '\S+part-00002.parquet'"),
        (other_columns, r"part-00002.parquet' has other columns than 'part-00000.parquet': (city|town)"),
    ],
)
def test_a_bad_part_is_one_line(tmp_path: Path, damage: Callable[[Path], Any], words: str) -> None:
    root = write_parts(tmp_path / "parts", "part-{:05}.parquet")
    damage(root)
    with pytest.raises(DataError, match=words) as caught:
        open_source(str(root), options=DataOptions(target="price"))
    assert "\n" not in str(caught.value)


def test_texts_in_parts(tmp_path: Path) -> None:
    for part in range(3):
        (tmp_path / f"books-{part:03}.txt").write_text("".join(f"Part {part}, line {n}.\n" for n in range(40)))
    spec = open_source(str(tmp_path)).spec
    assert (spec.kind, spec.task) == ("text", "language-modelling")
    assert sum(spec.sizes.values()) == sum(path.stat().st_size for path in tmp_path.iterdir())
    (tmp_path / "books-001.txt").unlink()
    with pytest.raises(DataError, match=r"books-001.txt' is missing"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    "pattern", ["part-{:05}.parquet", "train-{:03}.csv", "houses.csv", "books-{:03}.txt", "book.txt"]
)
def test_what_cannot_fit_into_memory_is_refused_before_it_is_read(
    tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pattern.endswith(".txt"):
        for part in range(2):
            (tmp_path / pattern.format(part)).write_text("A line.\n" * 100)
    else:
        write_parts(tmp_path, pattern, 1 if "{" not in pattern else 4)
    data = tmp_path if "{" in pattern else tmp_path / pattern
    options = DataOptions(target=None if pattern.endswith(".txt") else "price")
    assert open_source(str(data), options=options).spec.sizes
    for module in (
        "tabular.frames.read_frame",
        "tabular.rows.read_frame",
        "formats.texts.read_text",
        "text.files.read_text",
    ):
        monkeypatch.setattr(f"lamina.data.{module}", lambda *_: pytest.fail("read"))
    monkeypatch.setattr("lamina.data.memory.free_bytes", lambda: 100)
    with pytest.raises(DataError, match=r"need at least .* GiB of memory are free: .* docs/scaling.md") as caught:
        open_source(str(data), options=options)
    assert "\n" not in str(caught.value)
