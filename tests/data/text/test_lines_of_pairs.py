"""Lines that belong together are counted alike: they end at a newline, and at nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Pairs

COUNT = 61
WHOLE = DataOptions(validation=0.0, test=0.0)


def pairs(source: Source) -> Pairs:
    found = source.splits["train"]
    assert isinstance(found, Pairs)
    return found


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("inside", ["\r", "\x0b", "\x0c", "\u2028", "\x85"])
def test_another_line_break_inside_a_line_shifts_nothing(tmp_path: Path, inside: str, end: str) -> None:
    german = [f"Satz {i}" + (f" mit{inside}mehr" if i == 12 else "") for i in range(COUNT)]
    english = [f"sentence {i}" for i in range(COUNT)]
    (tmp_path / "train.de").write_bytes((end.join(german) + end).encode())
    (tmp_path / "train.en").write_bytes((end.join(english) + end).encode())
    found = pairs(open_source(str(tmp_path), options=WHOLE))
    assert len(found) == COUNT
    assert all(one.split()[1] == two.split()[1] for one, two in zip(found.sources, found.texts, strict=True))


def test_in_a_file_of_tabs_as_well(tmp_path: Path) -> None:
    lines = [f"Der Satz {i}{chr(13) if i == 5 else ''} hier\tthe sentence {i} here" for i in range(COUNT)]
    (tmp_path / "pairs.txt").write_bytes("\n".join(lines).encode())
    found = pairs(open_source(str(tmp_path / "pairs.txt"), options=WHOLE))
    assert len(found) == COUNT
    assert found.texts[40] == "the sentence 40 here"
    assert found.sources[40] == "Der Satz 40 hier"


def test_files_of_src_and_tgt_are_pairs(tmp_path: Path) -> None:
    for split, count in (("train", 30), ("val", 5), ("test", 4)):
        (tmp_path / f"src-{split}.txt").write_text("".join(f"ein Satz {i}\n" for i in range(count)))
        (tmp_path / f"tgt-{split}.txt").write_text("".join(f"a sentence {i}\n" for i in range(count)))
    source = open_source(str(tmp_path))
    assert source.spec.task == "translation"
    assert source.spec.languages == ("src", "tgt")
    assert dict(source.spec.sizes) == {"train": 30, "validation": 5, "test": 4}
    found = pairs(source)
    assert (found.sources[3], found.texts[3]) == ("ein Satz 3", "a sentence 3")


def test_running_text_still_ends_its_lines_at_each_of_them(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(b"one\rtwo\r\nthree\n" * 40)
    text = open_source(str(tmp_path / "old.txt"), options=WHOLE).splits["train"]
    assert text.text.count("\n") == 120  # type: ignore[attr-defined]
