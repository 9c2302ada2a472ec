"""The door of data, fuzzed: parallel text and folders of images drawn at random are read as they were written, or the
refusal names the line or file and an option that then reads the rest right."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lamina.data.image.decoding import decode
from lamina.data.image.samples import ImageFiles
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Pairs
from lamina.errors import DataError

EXAMPLES = 300
PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
WHOLE: dict[str, Any] = {"validation": 0.0, "test": 0.0}


@pytest.fixture(scope="module")
def home() -> Iterator[Callable[[], Path]]:
    """Makes an empty folder."""
    with TemporaryDirectory() as folder:
        numbers = count()

        def make() -> Path:
            path = Path(folder, str(next(numbers)), "data")
            path.mkdir(parents=True)
            return path

        yield make


# ---------------------------------------------------------------------------------------------------- parallel text

SENTENCE = st.text(st.sampled_from("abZ é中ß.,;'\"\\|#%\r\r\x0b\x0c\x1c\u2028\x85\xa0\u3000"), max_size=9)
ALIGNED = [
    ("train.{}", "de", "en"), ("corpus.{}", "fr", "zh"), ("train.tok.bpe.32000.{}", "de", "en"),
    ("train.{}.txt", "cs", "en"), ("europarl-v7.fr-en.{}", "fr", "en"),
    ("{}-train.txt", "src", "tgt"), ("train.{}", "source", "target"),
]  # fmt: skip


@dataclass(frozen=True)
class Parallel:
    """Pairs, and the form in which they are written."""

    pairs: list[tuple[str, str]]
    blanks: dict[int, int]
    """row: the side that is blank, 2 for both"""
    missing: int
    """lines that the second file lacks; for lines with tabs, the row whose tab is missing"""
    names: tuple[str, str, str]
    form: int
    """columns of a file of tabs; 0: two files"""
    suffix: str
    end: str
    packed: str
    mark: str
    after: int
    """blank lines at the end"""
    final: bool
    """whether the last line is ended"""


@st.composite
def parallels(draw: st.DrawFn) -> Parallel:
    sentences = draw(st.lists(SENTENCE, min_size=8, max_size=14))
    rows = list(zip(sentences[::2], sentences[1::2], strict=False))
    form = draw(st.sampled_from([0, 0, 0, 2, 3, 4]))
    blanks = draw(st.dictionaries(st.integers(0, len(rows) - 2), st.integers(0, 1), max_size=1))
    return Parallel(
        pairs=[(f"w{k}{a}{k}", f"v{k}{b}{k}") for k, (a, b) in enumerate(rows)],
        blanks=blanks,
        missing=draw(st.sampled_from([0, 0, 0, 1, 2])),
        names=draw(st.sampled_from(ALIGNED)),
        form=form,
        suffix=draw(st.sampled_from([".txt", ".tsv"])),
        end=draw(st.sampled_from(["\n", "\r\n"])),
        packed=draw(st.sampled_from(["", "", ".gz", ".bz2", ".xz"])),
        mark=draw(st.sampled_from(["", "\ufeff"])),
        after=draw(st.integers(0, 2)),
        final=draw(st.booleans()),
    )


def encoded(case: Parallel, lines: list[str]) -> bytes:
    lines = [*lines, *[""] * case.after]
    text = case.mark + case.end.join(lines) + (case.end if case.final else "")
    return PACK[case.packed](text.encode())


def written(case: Parallel, folder: Path) -> tuple[Path, list[tuple[str, str]], list[str]]:
    """Where the data are, the pairs that are whole, and what a refusal must name: empty without a fault."""
    sides = [[row[side] for row in case.pairs] for side in (0, 1)]
    for row, side in case.blanks.items():
        sides[side][row] = " "
    whole = [pair for row, pair in enumerate(case.pairs) if row not in case.blanks]
    if not case.form:
        template, first, second = case.names
        paths = [folder / (template.format(language) + case.packed) for language in (first, second)]
        faults = [f"{paths[side].name}, line {row + 1}" for row, side in case.blanks.items()]
        if case.missing:
            case = replace(case, after=0)  # a blank line in the place of one that is missing is an empty text
            sides[1] = sides[1][: -case.missing]
            faults = [f"line {len(sides[1]) + 1} of '{paths[0].name}' has no partner"]
        for path, side in zip(paths, sides, strict=True):
            path.write_bytes(encoded(case, side))
        return folder, whole, faults
    path = folder / f"pairs{case.suffix}{case.packed if case.suffix == '.txt' else ''}"
    case = case if case.suffix == ".txt" else replace(case, packed="")
    forms = {
        2: lambda a, b, k: f"{a}\t{b}",
        3: lambda a, b, k: f"{a}\t{b}\tCC-BY {k}",
        4: lambda a, b, k: f"{k}\t{a}\t{900 + k}\t{b}",
    }
    lines = [forms[case.form](a, b, k) for k, (a, b) in enumerate(zip(*sides, strict=True))]
    faults = [f"{path.name}, line {row + 1}" for row in case.blanks]
    if case.missing:
        row = case.missing
        lines[row] = "no tab at all"
        whole = [pair for k, pair in enumerate(case.pairs) if k not in case.blanks and k != row]
        faults = [f"{path.name}', line {row + 1}"]
    path.write_bytes(encoded(case, lines))
    return path, whole, faults


def pairs_of(source: Source) -> list[tuple[str, str]]:
    part = source.splits["train"]
    assert isinstance(part, Pairs)
    return list(zip(part.sources, part.texts, strict=True))


@settings(max_examples=EXAMPLES)
@given(case=parallels())
def test_parallel_text_is_read_as_it_was_written(home: Callable[[], Path], case: Parallel) -> None:
    path, whole, faults = written(case, home())
    options: dict[str, Any] = {**WHOLE, "task": "translation"}
    if not faults:
        assert pairs_of(open_source(str(path), options=DataOptions(**options))) == whole
        return
    with pytest.raises(DataError) as caught:
        open_source(str(path), options=DataOptions(**options))
    assert any(fault in str(caught.value) for fault in faults)
    if case.form or not case.missing:
        assert "--skip-bad" in str(caught.value)
        assert pairs_of(open_source(str(path), options=DataOptions(**options, skip_bad=True))) == whole


# ---------------------------------------------------------------------------------------------------- folders of images

NAME = st.text(st.sampled_from("abcXYZ éß中_ -.'1"), min_size=1, max_size=8).map(lambda name: f"c{name}".strip())
SUFFIXES = (".png", ".PNG", ".jpg", ".JpEg", ".bmp", ".tiff", ".webp", ".gif")
STRANGERS = ("Thumbs.db", "desktop.ini", ".DS_Store", "README.txt", ".hidden.png", "notes.md", "._0.png", "labels")


@cache
def picture(suffix: str, shade: int) -> bytes:
    """An image of one shade."""
    file = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".tiff": "TIFF"}.get(suffix.lower(), suffix[1:].upper())
    Image.fromarray(np.full((4, 4), shade, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


@dataclass(frozen=True)
class Photos:
    """Images by split and class: their names; and what else there is."""

    layout: str
    images: dict[str, dict[str, list[str]]]
    around: str
    """folders around it"""
    strangers: list[str] = field(default_factory=list)
    empty: bool = False
    bad: str = ""
    """contents of an unreadable file: "", "empty", "text" or "cut" """
    surplus: bool = False
    """whether test has a class that train lacks"""


@st.composite
def photos(draw: st.DrawFn) -> Photos:
    names = draw(
        st.lists(NAME, min_size=2, max_size=3, unique_by=lambda name: unicodedata.normalize("NFKC", name).casefold())
    )
    layout = draw(st.sampled_from(["flat", "splits", "parts", "within"]))
    files = st.lists(
        st.builds(lambda stem, nested, suffix: f"{nested}{stem}{suffix}", st.sampled_from(["0", "b c", "ü", "x.y"]),
                  st.sampled_from(["", "", "deep/", "a/b/"]), st.sampled_from(SUFFIXES)),
        min_size=1, max_size=3, unique_by=str.casefold,
    )  # fmt: skip
    splits = ["train"] if layout == "flat" else ["train", draw(st.sampled_from(["test", "val", "dev", "Valid"]))]
    images = {split: {name: draw(files) for name in names} for split in splits}
    if layout in ("splits", "parts") and draw(st.booleans()):
        images[splits[1]] = {names[0]: images[splits[1]][names[0]]}
    return Photos(
        layout=layout,
        images=images,
        around=draw(st.sampled_from(["", "download/", "a/b/"])),
        strangers=draw(st.lists(st.sampled_from(STRANGERS), max_size=3, unique=True)),
        empty=draw(st.sampled_from([False, False, True])) and layout != "within",
        bad=draw(st.sampled_from(["", "", "", "empty", "text", "cut"])),
        surplus=layout == "splits" and draw(st.sampled_from([False, False, True])),
    )


def place(case: Photos, split: str, label: str) -> str:
    folder = {
        "flat": label,
        "splits": f"{split}/{label}",
        "parts": f"set-{split}/{label}",
        "within": f"{label}/{split}",
    }
    return case.around + folder[case.layout]


def laid_out(case: Photos, root: Path) -> tuple[dict[str, set[tuple[str, str, int]]], list[str]]:
    """By split the class, name and shade of each image; and the faults that a refusal names."""
    shade, found, faults = 3, {}, []
    for split, classes in case.images.items():
        found[split.casefold()] = set()
        for label, names in classes.items():
            for name in names:
                shade += 1
                path = root / place(case, split, label) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(path.suffix, shade))
                found[split.casefold()].add((label, path.relative_to(root).as_posix(), shade))
            for name in case.strangers:
                (root / place(case, split, label) / name).write_bytes(b"strange")
    label = next(iter(case.images["train"]))
    if case.empty:
        (root / place(case, "train", "zz empty")).mkdir(parents=True)
        faults.append("zz empty")
    if case.bad:
        whole = picture(".png", 9)
        content = {"empty": b"", "text": b"no picture", "cut": whole[: len(whole) - 30]}[case.bad]
        (root / place(case, "train", label) / "bad.png").write_bytes(content)
        faults.append("bad.png")
    if case.surplus:
        other = list(case.images)[1]
        path = root / place(case, other, "zz surplus") / "0.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(picture(".png", 9))
        faults.append("zz surplus")
    return found, faults


def split_name(split: str) -> str:
    return {"val": "validation", "valid": "validation", "dev": "validation"}.get(split, split)


def images_of(source: Source, root: Path) -> dict[str, set[tuple[str, str, int]]]:
    found = {}
    for split, part in source.splits.items():
        assert isinstance(part, ImageFiles)
        assert part.targets is not None
        found[split] = set()
        for path, target in zip(part.paths, part.targets.tolist(), strict=True):
            assert isinstance(path, Path)
            value = int(decode(path, 1).float().mean().round())
            found[split].add((source.spec.classes[target], path.relative_to(root).as_posix(), value))
    return found


@settings(max_examples=EXAMPLES)
@given(case=photos())
def test_folders_of_images_are_read_as_they_were_written(home: Callable[[], Path], case: Photos) -> None:
    root = home()
    found, faults = laid_out(case, root)
    expected = {split_name(split): rows for split, rows in found.items()}
    if faults:
        with pytest.raises(DataError) as caught:  # the header of a file can be sound where its pixels are not
            images_of(open_source(str(root), options=DataOptions(**WHOLE)), root)
        assert any(fault in str(caught.value) for fault in faults)
        assert "--skip-bad" in str(caught.value) or case.bad == "cut"
    source = open_source(str(root), options=DataOptions(**WHOLE, skip_bad=bool(faults)))
    assert source.spec.classes == tuple(sorted(case.images["train"]))
    read = images_of(source, root)
    assert {split: {row[:2] for row in rows} for split, rows in read.items()} == {
        split: {row[:2] for row in rows} for split, rows in expected.items()
    }
    shades = {name: shade for rows in expected.values() for _, name, shade in rows}
    assert all(abs(value - shades[name]) <= 2 for rows in read.values() for _, name, value in rows)
    assert all(any(fault in note for note in source.spec.skipped) for fault in faults)


# ---------------------------------------------------------------------------------------------------- bounds


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read as on Unix")
@pytest.mark.parametrize("suffix", [".png", ".txt"])
def test_twenty_thousand_names_are_read_with_little_memory(tmp_path: Path, suffix: str) -> None:
    """Peak memory of the process, of which these files may add 300 MB; the tests' own limit of time is far above the
    two seconds that they take."""
    import resource

    one = tmp_path / f"one{suffix}"
    one.write_bytes(picture(".png", 7) if suffix == ".png" else b"a few words")
    for label in range(20):
        (tmp_path / "many" / f"class {label:02}").mkdir(parents=True)
        for number in range(1000):
            os.link(one, tmp_path / "many" / f"class {label:02}" / f"{number}{suffix}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = open_source(str(tmp_path / "many"), options=DataOptions(**WHOLE))
    assert source.spec.sizes == {"train": 20_000}
    assert source.splits["train"].targets.bincount().tolist() == [1000] * 20  # type: ignore[attr-defined]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
    shutil.rmtree(tmp_path / "many")
