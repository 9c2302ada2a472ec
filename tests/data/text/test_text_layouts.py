"""Texts in the files that the field's data sets come in."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare

WHOLE: dict[str, Any] = {"validation": 0.0, "test": 0.0}
GERMAN = [f"Dies ist der Satz {i}" for i in range(30)]
ENGLISH = [f"this is sentence {i}" for i in range(30)]
PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def opened(path: Path, **options: Any) -> Source:
    return open_source(str(path), options=DataOptions(**{**WHOLE, **options}))


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes(PACK[path.suffix if path.suffix in PACK else ""]("".join(line + end for line in lines).encode()))
    return path


def pairs(source: Source, split: str = "train") -> list[tuple[str, str]]:
    part = source.splits[split]
    assert isinstance(part, Pairs)
    return list(zip(part.sources, part.texts, strict=True))


@pytest.mark.parametrize(
    "names",
    [
        ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"),
        ("wiki.train.raw", "wiki.valid.raw", "wiki.test.raw"),
        ("train.txt.bz2", "dev.txt.xz", "test.TXT"),
    ],
)
def test_running_text_of_a_folder(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write(tmp_path / name, [f" = {name} = ", "", " a <unk> b @-@ c "] * 20)
    (tmp_path / "README.txt").write_text("about")
    source = opened(tmp_path)
    for split, name in zip(("train", "validation", "test"), names, strict=True):
        part = source.splits[split]
        assert isinstance(part, Text)
        assert part.text == f" = {name} = \n\n a <unk> b @-@ c \n" * 20


@pytest.mark.parametrize("name", ["wiki.train.tokens", "text8", "book.txt"])
def test_one_file_of_running_text(tmp_path: Path, name: str) -> None:
    part = opened(write(tmp_path / name, ENGLISH)).splits["train"]
    assert isinstance(part, Text)
    assert part.text == "".join(f"{line}\n" for line in ENGLISH)


def test_two_texts_of_train_are_not_guessed(tmp_path: Path, refused: Any) -> None:
    for name in ("train_labels.txt", "train_texts.txt"):
        write(tmp_path / name, ENGLISH)
    with refused(UsageError, "several text files of train", "train_labels.txt", "train_texts.txt"):
        opened(tmp_path)
    write(tmp_path / "train.txt", GERMAN)
    part = opened(tmp_path).splits["train"]
    assert isinstance(part, Text)
    assert part.text.startswith(GERMAN[0])


# ---------------------------------------------------------------------------------------------------- labelled lines


def labels(source: Source, split: str = "train") -> list[tuple[str, tuple[str, ...]]]:
    part = source.splits[split]
    assert isinstance(part, Texts)
    assert part.targets is not None
    names = source.spec.classes
    if source.spec.task == "multilabel":
        rows = [tuple(names[k] for k in row.nonzero()[:, 0].tolist()) for row in part.targets]
    else:
        rows = [(names[k],) for k in part.targets.tolist()]
    return list(zip(part.texts, rows, strict=True))


FAST = [f"__label__{'pos' if i % 2 else 'very-neg'} film number {i} , with a __dunder__ and labels" for i in range(20)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["reviews.txt", "cooking.train", "train.ft.txt.bz2"])
def test_one_label_a_line(tmp_path: Path, name: str, end: str) -> None:
    source = opened(write(tmp_path / name, [*FAST[:7], "", *FAST[7:], ""], end))
    assert (source.spec.task, source.spec.classes) == ("classification", ("pos", "very-neg"))
    expected = [(line.split(maxsplit=1)[1], (line.split()[0].removeprefix("__label__"),)) for line in FAST]
    assert labels(source) == expected
    assert prepare("lstm-classifier", {"data": str(tmp_path / name), "batch_size": 4}, dry=True).parts.kind is not None


def test_several_labels_and_splits_by_suffix(tmp_path: Path, refused: Any) -> None:
    """fastText's cooking.train and cooking.valid; a label may stand anywhere."""
    lines = ["__label__b __label__a oven at 200", "__label__c __label__b knife __label__a here", "__label__a\tpan"] * 6
    write(tmp_path / "cooking.train", lines)
    write(tmp_path / "cooking.valid", lines[:4])
    write(tmp_path / "readme.txt", ["Cooking"])
    source = opened(tmp_path)
    assert source.spec.task == "multilabel"
    assert dict(source.spec.sizes) == {"train": 18, "validation": 4}
    expected = [("oven at 200", ("a", "b")), ("knife here", ("a", "b", "c")), ("pan", ("a",))]
    assert labels(source)[:3] == labels(source, "validation")[:3] == expected
    with refused(UsageError, "cooking.train, line 1", "several labels", "--task multilabel"):
        opened(tmp_path, task="classification")


def test_faults_of_labelled_lines(tmp_path: Path, refused: Any) -> None:
    path = write(tmp_path / "a.txt", [*FAST[:5], "no label here", *FAST[5:], "__label__pos  "])
    with refused(DataError, "a.txt', line 6", "no label", "--skip-bad"):
        opened(path)
    source = opened(path, skip_bad=True)
    assert len(source.splits["train"]) == 20
    assert source.spec.skipped == ("2 lines without a label or a text",)
    part = opened(path, task="language-modelling").splits["train"]
    assert isinstance(part, Text)
    assert part.text.startswith("__label__")
    with refused(UsageError, "without labels", "__label__NAME"):
        opened(write(tmp_path / "b.txt", ENGLISH), task="classification")
    only = opened(write(tmp_path / "c.txt", FAST), task="multilabel").splits["train"]
    assert isinstance(only, Texts)
    assert only.targets is not None
    assert torch.equal(only.targets.sum(1), torch.ones(20))


# ---------------------------------------------------------------------------------------------------- parallel text

ALIGNED: Mapping[str, tuple[dict[str, str], tuple[str, str]]] = {
    "moses": ({"train": "corpus.{}"}, ("de", "en")),
    "europarl": ({"train": "europarl-v7.de-en.{}"}, ("de", "en")),
    "bpe": (
        {"train": "train.tok.clean.bpe.32000.{}", "validation": "newsdev2016.tok.bpe.32000.{}",
         "test": "newstest2014.tok.bpe.32000.{}"},
        ("de", "en"),
    ),
    "iwslt": ({"train": "train.{}", "test": "tst2013.{}"}, ("de", "en")),
    "opennmt": ({"train": "src-train.txt", "validation": "src-val.txt"}, ("src", "tgt")),
    "bart": ({"train": "train.{}", "validation": "val.{}"}, ("source", "target")),
    "txt": ({"train": "train.{}.txt", "test": "test_{}.txt"}, ("de", "en")),
    "packed": ({"train": "train.{}.xz", "test": "test.{}.gz"}, ("de_AT", "en_GB")),
    "capitals": ({"train": "Train.{}", "test": "TEST.{}"}, ("DE", "EN")),
}  # fmt: skip


@pytest.mark.parametrize("case", ALIGNED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_two_languages(tmp_path: Path, case: str, end: str) -> None:
    names, languages = ALIGNED[case]
    for number, (split, name) in enumerate(names.items()):
        for language, lines in zip(languages, (GERMAN, ENGLISH), strict=True):
            file = name.format(language) if "{}" in name else name.replace("src", language)
            write(tmp_path / file, [f"{split} {line}" for line in lines[number:]], end)
    for other in ("vocab.de", "vocab.en", "vocab.bpe.32000", "README", "LICENSE", "dict.en-de"):
        write(tmp_path / other, ["x", "y"])
    write(tmp_path / "europarl-v7.de-en.ids", ["1"] * 30)
    source = opened(tmp_path)
    assert source.spec.languages == languages
    assert list(source.splits) == list(names)
    for number, split in enumerate(names):
        lines = zip(GERMAN[number:], ENGLISH[number:], strict=True)
        assert pairs(source, split) == [(f"{split} {one}", f"{split} {two}") for one, two in lines]


def test_the_references_of_a_test_set(tmp_path: Path) -> None:
    for name, lines in (("train.de", GERMAN), ("train.en", ENGLISH), ("newstest2014-src.de", GERMAN[:5]),
                        ("newstest2014-ref.en", ENGLISH[:5])):  # fmt: skip
        write(tmp_path / name, lines)
    assert pairs(opened(tmp_path), "test") == list(zip(GERMAN[:5], ENGLISH[:5], strict=True))


def test_a_file_and_the_one_beside_it(tmp_path: Path, refused: Any) -> None:
    for name in ("a.de", "b.de"):
        write(tmp_path / name, GERMAN)
    for name in ("a.en", "b.en", "b.fr"):
        write(tmp_path / name, ENGLISH)
    with refused(UsageError, "several parallel texts", "a.de", "b.de"):
        opened(tmp_path)
    assert pairs(opened(tmp_path / "a.de")) == list(zip(GERMAN, ENGLISH, strict=True))
    assert pairs(opened(tmp_path / "a.en")) == pairs(opened(tmp_path / "a.de"))
    with refused(UsageError, "--languages", "de, en, fr"):
        opened(tmp_path / "b.de")
    (tmp_path / "a.en").unlink()
    with refused(UsageError, "a.de", "text in one language"):
        opened(tmp_path / "a.de")


def test_images_with_notes_are_no_parallel_text(image_folder: Any) -> None:
    root = image_folder({"pool": 6})
    for path in list((root / "pool").iterdir()):
        path.with_suffix(".xml").write_text("<a/>")
        path.with_suffix(".txt").write_text("a note")
    assert opened(root / "pool").spec.kind == "image"


def test_lines_that_do_not_pair(tmp_path: Path, refused: Any) -> None:
    write(tmp_path / "train.de", GERMAN)
    write(tmp_path / "train.en", [*ENGLISH, "", " ", ""])
    assert pairs(opened(tmp_path)) == list(zip(GERMAN, ENGLISH, strict=True)), "blank lines at the end"
    write(tmp_path / "train.de", [*GERMAN, ""])
    assert len(pairs(opened(tmp_path))) == 30
    write(tmp_path / "train.en", ENGLISH[:-1])
    with refused(DataError, "30 lines", "29", "line 30 of 'train.de' has no partner"):
        opened(tmp_path)
    write(tmp_path / "train.en", [*ENGLISH[:-1], ""])
    with refused(DataError, "train.en, line 30", "text is empty"):
        opened(tmp_path)


def test_a_file_of_carriage_returns_alone(tmp_path: Path) -> None:
    write(tmp_path / "train.de", GERMAN, "\r")
    write(tmp_path / "train.en", ENGLISH, "\n")
    assert pairs(opened(tmp_path)) == list(zip(GERMAN, ENGLISH, strict=True))


# ---------------------------------------------------------------------------------------------------- lines with tabs

TABBED = {
    "two": lambda i: (GERMAN[i], ENGLISH[i]),
    "manythings": lambda i: (GERMAN[i], ENGLISH[i], f"CC-BY 2.0 (France) Attribution: tatoeba.org #{i}"),
    "tatoeba": lambda i: (str(900 + i), GERMAN[i], str(70_000 + i), ENGLISH[i]),
    "numbered": lambda i: (str(i), GERMAN[i], ENGLISH[i]),
}


@pytest.mark.parametrize("form", TABBED)
@pytest.mark.parametrize("name", ["pairs.txt", "Sentence pairs in German-English.tsv"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_pairs_in_lines(tmp_path: Path, form: str, name: str, mark: str) -> None:
    lines = ["\t".join(TABBED[form](i)) for i in range(30)]
    path = write(tmp_path / name, [mark + lines[0], *lines[1:]])
    for options in ({}, {"task": "translation"}):
        source = opened(path, **options)
        assert pairs(source) == list(zip(GERMAN, ENGLISH, strict=True))
        assert source.spec.languages == ("first", "second")
    assert pairs(opened(path, languages=("second", "first")))[3] == (ENGLISH[3], GERMAN[3])


def test_a_script_without_blanks(tmp_path: Path) -> None:
    """ManyThings' cmn-eng: its second column has no blank."""
    chinese = [f"这是第{i}句话。" for i in range(30)]
    path = write(tmp_path / "cmn.txt", [f"{one}\t{two}" for one, two in zip(ENGLISH, chinese, strict=True)])
    assert pairs(opened(path)) == list(zip(ENGLISH, chinese, strict=True))


def test_a_line_without_its_tab_is_named(tmp_path: Path, refused: Any) -> None:
    lines = [f"{one}\t{two}" for one, two in zip(GERMAN, ENGLISH, strict=True)]
    path = write(tmp_path / "pairs.txt", [*lines[:11], "no tab here", *lines[11:], ""])
    with refused(DataError, "pairs.txt', line 12", "separated by a tab", "--skip-bad"):
        opened(path)
    source = opened(path, skip_bad=True)
    assert pairs(source) == list(zip(GERMAN, ENGLISH, strict=True))
    assert source.spec.skipped == ("1 lines that are not two texts",)
    part = opened(path, task="language-modelling").splits["train"]
    assert isinstance(part, Text)


# ---------------------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "shift_jis"])
@pytest.mark.parametrize("layout", ["running", "labelled", "aligned", "tabbed", "folder"])
def test_another_encoding_is_named_and_read(tmp_path: Path, encoding: str, layout: str, refused: Any) -> None:
    word = "日本語" if encoding == "shift_jis" else "Größe"
    first, second = [f"die {word} {i}" for i in range(30)], [f"the size {i}" for i in range(30)]
    files = {
        "running": {"book.txt": first},
        "labelled": {"a.txt": [f"__label__{'ab'[i % 2]} {line}" for i, line in enumerate(first)]},
        "aligned": {"train.de": first, "train.en": second},
        "tabbed": {"pairs.txt": [f"{one}\t{two}" for one, two in zip(first, second, strict=True)]},
        "folder": {f"{'xy'[i % 2]}/{i}.txt": [line] for i, line in enumerate(first)},
    }[layout]
    for name, lines in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
    with refused(DataError, "--encoding"):
        opened(tmp_path)
    part = opened(tmp_path, encoding=encoding).splits["train"]
    match part:
        case Pairs():
            assert (list(part.sources), list(part.texts)) == (first, second)
        case Texts():
            assert sorted(text.strip() for text in part.texts) == sorted(first)
        case Text():
            assert part.text.splitlines() == first


# ---------------------------------------------------------------------------------------------------- tables of pairs


def table(path: Path, header: str, rows: list[tuple[str, str]], mark: str = ",", ids: bool = False) -> Path:
    lines = [mark.join([*([str(k)] if ids else []), *(f'"{cell}"' for cell in row)]) for k, row in enumerate(rows)]
    return write(path, [*([f"id{mark}{header}" if ids else header] if header else []), *lines])


SENTENCES = [(f"Dies ist, sagt er, Satz {i}.", f"This is, he says, sentence {i}.") for i in range(30)]
WORDS = [(f"Wort{i}", f"word{i}") for i in range(30)]


@pytest.mark.parametrize(
    ("header", "languages"),
    [("de,en", ("de", "en")), ("German,English sentence", ("German", "English sentence")), ("question,answer",
     ("question", "answer")), ("source_text,target_text", ("source_text", "target_text")), ("", ("first", "second"))],
)  # fmt: skip
@pytest.mark.parametrize("ids", [False, True])
def test_a_table_of_pairs(tmp_path: Path, header: str, languages: tuple[str, str], ids: bool) -> None:
    """By itself, and for translation: no pair is lost to a header that is none, and none is made of a header."""
    path = table(tmp_path / "pairs.csv", header, SENTENCES, ids=ids and bool(header))
    for options in ({}, {"task": "translation"}):
        source = opened(path, **options)
        assert source.spec.languages == languages
        assert pairs(source) == SENTENCES
    assert bool(source.spec.notes) == (not header)


@pytest.mark.parametrize("header", ["de\ten", "German\tEnglish", ""])
def test_a_tabbed_table_of_pairs(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "pairs.tsv", [*([header] if header else []), *("\t".join(row) for row in SENTENCES)])
    for options in ({}, {"task": "translation"}):
        assert pairs(opened(path, **options)) == SENTENCES


def test_a_table_of_words_is_read_for_a_translator(tmp_path: Path, refused: Any) -> None:
    """Left to itself it has no targets; the model has one task, and the run remembers what the data were read for."""
    path = table(tmp_path / "words.csv", "de,en", WORDS)
    assert opened(path).spec.task == "none"
    training = prepare("transformer-small", {"data": str(path), "batch_size": 8}, dry=True)
    assert training.source.spec.languages == ("de", "en")
    assert training.config.options.task == "translation"
    write(tmp_path / "houses.csv", ["rooms,price", *(f"{i % 5},{i}" for i in range(40))])
    with refused(UsageError, "trained for translation", "--languages"):
        prepare("transformer-small", {"data": str(tmp_path / "houses.csv")}, dry=True)


def test_labels_beside_texts_are_no_pairs(tmp_path: Path) -> None:
    path = table(tmp_path / "reviews.csv", "text,label", [(a, f"class {i % 2}") for i, (a, _) in enumerate(SENTENCES)])
    assert opened(path).spec.task == "classification"
    titles = table(tmp_path / "articles.csv", "title,label", SENTENCES)
    assert opened(titles).spec.task != "translation"
