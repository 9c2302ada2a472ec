"""Texts with a label, and pairs, in tables: which column is which, and every fault named with its row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Pairs, Texts
from lamina.errors import DataError, UsageError

WHOLE: dict[str, Any] = {"validation": 0, "test": 0}
ROWS = 40
SENTENCES = [f'film {i} is "so, so" {("bad", "good")[i % 2]}' for i in range(ROWS)]
GOOD = pd.DataFrame({"label": [i % 2 for i in range(ROWS)], "sentence": SENTENCES})
WORDS = pd.DataFrame({"de": [f"das Wort {i}" for i in range(ROWS)], "en": [f"the word {i}" for i in range(ROWS)]})


def texts(source: Source, split: str = "train") -> Texts:
    found = source.splits[split]
    assert isinstance(found, Texts)
    return found


def pairs(source: Source, split: str = "train") -> Pairs:
    found = source.splits[split]
    assert isinstance(found, Pairs)
    return found


def opened(path: Path, **options: Any) -> Source:
    return open_source(str(path), options=DataOptions(**{**WHOLE, **options}))


def written(folder: Path, table: pd.DataFrame, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(table.to_csv(index=False, sep="\t" if ".tsv" in name else ","), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "tsv.gz", "parquet", "jsonl"])
def test_every_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data.{suffix}"
    if suffix == "parquet":
        GOOD.to_parquet(path)
    elif suffix == "jsonl":
        GOOD.to_json(path, orient="records", lines=True)
    else:
        content = GOOD.to_csv(index=False, sep="\t" if "tsv" in suffix else ",").encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    source = opened(path)
    spec = source.spec
    assert (spec.kind, spec.task, spec.classes, spec.targets) == ("text", "classification", ("0", "1"), ("label",))
    assert texts(source).texts == tuple(SENTENCES)
    assert texts(source).targets.tolist() == GOOD["label"].tolist()
    assert spec.fingerprint == opened(written(tmp_path, GOOD, "again.csv")).spec.fingerprint


def test_splits_keep_the_classes_in_proportion(tmp_path: Path) -> None:
    source = open_source(str(written(tmp_path, GOOD)), options=DataOptions(limit=10))
    assert dict(source.spec.sizes) == {"train": 10, "validation": 4, "test": 8}
    for name in source.splits:
        part = texts(source, name)
        assert part.targets.float().mean() == 0.5
        assert [text.endswith("good") for text in part.texts] == part.targets.bool().tolist()


@pytest.mark.parametrize(
    ("target", "task"), [([i / 7 for i in range(ROWS)], "regression"), (["a|b", "b"] * 20, "multilabel")]
)
def test_other_tasks(tmp_path: Path, target: list[Any], task: str) -> None:
    assert opened(written(tmp_path, GOOD.assign(label=target))).spec.task == task


def test_what_is_free_text_and_what_is_not(tmp_path: Path, refused: Any) -> None:
    assert opened(written(tmp_path, GOOD.assign(id=range(ROWS)))).spec.kind == "text"
    assert opened(written(tmp_path, GOOD.assign(year=range(ROWS)))).spec.kind == "table"
    assert opened(written(tmp_path, GOOD.assign(year=range(ROWS))), text="sentence").spec.kind == "text"
    assert opened(written(tmp_path, GOOD), categorical=("sentence",)).spec.kind == "table"
    few = GOOD.assign(sentence=[f"sort {i % 20}" for i in range(ROWS)])
    assert opened(written(tmp_path, few)).spec.kind == "table"
    assert opened(written(tmp_path, few), text="sentence").spec.kind == "text"
    assert opened(written(tmp_path, GOOD.assign(sentence=[f"name{i}" for i in range(ROWS)]))).spec.kind == "table"
    with refused(UsageError, "text column 'sentense'", "did you mean 'sentence'?"):
        opened(written(tmp_path, GOOD), text="sentense")
    with refused(UsageError, "text column 'label'"):
        opened(written(tmp_path, GOOD), text="label")


def test_a_missing_label_column(tmp_path: Path, refused: Any) -> None:
    spec = opened(written(tmp_path, GOOD.rename(columns={"label": "verdict"}))).spec
    assert (spec.task, spec.classes, spec.targets) == ("none", (), ())
    for told in ("data.csv", "name the target column", "verdict, sentence"):
        assert told in spec.hint
    spec = opened(written(tmp_path, GOOD[["sentence"]]), task="classification").spec
    assert (spec.kind, spec.task) == ("text", "none")
    assert "one column, 'sentence', and no column of labels" in spec.hint


def test_one_class(tmp_path: Path, refused: Any) -> None:
    with refused(DataError, "only one class ('1')"):
        opened(written(tmp_path, GOOD.assign(label=1)))


def test_empty_texts_are_named_or_left_out(tmp_path: Path, refused: Any) -> None:
    bad = GOOD.copy()
    bad.loc[6, "sentence"] = None
    bad.loc[9, "sentence"] = " \t"
    bad.loc[12, "label"] = None
    path = written(tmp_path, bad.astype({"label": "Int64"}))
    with refused(DataError, "data.csv, row 7", "text is empty", "2 rows"):
        opened(path)
    source = opened(path, skip_bad=True)
    assert source.spec.skipped == ("2 rows without a text", "1 rows without a target")
    kept = [i for i in range(ROWS) if i not in (6, 9, 12)]
    assert texts(source).texts == tuple(SENTENCES[i] for i in kept)
    assert texts(source).targets.tolist() == [i % 2 for i in kept]
    with refused(DataError, "row 1", "text is empty"):
        opened(written(tmp_path, GOOD.assign(sentence=None)), text="sentence", skip_bad=True)


def test_words_that_elsewhere_mean_a_missing_value_or_a_number(tmp_path: Path) -> None:
    said = [*SENTENCES[:-4], "NA", "null", "None", "007"]
    path = written(tmp_path, GOOD.assign(sentence=said))
    assert texts(opened(path)).texts == tuple(said)
    path = written(tmp_path, pd.DataFrame({"label": [0, 1], "sentence": ["007", "NA"]}))
    assert texts(opened(path, text="sentence")).texts == ("007", "NA")


def test_quotation_marks_in_a_file_of_tabs(tmp_path: Path) -> None:
    said = [f'"film {i} is good' if i % 3 == 0 else f"film {i} is bad" for i in range(ROWS)]
    path = tmp_path / "data.tsv"
    path.write_text("label\tsentence\n" + "".join(f"{i % 2}\t{text}\n" for i, text in enumerate(said)))
    assert texts(opened(path)).texts == tuple(said)
    lines = [f"film {i}\nis good" for i in range(ROWS)]  # quoted, since a cell runs on over a line's end
    assert texts(opened(written(tmp_path, GOOD.assign(sentence=lines), "data.tsv"))).texts == tuple(lines)


def test_a_file_for_each_split_may_name_the_text_otherwise(tmp_path: Path, refused: Any) -> None:
    written(tmp_path, GOOD, "train.tsv")
    other = GOOD.rename(columns={"sentence": "content"})[["content", "label"]]
    other.loc[3, "content"] = "NA"
    written(tmp_path, other, "dev.tsv")
    written(tmp_path, other, "test.tsv")
    source = open_source(str(tmp_path))
    assert dict(source.spec.sizes) == {"train": ROWS, "validation": ROWS, "test": ROWS}
    assert texts(source, "test").texts[:4] == (*SENTENCES[:3], "NA")
    assert texts(source, "test").targets.tolist() == GOOD["label"].tolist()
    written(tmp_path, GOOD.rename(columns={"label": "verdict"}), "test.tsv")
    with refused(DataError, "test.tsv", "lacks the column 'label'"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "tsv.gz", "jsonl"])
def test_bytes_that_are_not_utf8_and_where(tmp_path: Path, suffix: str, refused: Any) -> None:
    many = pd.concat([GOOD] * 600)  # more than what is read at a time
    if suffix == "jsonl":
        content = many.to_json(orient="records", lines=True).encode()
    else:
        content = many.to_csv(index=False, sep="\t" if "tsv" in suffix else ",").encode()
    content = content[:700_000] + b"\xff" + content[700_000:]
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    with refused(DataError, path.name, "not UTF-8", "byte 700000"):
        opened(path)


def test_columns_of_two_languages(tmp_path: Path, refused: Any) -> None:
    path = written(tmp_path, WORDS.assign(label=range(ROWS)))
    source = opened(path, languages=("en", "de"))
    assert (source.spec.task, source.spec.languages) == ("translation", ("en", "de"))
    assert pairs(source).sources[:2] == ("the word 0", "the word 1")
    assert pairs(source).texts[:2] == ("das Wort 0", "das Wort 1")
    assert opened(path, task="translation").spec.languages == ("de", "en")
    with refused(UsageError, "unknown language 'fr'", "de, en"):
        opened(path, languages=("fr", "en"))
    with refused(UsageError, "--languages", "de, en, fr"):
        opened(written(tmp_path, WORDS.assign(fr="x")), task="translation")
    WORDS.loc[4, "en"] = None
    path = written(tmp_path, WORDS.assign())
    WORDS.loc[4, "en"] = "the word 4"
    with refused(DataError, "data.csv, row 5, en", "text is empty"):
        opened(path, task="translation")


def test_a_column_called_translation(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    rows = WORDS.to_dict("records")
    path.write_text("\n".join(json.dumps({"translation": row}) for row in rows))
    assert pairs(opened(path, task="translation")).texts == tuple(WORDS["en"])


def test_a_file_of_tabs_without_a_header(tmp_path: Path, refused: Any) -> None:
    lines = [f"{de}\t{en}\tCC-BY {i}" for i, (de, en) in enumerate(zip(*map(WORDS.get, WORDS), strict=True))]
    lines[3] = 'sagt er "\tsays "he\tCC-BY'  # a quotation mark is nothing but that
    for name in ("words.tsv", "words.txt"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        source = opened(path)
        assert (source.spec.task, source.spec.languages) == ("translation", ("first", "second"))
        assert pairs(source).sources[:4] == ("das Wort 0", "das Wort 1", "das Wort 2", 'sagt er "')
        assert len(pairs(source)) == ROWS
        assert pairs(opened(path, languages=("second", "first"))).texts[1] == "das Wort 1"
        with refused(UsageError, "unknown language 'de'", "first, second"):
            opened(path, languages=("de", "en"))
    path = tmp_path / "words.tsv"
    path.write_text("de\ten\n" + "".join(line.rsplit("\t", 1)[0] + "\n" for line in lines))
    assert pairs(opened(path, languages=("de", "en"))).sources[0] == "das Wort 0"
    path.write_text("ja\tyes\nnein\n")
    with refused(DataError, "words.tsv", "line 2", "two texts separated by a tab"):
        opened(path, task="translation")
    running = tmp_path / "words.txt"
    assert opened(running, task="language-modelling").spec.task == "language-modelling"
