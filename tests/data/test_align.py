"""Another source, its classes numbered as the model knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.targets.code import align, fit_targets
from lamina.errors import DataError

WHOLE: dict[str, Any] = {"validation": 0, "test": 0}


def table(folder: Path, labels: list[str], **options: Any) -> Source:
    lines = [f"{i},{labels[i % len(labels)]}" for i in range(30)]
    (folder / "d.csv").write_text("a,label\n" + "\n".join(lines))
    return open_source(str(folder / "d.csv"), options=DataOptions(**WHOLE, **options))


def test_classes_are_found_by_name(tmp_path: Path, refused: Any) -> None:
    code = fit_targets(table(tmp_path, ["ant", "bee", "cat", "dog"]))
    other = align(table(tmp_path, ["dog", "bee"]), code)
    assert other.spec.classes == ("ant", "bee", "cat", "dog")
    assert other.splits["train"].targets[:4].tolist() == [3, 1, 3, 1]
    with refused(DataError, "'eel'", "does not know"):
        align(table(tmp_path, ["dog", "eel"]), code)
    with refused(DataError, "is regression data", "classification"):
        align(open_source("diabetes"), code)


def test_labels_keep_their_columns(tmp_path: Path) -> None:
    code = fit_targets(table(tmp_path, ["ant|bee", "cat", "dog"]))
    other = align(table(tmp_path, ["dog|ant", "ant"]), code)
    assert other.splits["train"].targets[:2].tolist() == [[1, 0, 0, 1], [1, 0, 0, 0]]


@pytest.mark.parametrize("target", ["p", "q"])
def test_regression_targets_are_the_same_ones(tmp_path: Path, target: str, refused: Any) -> None:
    (tmp_path / "r.csv").write_text("a,p,q\n" + "\n".join(f"{i},{i / 3},{i / 7}" for i in range(30)))
    code = fit_targets(open_source(str(tmp_path / "r.csv"), options=DataOptions(target="p")))
    other = open_source(str(tmp_path / "r.csv"), options=DataOptions(target=target))
    if target == "p":
        assert align(other, code) is other
    else:
        with refused(DataError, "targets q", "trained on p"):
            align(other, code)
