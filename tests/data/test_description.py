"""What ``lamina data`` has to say, as plain data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamina.cli.data import command
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


def test_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\nab\ncab\n" * 10)
    facts = describe(open_source(str(tmp_path / "a.txt"), options=DataOptions(validation=0, test=0)))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert (facts["kind"], facts["task"], facts["sizes"]) == ("text", "language-modelling", {"train": 80})
    assert facts["texts"] == {"train": {"lines": 30, "different_characters": 4}}
    assert facts["example"] == ["ab"]

    rows = [f"{i % 2},good {'x' * i}" for i in range(30)]
    (tmp_path / "b.csv").write_text("label,text\n" + "\n".join(rows))
    facts = describe(open_source(str(tmp_path / "b.csv"), options=DataOptions(validation=0, test=0)))
    assert facts["classes"] == {"0": {"train": 15}, "1": {"train": 15}}
    assert facts["texts"] == {"train": {"median_characters": 20, "longest_characters": 34}}

    facts = describe(open_source("territories", options=DataOptions(validation=0, test=0)))
    assert facts["languages"] == ["de", "en"]
    assert set(facts["texts"]["train"]) == {
        f"{of}_characters_{language}" for of in ("median", "longest") for language in ("de", "en")
    }
    assert len(facts["example"]) == 2


def test_the_command_line_shows_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("one line\n" * 30)
    assert command([str(tmp_path / "a.txt"), "--test", "0"]) == 0
    shown = capsys.readouterr().out
    for words in ("language-modelling", "train 243, validation 27", "different characters", "one line"):
        assert words in shown
    command(["territories", "--languages", "fr,en"])
    shown = capsys.readouterr().out
    for words in ("fr to en", "longest characters fr", " -> "):
        assert words in shown
