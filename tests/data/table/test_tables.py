"""Tables: types, targets, tasks, and every fault named with its row and column."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import Column
from lamina.data.table.samples import Table
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare

WHOLE: dict[str, Any] = {"validation": 0, "test": 0}
ROWS = 40
GOOD = pd.DataFrame(
    {
        "age": [20.5 + i for i in range(ROWS)],
        "visits": range(ROWS),
        "city": [("Oslo", "Rome", "Łódź")[i % 3] for i in range(ROWS)],
        "member": [i % 4 == 0 for i in range(ROWS)],
        "target": [("no", "yes")[i % 2] for i in range(ROWS)],
    }
)


def frame(source: Source) -> pd.DataFrame:
    split = source.splits["train"]
    assert isinstance(split, Table)
    return split.frame


def csv(folder: Path, table: pd.DataFrame | str, name: str = "data.csv") -> str:
    path = folder / name
    path.write_text(table if isinstance(table, str) else table.to_csv(index=False), encoding="utf-8")
    return str(path)


def opened(path: str, **options: Any) -> Source:
    return open_source(path, options=DataOptions(**{**WHOLE, **options}))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "parquet", "jsonl"])
def test_every_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data.{suffix}"
    if suffix == "parquet":
        GOOD.to_parquet(path)
    elif suffix == "jsonl":
        GOOD.to_json(path, orient="records", lines=True)
    else:
        text = GOOD.to_csv(index=False, sep="\t" if suffix == "tsv" else ",").encode()
        path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    source = opened(str(path))
    spec = source.spec
    assert (spec.kind, spec.task, spec.classes, spec.targets) == ("table", "classification", ("no", "yes"), ("target",))
    kinds = {"age": "numeric", "visits": "numeric", "city": "categorical", "member": "numeric"}
    assert spec.columns == tuple(Column(name=name, kind=kind) for name, kind in kinds.items())  # type: ignore[arg-type]
    assert frame(source)["city"].tolist() == GOOD["city"].tolist()
    assert frame(source)["member"].tolist() == [float(i % 4 == 0) for i in range(ROWS)]
    assert source.splits["train"].targets.tolist() == [i % 2 for i in range(ROWS)]
    assert spec.fingerprint == opened(csv(tmp_path, GOOD)).spec.fingerprint


def test_separators_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = csv(tmp_path, GOOD)
    semicolons = tmp_path / "german.csv"
    semicolons.write_text(GOOD.to_csv(index=False, sep=";"), encoding="utf-8-sig")
    assert opened(str(semicolons)).spec.fingerprint == opened(path).spec.fingerprint


@pytest.mark.parametrize("name", ["label", "Class", "y", "Target"])
def test_the_target_by_its_usual_names(tmp_path: Path, name: str) -> None:
    assert opened(csv(tmp_path, GOOD.rename(columns={"target": name}))).spec.targets == (name,)


def test_targets_that_are_not_there(tmp_path: Path, refused: Any) -> None:
    plain = csv(tmp_path, GOOD.rename(columns={"target": "outcome"}))
    spec = opened(plain).spec
    assert (spec.task, spec.classes, spec.targets) == ("none", (), ())
    assert [column.name for column in spec.columns] == ["age", "visits", "city", "member", "outcome"]
    for told in ("data.csv", "--target", "age, visits, city, member, outcome"):
        assert told in spec.hint
    with refused(UsageError, "data.csv", "no targets", "--target", "age, visits, city, member, outcome"):
        prepare("mlp", {"data": plain}, dry=True)
    with refused(UsageError, "'outcom'", "did you mean 'outcome'?"):
        opened(plain, target="outcom")
    assert opened(plain, target="outcome").spec.classes == ("no", "yes")
    assert "one of: age" in opened(csv(tmp_path, GOOD.assign(label=1), "two.csv")).spec.hint
    with refused(UsageError, "'ages'", "did you mean 'age'?"):
        opened(plain, target="outcome", drop=("ages",))
    with refused(UsageError, "'citi'", "did you mean 'city'?"):
        opened(plain, target="outcome", categorical=("citi",))


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([i % 20 for i in range(ROWS)], "classification", tuple(str(k) for k in range(20))),
        ([i % 21 for i in range(ROWS)], "regression", ()),
        ([10 * (i % 2) for i in range(ROWS)], "classification", ("0", "10")),
        ([0.5 * (i % 2) for i in range(ROWS)], "regression", ()),
        ([i % 2 == 0 for i in range(ROWS)], "classification", ("False", "True")),
        ([("b", "a", "10")[i % 3] for i in range(ROWS)], "classification", ("10", "a", "b")),
        ([("a|b", "b", "c | a")[i % 3] for i in range(ROWS)], "multilabel", ("a", "b", "c")),
    ],
)
def test_the_task_follows_from_the_target(tmp_path: Path, values: Any, task: str, classes: tuple[str, ...]) -> None:
    spec = opened(csv(tmp_path, GOOD.assign(target=values))).spec
    assert (spec.task, spec.classes) == (task, classes)


def test_the_task_may_be_said(tmp_path: Path, refused: Any) -> None:
    numbers = csv(tmp_path, GOOD.assign(target=[i % 5 for i in range(ROWS)]))
    source = opened(numbers, task="regression")
    assert source.splits["train"].targets[:, 0].tolist() == [float(i % 5) for i in range(ROWS)]
    many = csv(tmp_path, GOOD.assign(target=range(ROWS)), "many.csv")
    assert len(opened(many, task="classification").spec.classes) == ROWS
    with refused(DataError, "row 1", "'no'", "regression needs numbers"):
        opened(csv(tmp_path, GOOD, "text.csv"), task="regression")
    one = opened(csv(tmp_path, GOOD.assign(target=["x;y", "y"] * 20), "sep.csv"), task="multilabel", separator=";")
    assert one.splits["train"].targets[:2].tolist() == [[1, 1], [0, 1]]


def test_several_targets(tmp_path: Path, refused: Any) -> None:
    path = csv(tmp_path, GOOD.assign(p=np.arange(ROWS) / 7, hot=[i % 2 for i in range(ROWS)]))
    source = opened(path, target=("p", "age"))
    assert (source.spec.task, source.spec.targets) == ("regression", ("p", "age"))
    assert source.splits["train"].targets.shape == (ROWS, 2)
    assert {column.name for column in source.spec.columns} == {"visits", "city", "member", "target", "hot"}
    labels = opened(path, target=("member", "hot"))
    assert (labels.spec.task, labels.spec.classes) == ("multilabel", ("member", "hot"))
    assert labels.splits["train"].targets[4].tolist() == [1, 0]
    with refused(UsageError, "one target column, got 2: p, age"):
        opened(path, target=("p", "age"), task="classification")
    with refused(DataError, "data.csv, row 3", "label 'visits'", "0 or 1"):
        opened(path, target=("hot", "visits"), task="multilabel")


def test_a_missing_target_is_named_or_dropped_and_counted(tmp_path: Path, refused: Any) -> None:
    values: list[Any] = [i % 3 for i in range(ROWS)]
    values[6] = values[9] = None
    path = csv(tmp_path, GOOD.assign(target=pd.array(values, dtype="Int64")))
    with refused(DataError, "data.csv, row 7", "'target'", "2 rows"):
        opened(path)
    source = opened(path, skip_bad=True)
    assert source.spec.skipped == ("2 rows without a target",)
    assert source.spec.classes == ("0", "1", "2")  # whole numbers still, though pandas read 0.0
    assert source.spec.sizes["train"] == ROWS - 2
    assert frame(source)["visits"].tolist() == [i for i in range(ROWS) if i not in (6, 9)]
    with refused(DataError, "every row"):
        opened(csv(tmp_path, GOOD.assign(target=None), "none.csv"), skip_bad=True)


def test_after_dropped_rows_faults_still_name_the_row_of_the_file(tmp_path: Path, refused: Any) -> None:
    table = GOOD.astype({"visits": object})
    table.loc[3, "target"] = None
    table.loc[20, "visits"] = "many"
    with refused(DataError, "data.csv, row 21", "'visits'", "'many'"):
        opened(csv(tmp_path, table), skip_bad=True)


def test_missing_inputs_are_welcome(tmp_path: Path) -> None:
    table = GOOD.copy()
    table.loc[2, "age"] = None
    table.loc[3, "city"] = None
    source = opened(csv(tmp_path, table))
    assert frame(source)["age"].isna().tolist() == [i == 2 for i in range(ROWS)]
    assert frame(source)["city"].isna().tolist() == [i == 3 for i in range(ROWS)]


def test_text_where_numbers_were(tmp_path: Path, refused: Any) -> None:
    table = GOOD.astype({"visits": object})
    table.loc[16, "visits"] = "?"
    path = csv(tmp_path, table)
    with refused(DataError, "data.csv, row 17", "column 'visits'", "'?'", "98%"):
        opened(path)
    assert frame(opened(path, missing=("?",)))["visits"].isna().sum() == 1
    forced = opened(path, categorical=("visits",))
    assert forced.spec.columns[1].kind == "categorical"
    assert frame(forced)["visits"].tolist() == ["?" if i == 16 else str(i) for i in range(ROWS)]
    dropped = opened(path, drop=("visits",))
    assert "visits" not in frame(dropped).columns
    # the same few texts again and again among numbers are no categories either
    table.loc[:5, "visits"] = "few"
    with refused(DataError, "mixed.csv, row 1", "'few'", "--missing", "--categorical visits", "--drop visits"):
        opened(csv(tmp_path, table, "mixed.csv"))
    # texts that are all different are: a column of names, some of which are numbers
    table["visits"] = [f"PC {i}" if i < 6 else str(i) for i in range(ROWS)]
    assert opened(csv(tmp_path, table, "names.csv")).spec.columns[1].kind == "categorical"
    # in another format the numbers are texts themselves
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps({"a": str(i), "y": i % 2}) for i in range(ROWS)))
    assert opened(str(tmp_path / "d.jsonl")).spec.columns[0].kind == "numeric"


def test_infinite_and_nested_values(tmp_path: Path, refused: Any) -> None:
    table = GOOD.copy()
    table.loc[8, "age"] = float("inf")
    with refused(DataError, "row 9", "'age'", "infinite"):
        opened(csv(tmp_path, table))
    rows = [{"a": 1 if i != 4 else [1, 2], "y": i % 2} for i in range(ROWS)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with refused(DataError, "row 5", "'a'", "nested"):
        opened(str(tmp_path / "d.jsonl"))


def test_one_class_or_one_value(tmp_path: Path, refused: Any) -> None:
    with refused(DataError, "only one class ('yes')"):
        opened(csv(tmp_path, GOOD.assign(target="yes")))
    with refused(DataError, "'target'", "only one value"):
        opened(csv(tmp_path, GOOD.assign(target=2.5)))
    with refused(DataError, "no column besides the target"):
        opened(csv(tmp_path, GOOD[["target"]]))


def test_a_file_for_each_split(tmp_path: Path, refused: Any) -> None:
    csv(tmp_path, GOOD[:20], "train.csv")
    csv(tmp_path, GOOD[20:26], "val.csv")
    csv(tmp_path, GOOD[26:].assign(target="no"), "test.csv")
    source = opened(str(tmp_path))
    assert dict(source.spec.sizes) == {"train": 20, "validation": 6, "test": 14}
    assert source.splits["test"].targets.tolist() == [0] * 14
    bad = GOOD[20:26].copy()
    bad.loc[22, "target"] = None
    csv(tmp_path, bad, "val.csv")
    with refused(DataError, "val.csv, row 3", "'target'"):
        opened(str(tmp_path))
    dropped = opened(str(tmp_path), skip_bad=True)
    assert dict(dropped.spec.sizes) == {"train": 20, "validation": 5, "test": 14}
    assert frame(dropped)["visits"].tolist() == list(range(20))
    csv(tmp_path, GOOD[26:].drop(columns="city"), "test.csv")
    with refused(DataError, "test.csv", "'city'"):
        opened(str(tmp_path))
    (tmp_path / "train.csv").unlink()
    with refused(UsageError, "several tables"):
        opened(str(tmp_path))


def test_damaged_tables_name_the_file(tmp_path: Path, refused: Any) -> None:
    cases: dict[str, tuple[bytes, str]] = {
        "empty.csv": (b"", "is empty"),
        "head.csv": (b"a,target\n", "no rows"),
        "ragged.csv": (b"a,target\n1,2\n1,2,3,4\n", "line 3"),
        "wide.csv": (b"a,target\n1,2,3\n4,5,6\n", "more cells"),
        "latin.csv": ("name,target\nJos\u00e9,1\n".encode("latin-1"), "not UTF-8"),
        "bad.parquet": (b"PAR1 nothing", "cannot read"),
        "bad.jsonl": (b'{"a": 1, "y": 0}\n{"a": 1,\n', "line 2"),
        "list.jsonl": (b"[1, 2]\n", "line 1"),
        "cut.csv.gz": (gzip.compress(b"a,target\n" + b"1,2\n" * 5000)[:40], "cut.csv.gz"),
    }
    for name, (content, text) in cases.items():
        (tmp_path / name).write_bytes(content)
        with refused(DataError, str(tmp_path / name), text):
            opened(str(tmp_path / name))


def test_a_hostile_name_is_only_a_name(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    table = GOOD.assign(target=["<script>alert(1)</script>", "=cmd|' /C calc'!A0"] * 20)
    spec = opened(csv(tmp_path, table), task="classification").spec
    assert spec.classes == ("<script>alert(1)</script>", "=cmd|' /C calc'!A0")
