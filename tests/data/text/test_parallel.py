"""Parallel text: files of one language each, splits without leaks, archives."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Pairs
from lamina.data.text.sources import pairs_source
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare


def pairs(source: Source, split: str = "train") -> Pairs:
    found = source.splits[split]
    assert isinstance(found, Pairs)
    return found


def write(folder: Path, stem: str, count: int, *, packed: bool = False, languages: str = "de en") -> None:
    for language in languages.split():
        content = "".join(f"{stem} {language} {i}\x0b\u2028\n" for i in range(count)).encode()
        path = folder / f"{stem}.{language}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("names", ["train val test", "train valid test_2016", "train dev test.b"])
def test_a_file_for_each_split_and_language(tmp_path: Path, packed: bool, names: str) -> None:
    for stem, count in zip(names.split(), (9, 4, 5), strict=True):
        write(tmp_path, stem, count, packed=packed)
    write(tmp_path, "test_2018", 7)
    (tmp_path / "README.md").write_text("about")
    source = open_source(str(tmp_path))
    spec = source.spec
    assert (spec.kind, spec.task, spec.languages) == ("text", "translation", ("de", "en"))
    test = names.split()[2]  # before test_2018 by name
    assert dict(spec.sizes) == {"train": 9, "validation": 4, "test": 5}
    # newlines alone part the lines, whatever else a line may hold
    assert pairs(source).sources[3] == "train de 3\x0b\u2028"
    assert pairs(source, "test").texts[0].startswith(f"{test} en 0")
    turned = open_source(str(tmp_path), options=DataOptions(languages=("en", "de")))
    assert turned.spec.languages == ("en", "de")
    assert pairs(turned).sources == pairs(source).texts
    assert turned.spec.fingerprint != spec.fingerprint


def test_in_an_archive(tmp_path: Path) -> None:
    write(tmp_path, "train", 30)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("corpus")
        for language in ("de", "en"):
            archive.write(tmp_path / f"train.{language}", f"corpus/train.{language}")
    assert sum(open_source(str(tmp_path / "a.zip")).spec.sizes.values()) == 30


def test_the_only_text_with_tabs_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "fra-eng.zip", "w") as archive:
        archive.writestr("_about.txt", "Where it comes from\nand when\n")
        archive.writestr("fra.txt", "".join(f"Go {i}.\tVa {i} !\n" for i in range(30)))
    source = open_source(str(tmp_path / "fra-eng.zip"), options=DataOptions(validation=0, test=0))
    assert (source.spec.languages, pairs(source).texts[7]) == (("first", "second"), "Va 7 !")


def test_languages(tmp_path: Path, refused: Any) -> None:
    write(tmp_path, "train", 30, languages="fr de en_GB")
    with refused(UsageError, "--languages", "de, en_GB, fr"):
        open_source(str(tmp_path))
    with refused(UsageError, "unknown language 'en'", "known: de, en_GB, fr"):
        open_source(str(tmp_path), options=DataOptions(languages=("de", "en")))
    source = open_source(str(tmp_path), options=DataOptions(languages=("de", "fr")))
    assert source.spec.languages == ("de", "fr")
    write(tmp_path, "val", 5, languages="fr en_GB")
    with refused(DataError, "validation", "fr", "none in de"):
        open_source(str(tmp_path), options=DataOptions(languages=("de", "fr")))
    for wrong in (("de",), ("de", "de"), ("de", "en", "fr")):
        with refused(UsageError, "languages must be two"):
            DataOptions(languages=wrong)


def test_another_task(tmp_path: Path, refused: Any) -> None:
    write(tmp_path, "train", 30)
    with refused(UsageError, "pairs of texts", "not classification"):
        open_source(str(tmp_path), options=DataOptions(task="classification"))
    with refused(UsageError, "lenet5", "classification", "not for translation"):
        prepare("lenet5", {"data": "digits", "task": "translation"}, dry=True)
    with refused(UsageError, "seq2seq", "takes text data, but 'digits' is image data"):
        prepare("seq2seq", {"data": "digits", "task": "translation"}, dry=True)


def test_files_of_different_length(tmp_path: Path, refused: Any) -> None:
    write(tmp_path, "train", 1_234)
    with (tmp_path / "train.en").open("a") as file:
        file.write("one more\n")
    with refused(DataError, "train.de' has 1,234 lines", "train.en' 1,235"):
        open_source(str(tmp_path))


def test_empty_lines_and_bytes_that_are_not_utf8(tmp_path: Path, refused: Any) -> None:
    write(tmp_path, "train", 30)
    lines = (tmp_path / "train.en").read_text().split("\n")
    (tmp_path / "train.en").write_text("\n".join([*lines[:4], " ", *lines[5:]]))
    with refused(DataError, "train.en, line 5", "text is empty"):
        open_source(str(tmp_path))
    source = open_source(str(tmp_path), options=DataOptions(skip_bad=True, validation=0, test=0))
    assert source.spec.skipped == ("1 pairs with an empty text",)
    assert len(pairs(source)) == 29
    assert not any("de 4" in text for text in pairs(source).sources)
    (tmp_path / "train.de").write_bytes(b"gut\nsch\xf6n\n")
    with refused(DataError, "train.de", "not UTF-8", "byte 7"):
        open_source(str(tmp_path))
    (tmp_path / "train.de").write_bytes(b"")
    with refused(DataError, "train.de", "is empty"):
        open_source(str(tmp_path))


def test_equal_sources_stay_in_one_split() -> None:
    sources = tuple(f"word {i % 37} {i % 3}" for i in range(400))  # 111 different ones
    whole = Pairs(sources, tuple(f"text {i}" for i in range(400)))
    source = pairs_source("x", {"train": whole}, ("a", "b"), DataOptions())
    seen = {name: set(pairs(source, name).sources) for name in source.splits}
    assert seen["train"] | seen["validation"] | seen["test"] == set(sources)
    assert sum(map(len, seen.values())) == 111
    assert sum(source.spec.sizes.values()) == 400
    assert 40 <= source.spec.sizes["validation"] < 44
    assert 80 <= source.spec.sizes["test"] < 84
    for name in source.splits:  # each still beside its own
        part = pairs(source, name)
        assert all(sources[int(text.split()[1])] == own for own, text in zip(part.sources, part.texts, strict=True))
    other = pairs_source("x", {"train": whole}, ("a", "b"), DataOptions(split_seed=1))
    assert set(pairs(other, "test").sources) != seen["test"]
    limited = pairs_source("x", {"train": whole}, ("a", "b"), DataOptions(limit=50))
    assert len(pairs(limited)) == 50
    assert pairs(limited, "test") == pairs(source, "test")


def test_too_few_pairs(refused: Any) -> None:
    few = {"train": Pairs(("a", "b"), ("c", "d"))}
    with refused(UsageError, "2 samples", "too few"):
        pairs_source("x", few, ("a", "b"), DataOptions())
    same = {"train": Pairs(("a",) * 9, tuple("bcdefghij"))}
    with refused(UsageError, "9 samples", "equal"):
        pairs_source("x", same, ("a", "b"), DataOptions())
    with refused(UsageError, "limit is 3", "has only 2 training samples"):
        pairs_source("x", few, ("a", "b"), DataOptions(validation=0, test=0, limit=3))
