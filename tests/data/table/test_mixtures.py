"""The toy data of adversarial networks: modes, names, and that a folder of the name of an alias is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lamina.data.opening import open_source
from lamina.data.options import DataOptions

WHOLE = DataOptions(validation=0, test=0)


@pytest.mark.parametrize(("name", "modes", "std"), [("gaussian-ring", 8, 0.02), ("gaussian-grid", 25, 0.05)])
def test_modes_have_their_centres_and_widths(name: str, modes: int, std: float) -> None:
    source = open_source(name, options=WHOLE)
    train = source.splits["train"]
    points, mode = train.frame.to_numpy(), train.targets.numpy()  # type: ignore[union-attr]
    centres = np.array(source.spec.centres)
    assert (source.spec.kind, source.spec.task, len(source.spec.classes), len(centres)) == (
        "table", "classification", modes, modes,
    )  # fmt: skip
    assert len(set(np.bincount(mode))) == 1
    away = points - centres[mode]
    assert np.abs(away.std(0) - std).max() < 0.02 * std
    assert np.abs(np.linalg.norm(away, axis=1)).max() < 0.3
    if modes == 8:
        assert np.allclose(np.linalg.norm(centres, axis=1), 2)
        assert np.linalg.norm(centres[0] - centres[1]) == pytest.approx(4 * math.sin(math.pi / 8))
    else:
        assert sorted(set(centres.ravel())) == [-4, -2, 0, 2, 4]


def test_names(image_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ring", "8gaussians", "8_Gaussians", "Gaussian_Ring"):
        assert open_source(name).spec.name == "gaussian-ring"
    assert open_source("25-gaussians").spec.name == "gaussian-grid"
    assert open_source("ring").spec.fingerprint == open_source("ring").spec.fingerprint
    monkeypatch.chdir(image_folder({"a": 10, "b": 10}, name="grid").parent)
    assert open_source("grid").spec.classes == ("a", "b")  # a folder that was read before there was the alias
    assert open_source("gaussian-grid").spec.name == "gaussian-grid"
