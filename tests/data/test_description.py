"""What ``lamina data`` has to say, as plain data."""

from __future__ import annotations

import json
from pathlib import Path

from lamina.data.description import describe
from lamina.data.opening import open_source
from lamina.data.options import DataOptions


def test_images() -> None:
    facts = describe(open_source("digits"))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["sizes"] == {"train": 1258, "validation": 180, "test": 359}
    counts = facts["classes"]["3"]
    assert sum(counts.values()) == 183
    assert counts["validation"] == 18
    assert (facts["channels"], facts["height"], facts["width"], facts["value_range"]) == (1, 8, 8, [0, 255])
    assert facts["fingerprint"]
    assert facts["licence"]


def test_tables_and_several_targets(tmp_path: Path) -> None:
    rows = [f"{i},{'' if i == 3 else i / 2},{'uvw'[i % 3] if i else ''},,{i},{-i}" for i in range(20)]
    (tmp_path / "d.csv").write_text("a,b,c,d,p,q\n" + "\n".join(rows))
    source = open_source(str(tmp_path / "d.csv"), options=DataOptions(target=("p", "q"), validation=0, test=0))
    facts = describe(source)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["columns"] == [
        {"name": "a", "kind": "numeric", "missing": 0, "min": 0, "max": 19},
        {"name": "b", "kind": "numeric", "missing": 1, "min": 0, "max": 9.5},
        {"name": "c", "kind": "categorical", "missing": 1, "categories": 3},
        {"name": "d", "kind": "numeric", "missing": 20},
    ]
    assert facts["target_range"] == {"train": {"p": [0, 19], "q": [-19, 0]}}


def test_labels_are_counted_each(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,label\n" + "".join(f"{i},{('x|y', 'y', 'z')[i % 3]}\n" for i in range(12)))
    facts = describe(open_source(str(tmp_path / "d.csv"), options=DataOptions(validation=0, test=0)))
    assert facts["classes"] == {"x": {"train": 4}, "y": {"train": 8}, "z": {"train": 4}}
