"""Cross-validation: every sample is tested once, mean and deviation are those of the folds, a stopped one goes on."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd
import pytest
from torch import nn

import lamina
from lamina.data.table.samples import Table
from lamina.errors import UsageError
from lamina.runs.folds import CrossValidation, cross_validate

SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 16, "report": False}
TINY = {"hidden": (4,)}


def test_each_fold_is_tested_by_a_run_that_never_saw_it(tmp_path: Path) -> None:
    found = cross_validate("mlp", "iris", folds=3, directory=tmp_path, model_options=TINY, **SHORT)
    assert [run.path for run in found.runs] == [tmp_path / "mlp-iris-folds" / f"fold{k}" for k in (1, 2, 3)]
    tested = [split.frame for run in found.runs if isinstance(split := run.source.splits["test"], Table)]
    whole = pd.concat([split.frame for split in lamina.open_source("iris").splits.values() if isinstance(split, Table)])
    order = list(whole.columns)
    assert pd.concat(tested).sort_values(order, ignore_index=True).equals(whole.sort_values(order, ignore_index=True))
    for run, row in zip(found.runs, found.metrics, strict=True):
        assert lamina.open_run(run.path).evaluate() == pytest.approx(row)
    accuracies = [row["accuracy"] for row in found.metrics]
    assert found.mean["accuracy"] == pytest.approx(fmean(accuracies))
    assert found.std["accuracy"] == pytest.approx(stdev(accuracies))
    saved = json.loads((found.path / "folds.json").read_text())
    assert (saved["mean"], saved["std"]) == (found.mean, found.std)
    again = cross_validate("mlp", "iris", folds=3, directory=tmp_path, model_options=TINY, **SHORT)
    assert again.path.name == "mlp-iris-folds-2"
    assert again.metrics == found.metrics
    other = cross_validate("mlp", "iris", folds=2, directory=tmp_path, model_options=TINY, split_seed=5, **SHORT)
    assert other.metrics != found.metrics[:2]


def test_a_stopped_one_goes_on_where_it_was(tmp_path: Path) -> None:
    options = {"data": "iris", "folds": 3, "epochs": 2, "batch_size": 16, "model": TINY}
    begun = CrossValidation("mlp", options, directory=tmp_path, name="mine")
    first = None
    for fold, training in begun.pending():
        events = training.events()
        if fold == 2:
            next(events)  # one step of the second, then no more
            events.close()
            break
        for _ in events:
            pass
        first = training.run.directory.weights.stat().st_mtime_ns
    assert not (begun.path / "fold3").exists()
    found = cross_validate(name="mine", directory=tmp_path, resume=True, report=False)
    assert len(found.metrics) == 3
    assert found.runs[0].directory.weights.stat().st_mtime_ns == first  # not trained again
    whole = cross_validate("mlp", "iris", folds=3, directory=tmp_path, name="whole", model_options=TINY, **SHORT)
    assert found.metrics == whole.metrics
    assert cross_validate(name="mine", directory=tmp_path, resume=True, report=False).metrics == whole.metrics
    with pytest.raises(UsageError, match="has 3 folds: it cannot be resumed with others"):
        cross_validate(name="mine", folds=4, directory=tmp_path, resume=True)
    with pytest.raises(UsageError, match="no such cross-validation"):
        cross_validate(name="yours", directory=tmp_path, resume=True)


def test_groups_and_a_module_of_the_users_own(tmp_path: Path) -> None:
    rows = 60
    columns = {"x": [i * 0.37 % 1 for i in range(rows)], "z": [i * 0.61 % 1 for i in range(rows)]}
    table = pd.DataFrame({**columns, "who": [f"p{i // 6}" for i in range(rows)], "y": ["a", "b", "b"] * 20})
    table.to_csv(tmp_path / "visits.csv", index=False)
    own = nn.Sequential(nn.Linear(2, 2))
    before = own[0].weight.detach().clone()
    found = cross_validate(own, str(tmp_path / "visits.csv"), folds=2, group="who", directory=tmp_path, **SHORT)
    assert own[0].weight.equal(before)  # each fold begins with the weights that were given
    assert found.runs[0].config.options.group == "who"
    assert [run.preprocess.feature_names for run in found.runs] == [("x", "z")] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs the number of folds"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"folds": 151}, "has 150 samples, too few for 151 folds"),
        ({"folds": 3, "group": "petal"}, r"group \(--group petal\)"),
        ({"folds": 3, "devices": 2}, "on one device"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        cross_validate("mlp", "iris", directory=tmp_path, model_options=TINY, **{**SHORT, **options})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="name one, --fold 1 to 3"):
        lamina.train("mlp", "iris", folds=3, directory=tmp_path, **SHORT)
