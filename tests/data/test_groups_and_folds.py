"""Groups are never in two splits, folds test every sample once; shares and classes are met as groups allow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.data.image.samples import ImageFiles
from lamina.data.opening import open_source
from lamina.data.options import DataOptions, EvaluationOptions
from lamina.data.partition import equal_parts, grouped_parts
from lamina.data.source import Source
from lamina.data.table.samples import Table
from lamina.data.text.samples import Texts
from lamina.errors import DataError, UsageError

ROWS = 120


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=3, max_size=40),
    shares=st.sampled_from([(0.2, 0.1, 0.7), (1 / 3,) * 3, (0.5, 0.5)]),
    kinds=st.integers(1, 3),
    seed=st.integers(0, 50),
)
def test_groups_stay_together_and_shares_are_met(
    sizes: list[int], shares: tuple[float, ...], kinds: int, seed: int
) -> None:
    groups = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    classes = torch.arange(len(groups)) % kinds
    parts = grouped_parts(groups, shares, classes, seed)
    assert torch.equal(parts, grouped_parts(groups, shares, classes, seed))
    assert set(zip(groups.tolist(), parts.tolist(), strict=True)) == {
        (group, int(parts[groups == group][0])) for group in range(len(sizes))
    }
    counts = parts.bincount(minlength=len(shares))
    assert int(counts.min()) > 0
    for count, share in zip(counts.tolist(), shares, strict=True):
        assert abs(count - share * len(groups)) <= 2 * max(sizes)


def test_many_groups_meet_the_shares_of_every_class() -> None:
    groups = torch.arange(300) // 3
    classes = (groups % 4 == 0).long() + (groups % 10 == 3).long() * 2
    classes = classes.clamp(max=2)
    parts = grouped_parts(groups, (0.2, 0.1, 0.7), classes, seed=0)
    for kind in range(3):
        of_kind = parts[classes == kind].bincount(minlength=3) / int((classes == kind).sum())
        assert (of_kind - torch.tensor([0.2, 0.1, 0.7])).abs().max() < 0.11
    sizes = torch.tensor([1000] + [2] * 50)  # one that alone is most of the data belongs to train
    groups = torch.repeat_interleave(torch.arange(51), sizes)
    assert set(grouped_parts(groups, (0.05, 0.02, 0.93), None, seed=1)[:1000].tolist()) == {2}


def frame(**more: Any) -> pd.DataFrame:
    x = [i * 0.377 % 1 for i in range(ROWS)]
    label = ["ab"[i % 3 == 0] for i in range(ROWS)]
    return pd.DataFrame(
        {
            "x": x,
            "z": [i % 7 for i in range(ROWS)],
            "label": label,
            "patient": [f"p{i // 6}" for i in range(ROWS)],
            **more,
        }
    )


def opened(folder: Path, table: pd.DataFrame, **options: Any) -> Source:
    table.to_csv(folder / "data.csv", index=False)
    return open_source(str(folder / "data.csv"), options=DataOptions(**options))


def patients(source: Source, table: pd.DataFrame) -> dict[str, set[str]]:
    of = dict(zip(table["x"], table["patient"], strict=True))
    return {
        name: {of[x] for x in split.frame["x"]} for name, split in source.splits.items() if isinstance(split, Table)
    }


@pytest.mark.parametrize("column", ["text", "number"])
def test_a_group_of_a_table_is_in_one_split_and_no_input(tmp_path: Path, column: str) -> None:
    table = frame() if column == "text" else frame(patient=[i // 6 for i in range(ROWS)])
    source = opened(tmp_path, table, group="patient")
    found = patients(source, table)
    assert sum(len(names) for names in found.values()) == len(set.union(*found.values())) == 20
    assert source.spec.sizes == {"train": 84, "validation": 12, "test": 24}
    assert [one.name for one in source.spec.columns] == ["x", "z"]
    assert source.spec.fingerprint == opened(tmp_path, table, group="patient", split_seed=3).spec.fingerprint
    assert patients(opened(tmp_path, table, group="patient", split_seed=3), table) != found
    assert opened(tmp_path, table, group="patient", limit=30).spec.sizes["train"] == 30
    crossing = patients(opened(tmp_path, table), table)
    assert sum(len(names) for names in crossing.values()) > 20  # without the option they are in two


def test_groups_of_texts_and_of_pictures(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    table = pd.DataFrame(
        {
            "sentence": [f"this is sentence {i}" for i in range(ROWS)],
            "label": [0, 1] * 60,
            "author": [i % 12 for i in range(ROWS)],
        }
    )
    source = opened(tmp_path, table, group="author")
    splits = [split for split in source.splits.values() if isinstance(split, Texts)]
    found = [{int(text.split()[-1]) % 12 for text in split.texts} for split in splits]
    assert len(found) == 3
    assert sum(map(len, found)) == 12

    root = image_folder({"pool": 24})
    files, sites_of = [f"pool/{i}.png" for i in range(24)], [i // 2 for i in range(24)]
    pictures = pd.DataFrame({"file": files, "kind": ["a", "b"] * 12, "site": sites_of})
    (root / "pool" / "7.png").write_bytes(b"broken")
    pictures.to_csv(root / "labels.csv", index=False)
    source = open_source(str(root / "labels.csv"), options=DataOptions(group="site", skip_bad=True))
    pools = [split.paths for split in source.splits.values() if isinstance(split, ImageFiles)]
    sites = [{int(Path(str(path)).stem) // 2 for path in paths} for paths in pools]
    assert len(sites) == 3
    assert sum(map(len, sites)) == len(set.union(*sites)) == 12
    assert sum(source.spec.sizes.values()) == 23


def test_groups_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown group column 'pateint'; did you mean 'patient'"):
        opened(tmp_path, frame(), group="pateint")
    with pytest.raises(UsageError, match="has 2 groups, too few for test, validation and train: --validation 0"):
        opened(tmp_path, frame(patient=["p", "q"] * 60), group="patient")
    assert len(opened(tmp_path, frame(patient=["p", "q"] * 60), group="patient", validation=0).splits) == 2
    with pytest.raises(DataError, match=r"class '[ab]' has too few groups of column 'patient'"):
        opened(tmp_path, frame(patient=["ab"[i % 3 == 0] for i in range(ROWS)]), group="patient", validation=0)
    with pytest.raises(DataError, match=r"row 120: column 'patient', the group, is empty"):
        opened(tmp_path, frame(patient=[*frame()["patient"][:-1], None]), group="patient")
    divided = frame(split=["train"] * 100 + ["test"] * 20)
    with pytest.raises(DataError, match=r"group 'p16' of column 'patient' is in train and in test"):
        opened(tmp_path, divided, group="patient")
    apart = frame(split=["train"] * 102 + ["test"] * 18)
    assert opened(tmp_path, apart, group="patient").spec.sizes["test"] == 18
    for name in ("digits", "python-docs", "dates", "iris"):
        with pytest.raises(UsageError, match=r"group \(--group patient\)"):
            open_source(name, options=DataOptions(group="patient"))


def test_data_to_evaluate_on_may_lack_the_groups(tmp_path: Path) -> None:
    options = EvaluationOptions.of(DataOptions(group="patient", folds=3, fold=1), "classification")
    for table in (frame(), frame().drop(columns="patient")):
        table.to_csv(tmp_path / "new.csv", index=False)
        source = open_source(str(tmp_path / "new.csv"), options=options)
        assert source.spec.sizes == {"train": ROWS}
        assert [one.name for one in source.spec.columns] == ["x", "z"]


@pytest.mark.parametrize("group", [None, "patient"])
def test_folds_test_every_row_once(tmp_path: Path, group: str | None) -> None:
    table = frame() if group else frame().drop(columns="patient")
    tested: list[float] = []
    for fold in range(1, 6):
        source = opened(tmp_path, table, folds=5, fold=fold, group=group)
        parts = {name: split.frame["x"].tolist() for name, split in source.splits.items() if isinstance(split, Table)}
        assert sorted(x for part in parts.values() for x in part) == sorted(table["x"])
        tested += parts["test"]
        assert len(parts["test"]) == 24
        targets = source.splits["test"].targets  # type: ignore[attr-defined]
        assert 6 <= int((targets == source.spec.classes.index("b")).sum()) <= 10
        assert source.spec.fold == f"{fold} of 5"
        if group:
            found = patients(source, table)
            assert sum(len(names) for names in found.values()) == 20
    assert sorted(tested) == sorted(table["x"])


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=4), parts=st.integers(2, 5))
def test_folds_are_stratified(counts: list[int], parts: int) -> None:
    classes = torch.cat([torch.full((count,), kind) for kind, count in enumerate(counts)])
    if parts > len(classes):
        return
    found = equal_parts(classes, len(classes), parts, seed=0)
    sizes = found.bincount(minlength=parts)
    assert int(sizes.max() - sizes.min()) <= 1
    for kind, count in enumerate(counts):
        of_kind = found[classes == kind].bincount(minlength=parts)
        assert bool(((of_kind - count / parts).abs() <= 2).all())


def test_folds_that_cannot_be_are_refused(tmp_path: Path) -> None:
    for options, words in [
        ({"folds": 1}, "folds must be at least 2"),
        ({"fold": 1}, "give --folds too"),
        ({"folds": 3, "fold": 4}, "must be 1 to 3"),
        ({"folds": 200, "fold": 1}, "has 120 samples, too few for 200 folds: --folds 120 at most"),
        ({"folds": 21, "fold": 1, "group": "patient"}, "has 20 groups, too few for 21 folds: --folds 20 at most"),
        ({"folds": 5}, "name one, --fold 1 to 5"),
    ]:
        with pytest.raises(UsageError, match=words):
            opened(tmp_path, frame(), **options)
    with pytest.raises(UsageError, match="has a test split of its own"):
        opened(tmp_path, frame(split=["train", "test"] * 60), folds=3, fold=1)
    with pytest.raises(DataError, match="class 'c' has one sample"):
        opened(tmp_path, frame(label=["c", *frame()["label"][1:]]), folds=3, fold=1)
    for name in ("python-docs", "dates"):
        with pytest.raises(UsageError, match="folds"):
            open_source(name, options=DataOptions(folds=3, fold=1))
    assert open_source("digits", options=DataOptions(folds=3, fold=2)).spec.sizes["test"] == 599
