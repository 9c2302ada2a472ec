"""Running text: files and folders, splits by position, and every fault named."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Text
from lamina.data.text.sources import running_text
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare

WHOLE: dict[str, Any] = {"validation": 0, "test": 0}
LINES = "".join(f"line number {i}\n" for i in range(100))


def text(source: Source, split: str = "train") -> str:
    found = source.splits[split]
    assert isinstance(found, Text)
    return found.text


def opened(path: Path, **options: Any) -> Source:
    return open_source(str(path), options=DataOptions(**{**WHOLE, **options}))


@pytest.mark.parametrize("form", ["plain", "gz", "bom", "crlf", "cr", "folder"])
def test_every_form_says_the_same(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("book.txt.gz" if form == "gz" else "book.txt")
    content = LINES.replace("\n", {"crlf": "\r\n", "cr": "\r"}.get(form, "\n")).encode()
    path.write_bytes(gzip.compress(content) if form == "gz" else b"\xef\xbb\xbf" * (form == "bom") + content)
    source = opened(tmp_path if form == "folder" else path)
    assert (source.spec.kind, source.spec.task, dict(source.spec.sizes)) == (
        "text",
        "language-modelling",
        {"train": len(LINES)},
    )
    assert text(source) == LINES
    assert source.spec.fingerprint == running_text("x", {"train": LINES}, DataOptions()).spec.fingerprint


@given(
    lines=st.lists(st.text(st.sampled_from("ab é\u2028\x0c"), max_size=12), min_size=30, max_size=60).filter(any),
    validation=st.floats(0, 0.3),
    test=st.floats(0, 0.3),
)
def test_the_end_is_set_aside_in_whole_lines(lines: list[str], validation: float, test: float) -> None:
    whole = "\n".join(lines) + "\n"
    options = DataOptions(validation=validation, test=test)
    source = running_text("x", {"train": whole}, options)
    names = ["train", *(["validation"] if validation else []), *(["test"] if test else [])]
    assert list(source.splits) == names
    assert "".join(text(source, name) for name in names) == whole
    assert all(text(source, name) for name in names)
    for name, share in (("validation", validation), ("test", test)):
        if share:
            assert len(text(source, name)) >= share * len(whole) - 1
    if "\n" in text(source)[:-1]:
        assert text(source).endswith("\n")


def test_shares_are_of_characters_and_train_comes_first() -> None:
    source = running_text("x", {"train": LINES}, DataOptions())
    assert text(source) + text(source, "validation") + text(source, "test") == LINES
    longest = len("line number 99\n")
    assert 0 <= len(text(source, "test")) - 0.2 * len(LINES) < longest
    assert 0 <= len(text(source, "validation")) - 0.1 * len(LINES) < longest


def test_one_line_is_cut_anywhere() -> None:
    source = running_text("x", {"train": "a" * 100}, DataOptions(test=0.25, limit=50))
    assert dict(source.spec.sizes) == {"train": 50, "validation": 10, "test": 25}


def test_a_limit_ends_with_a_line(refused: Any) -> None:
    options = DataOptions(limit=40)
    assert text(running_text("x", {"train": LINES}, options)) == "line number 0\nline number 1\n"
    with refused(UsageError, "limit is 9,999", "has only 1,0"):
        running_text("x", {"train": LINES}, DataOptions(limit=9_999))


@pytest.mark.parametrize(
    "names", ["train valid test", "ptb.train ptb.valid ptb.test", "wiki.Train.tokens wiki-dev test"]
)
def test_a_file_for_each_split(tmp_path: Path, names: str) -> None:
    for number, name in enumerate(names.split()):
        (tmp_path / f"{name}.txt").write_text(f"{number}\n" * 30)
    source = open_source(str(tmp_path))
    assert [text(source, name)[0] for name in ("train", "validation", "test")] == ["0", "1", "2"]
    assert set(source.spec.sizes.values()) == {60}
    (tmp_path / f"{names.split()[2]}.txt").unlink()
    assert text(open_source(str(tmp_path)), "test") == "0\n" * 6


def test_several_texts_of_which_none_is_train(tmp_path: Path, refused: Any) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(LINES)
    with refused(UsageError, "several text files", "a.txt"):
        open_source(str(tmp_path))


def test_texts_that_cannot_be_read(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "book.txt"
    for content in (b"", b" \n\t\n", b"\xef\xbb\xbf"):
        path.write_bytes(content)
        with refused(DataError, "book.txt", "is empty"):
            open_source(str(path))
    path.write_bytes("straße\n".encode() * 1000 + "straße\n".encode("latin-1"))
    with refused(DataError, "book.txt", "not UTF-8", f"byte {8 * 1000 + 4}"):
        open_source(str(path))
    path.write_bytes("text".encode("utf-16"))
    with refused(DataError, "book.txt", "not UTF-8", "byte 0"):
        open_source(str(path))
    packed = tmp_path / "book.txt.gz"
    packed.write_bytes(gzip.compress(LINES.encode())[:-20])
    with refused(DataError, "book.txt.gz"):
        open_source(str(packed))
    packed.write_bytes(gzip.compress(b"a" * 10_000))
    with refused(DataError, "book.txt.gz", "more than the 5000 bytes"):
        opened(packed, max_extracted_bytes=5_000)


def test_too_short_to_divide(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "a.txt").write_text("ab")
    with refused(UsageError, "2 characters", "too few"):
        open_source(str(tmp_path / "a.txt"))


def test_a_text_has_no_labels(tmp_path: Path, refused: Any) -> None:
    (tmp_path / "a.txt").write_text(LINES)
    with refused(UsageError, "running text without labels", "not classification"):
        opened(tmp_path / "a.txt", task="classification")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_column_of_text_alone_is_running_text(tmp_path: Path, suffix: str, refused: Any) -> None:
    rows = [f"this is sentence {i}" for i in range(30)]
    path = tmp_path / f"d.{suffix}"
    if suffix == "csv":
        path.write_text("text\n" + "\n".join(rows))
    else:
        path.write_text("\n".join(f'{{"text": "{row}"}}' for row in rows))
    assert text(opened(path)) == "\n".join(rows) + "\n"
    spec = opened(path, task="classification").spec
    assert (spec.kind, spec.task) == ("text", "none")
    assert "one column, 'text', and no column of labels" in spec.hint
    with refused(UsageError, "cannot serve classification", "one column, 'text', and no column of labels"):
        prepare("lstm-classifier", {"data": str(path), "task": "classification"}, dry=True)


def test_a_column_of_several_is_learnt_on_request(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "d.csv"
    path.write_text("title,body\na,NA\nb,null\nc,the end\n")
    assert text(opened(path, task="language-modelling", text="body")) == "NA\nnull\nthe end\n"
    with refused(UsageError, "--text", "title, body"):
        opened(path, task="language-modelling")
    with refused(UsageError, "'bdy'", "did you mean 'body'?"):
        opened(path, task="language-modelling", text="bdy")
