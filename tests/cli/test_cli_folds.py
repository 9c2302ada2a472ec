"""``lamina train --folds``: a table of the folds, or JSON; one fold alone; a plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

WORDS = ("train", "mlp", "--data", "iris", "--epochs", "1", "--model.hidden", "4", "--quiet")


def test_folds_are_trained_and_shown(lamina: Callable[..., Any]) -> None:
    status, out, _ = lamina(*WORDS, "--folds", "2")
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["test", "fold1", "fold2", "mean", "standard", "runs:"]
    status, out, err = lamina("train", "--name", "mlp-iris-folds", "--resume", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    one, two = (row["accuracy"] for row in found["metrics"])
    assert found["mean"]["accuracy"] == (one + two) / 2
    assert f"{found['mean']['accuracy']:.4f}" in lines[3]
    status, out, _ = lamina("runs", "runs/mlp-iris-folds", "--json")
    assert [row["state"] for row in json.loads(out)] == ["finished", "finished"]


def test_one_fold_a_plan_and_misuse(lamina: Callable[..., Any]) -> None:
    status, out, _ = lamina(*WORDS, "--folds", "5", "--dry-run")
    assert status == 0
    assert "train 108, validation 12, test 30" in out
    status, out, _ = lamina(*WORDS, "--folds", "5", "--fold", "2", "--dry-run")
    assert status == 0
    assert "mlp-iris-folds" not in out
    for words, reason in (
        (("--folds", "1"), "folds must be at least 2"),
        (("--fold", "1"), "give --folds too"),
        (("--folds", "200"), "too few for 200 folds"),
    ):
        status, _, err = lamina(*WORDS, *words)
        assert status == 2
        assert reason in err
