"""What a resumed training does otherwise than its options let expect is said."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import lamina


def train(folder: Path, **options: object) -> lamina.Run:
    given = {"data": "iris", "directory": folder, "name": "one", "report": False, "batch_size": 50, **options}
    return lamina.train("mlp", **given)  # type: ignore[arg-type]


def test_fewer_epochs_than_there_were(tmp_path: Path) -> None:
    before = train(tmp_path, epochs=4).history
    with pytest.warns(UserWarning, match=r"nothing to train: .*one has 4 epochs already"):
        run = train(tmp_path, epochs=3, resume=True)
    assert run.history == before


def test_a_schedule_that_climbs_again(tmp_path: Path) -> None:
    train(tmp_path, epochs=4, schedule="cosine", lr=0.01)
    with pytest.warns(UserWarning, match=r"'cosine' follows the share of training done.*from .* to 0\.00"):
        train(tmp_path, epochs=8, resume=True)


def test_nothing_is_said_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    train(tmp_path, epochs=2, schedule="constant")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert len(train(tmp_path, epochs=3, resume=True).history) == 3


def test_the_metric_that_chooses_is_an_option(tmp_path: Path) -> None:
    run = train(tmp_path, epochs=6, monitor="loss", lr=0.05)
    losses = [row["validation_loss"] for row in run.history]
    best = [row["validation_loss"] for row in run.history if row["best"]][-1]
    assert best == min(losses)
    assert run.monitor == "loss"


def test_an_unknown_metric_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(lamina.UsageError, match="did you mean 'accuracy'"):
        train(tmp_path, epochs=1, monitor="acuracy")
    assert not list(tmp_path.iterdir()), "it is refused before a run begins"
