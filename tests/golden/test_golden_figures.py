"""Small trainings in double precision give the figures that are written down in ``figures.json``.

Where results are to change, ``python tests/golden/golden_figures.py`` writes the file anew; the commit says why.
To 1e-9 they are the same with AVX2 and AVX-512; other vector units draw float32 numbers that differ in their last bit.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from golden_figures import CASES, FIGURES, as_json

EXACT, EXPORTED = 1e-9, 1e-6
"""how far a number may be from the one written down, in its own size; an exported file calculates in float32"""


def differences(found: Any, known: Any, place: str, within: float) -> list[str]:
    """What is not as it is written down: floats within a tolerance, all else exactly."""
    if isinstance(known, dict) and isinstance(found, dict) and list(known) == list(found):
        return [one for key in known for one in differences(found[key], known[key], f"{place}/{key}", within)]
    if isinstance(known, list) and isinstance(found, list) and len(known) == len(found):
        both = enumerate(zip(found, known, strict=True))
        return [one for number, (a, b) in both for one in differences(a, b, f"{place}/{number}", within)]
    if isinstance(known, float) and isinstance(found, float):
        same = math.isclose(found, known, rel_tol=within, abs_tol=within / 1e3)
    else:
        same = type(found) is type(known) and found == known
    return [] if same else [f"{place}: {found!r}, where it was {known!r}"]


@pytest.mark.parametrize("case", CASES)
def test_a_small_training_gives_the_figures_written_down(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = json.loads(FIGURES.read_text(encoding="utf-8"))[case]
    monkeypatch.chdir(tmp_path)
    found = as_json(CASES[case]())
    assert list(found) == list(known)
    wrong = [
        one
        for name in known
        for one in differences(found[name], known[name], name, EXPORTED if name == "exported" else EXACT)
    ]
    assert not wrong, f"{len(wrong)} values differ: " + "; ".join(wrong[:5])


def test_a_difference_is_found() -> None:
    known = {"loss": 1.0, "tokens": [3, 4], "text": "a", "row": {"epoch": 1.0}}
    assert differences(known, known, "", EXACT) == []
    for wrong in ({"loss": 1.0 + 1e-8}, {"loss": 1}, {"tokens": [3]}, {"tokens": [3, 5]}, {"text": "b"}, {"row": {}}):
        assert len(differences(known | wrong, known, "", EXACT)) == 1, wrong
