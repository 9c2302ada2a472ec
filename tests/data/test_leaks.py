"""What makes a test easier than new data is noted: samples that are in train, too, and columns that are the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lamina.data.opening import open_source
from lamina.data.options import DataOptions, EvaluationOptions

ROWS = 90
DRAWN = np.random.default_rng(0)
X = DRAWN.normal(size=ROWS)
KIND = DRAWN.integers(0, 3, ROWS)
PRICE = DRAWN.normal(size=ROWS) * 50 + 300


def notes(folder: Path, options: DataOptions | None = None, **columns: Any) -> list[str]:
    pd.DataFrame(columns).to_csv(folder / "data.csv", index=False)
    return list(open_source(str(folder / "data.csv"), options=options).spec.notes)


SPLIT = ["train"] * 60 + ["validation"] * 10 + ["test"] * 20


def test_equal_rows_are_counted(tmp_path: Path) -> None:
    x = X.copy()
    x[70:75], x[60] = x[0:5], x[7]
    kind = KIND.copy()
    kind[70:75], kind[60] = kind[0:5], kind[7]
    (note,) = notes(tmp_path, x=x, label=kind, split=SPLIT)[1:]
    assert note.startswith("1 of 10 validation samples and 5 of 20 test samples equal one in train")
    assert "--group" in note
    kind[70] = (kind[70] + 1) % 3  # of another class: no equal row
    assert "4 of 20 test samples" in notes(tmp_path, x=x, label=kind, split=SPLIT)[1]
    assert len(notes(tmp_path, x=X, label=KIND, split=SPLIT)) == 1
    twice = notes(tmp_path, x=np.repeat(X[:45], 2), label=np.repeat(KIND[:45], 2))  # drawn by us
    assert any("test samples equal one in train" in note for note in twice)
    grouped = DataOptions(group="who")
    apart = notes(tmp_path, grouped, x=np.repeat(X[:45], 2), label=np.repeat(KIND[:45], 2), who=np.repeat(range(45), 2))
    assert apart == []
    evaluated = EvaluationOptions.of(DataOptions(), "auto")
    assert not any("equal" in note for note in notes(tmp_path, evaluated, x=x, label=kind, split=SPLIT))


def test_equal_texts_pairs_and_pictures(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    texts = [f"this is text number {i}" for i in range(ROWS)]
    texts[80] = texts[3]
    label = [i % 2 for i in range(ROWS)]
    label[80] = label[3]
    assert "1 of 20 test samples" in notes(tmp_path, text=texts, label=label, split=SPLIT)[1]
    translation = DataOptions(languages=("de", "text"))
    assert (
        "1 of 20 test"
        in notes(tmp_path, translation, text=texts, de=[f"x{label[i]}" for i in range(ROWS)], split=SPLIT)[1]
    )

    root = image_folder({"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2})
    assert open_source(str(root)).spec.notes == ()
    (root / "test/a/0.png").write_bytes((root / "train/a/1.png").read_bytes())
    (root / "test/b/0.png").write_bytes((root / "train/a/1.png").read_bytes())  # of another class
    (note,) = open_source(str(root), options=DataOptions(validation=0)).spec.notes
    assert note.startswith("1 of 4 test samples")
    images = DRAWN.integers(0, 255, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:6], y_test=labels[:6])
    (note,) = open_source(str(tmp_path / "a.npz"), options=DataOptions(validation=0)).spec.notes
    assert note.startswith("6 of 6 test samples")


@pytest.mark.parametrize(
    ("leak", "target"),
    [
        (KIND * 2.5 + 1, KIND),
        (KIND + DRAWN.uniform(0, 0.9, ROWS), KIND),
        (np.array(["no", "yes", "maybe"])[KIND], KIND),
        (np.array([2, 0, 1])[KIND], KIND),
        (np.where(KIND > 0, X, np.nan), (KIND > 0).astype(int)),  # known only where the answer is yes
        (PRICE * 1.17, PRICE),
        (np.log(PRICE), PRICE),
        (-3 * PRICE + 7, PRICE),
    ],
)
def test_a_column_that_is_the_target_is_noted(tmp_path: Path, leak: Any, target: Any) -> None:
    (note,) = [one for one in notes(tmp_path, x=X, leak=leak, target=target) if "alone determines" in one]
    assert note.startswith("column 'leak' alone determines the target in all 63 training rows")
    assert "--drop 'leak'" in note


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (KIND + DRAWN.uniform(0, 1.2, ROWS), KIND),
        (PRICE + DRAWN.normal(size=ROWS), PRICE),
        ([f"name {i}" for i in range(ROWS)], KIND),  # each value once: it would determine anything
        ([f"city {i // 3}" for i in range(ROWS)], [i // 3 % 2 for i in range(ROWS)]),
        (np.round(X, 1), KIND),
    ],
)
def test_what_is_no_leak_is_not(tmp_path: Path, column: Any, target: Any) -> None:
    assert not any("alone determines" in one for one in notes(tmp_path, x=X, column=column, target=target))
    assert not any("alone" in one for one in notes(tmp_path, column=2 * PRICE, target=PRICE))  # the only input


def test_few_rows_prove_nothing(tmp_path: Path) -> None:
    assert not notes(tmp_path, x=X[:20], z=range(0, 40, 2), target=[0] * 10 + [1] * 10)
