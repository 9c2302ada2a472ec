"""CSV files as spreadsheets, statistics programs and people write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.errors import DataError
from lamina.options.conversion import typed

ROWS = 30


def opened(folder: Path, content: str | bytes, name: str = "data.csv", **options: Any) -> Source:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_source(str(folder / name), options=DataOptions(**{"validation": 0, "test": 0, **options}))


def rows(source: Source) -> list[list[Any]]:
    found: list[list[Any]] = source.splits["train"].frame.to_numpy().tolist()  # type: ignore[attr-defined]
    return found


def lines(pattern: str, count: int = ROWS) -> str:
    return "".join(pattern.format(i=i, half=i / 2, y=i % 2) for i in range(count))


@pytest.mark.parametrize(
    "content",
    [
        "x,z,label\n" + lines("{i},{half},{y}\n"),
        "x;z;label\n" + lines("{i};{half};{y}\n"),
        "x\tz\tlabel\n" + lines("{i}\t{half}\t{y}\n"),
        "x|z|label\n" + lines("{i}|{half}|{y}\n"),
        "x z label\n" + lines("{i}   {half} {y}\n"),
        "   x    z  label\n" + lines("  {i}   {half}  {y}  \n"),
        "sep=;\r\nx;z;label\r\n" + lines("{i};{half};{y}\r\n"),
        "x;z;label\r" + lines("{i};{half};{y}\r"),
        "x;z;label;\n" + lines("{i};{half};{y};\n"),
        "x,z,label\n" + lines("{i},{half},{y},\n"),
        "# from the lab\n# x, z\nx,z,label\n" + lines("{i},{half},{y}\n"),
        "\n\nx,z,label\n\n" + lines("{i},{half},{y}\n\n"),
        'x, z, "label"\n' + lines('{i}, "{half}", "{y}"\n'),
        '"x";"z";"label"\n' + lines('"{i}";"{half}";"{y}"\n').replace(".", ","),
    ],
)
def test_the_same_table(tmp_path: Path, content: str) -> None:
    source = opened(tmp_path, content)
    assert [column.name for column in source.spec.columns] == ["x", "z"]
    assert rows(source) == [[i, i / 2] for i in range(ROWS)]
    assert source.spec.classes == ("0", "1")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_state_themselves(tmp_path: Path, encoding: str) -> None:
    source = opened(tmp_path, ("name,label\n" + lines("Łódź{y},{y}\n")).encode(encoding))
    assert rows(source)[0] == ["Łódź0"]


@pytest.mark.parametrize(
    ("encoding", "advice", "word"),
    [("cp1252", "cp1252", "José – 5 €"), ("latin-1", "cp1252", "José"), ("utf-16-le", "utf-16-le", "Jose")],
)
def test_other_encodings_are_given(tmp_path: Path, encoding: str, advice: str, word: str, refused: Any) -> None:
    content = ("name,label\n" + lines("a{y},{y}\n", 4) + lines(f"{word}{{y}},{{y}}\n")).encode(encoding)
    with refused(DataError, f"--encoding {advice}", "data.csv"):
        opened(tmp_path, content)
    assert rows(opened(tmp_path, content, encoding=advice))[4] == [f"{word}0"]
    if encoding != "utf-16-le":
        with refused(DataError, "line 6"):
            opened(tmp_path, content)


def test_rows_of_another_width_are_named_or_left_out(tmp_path: Path, refused: Any) -> None:
    good = "x,z,label\n" + lines("{i},{half},{y}\n")
    for bad in ("1,2\n", "1,2,3,4\n", "1\n"):
        with refused(DataError, "data.csv', line 32", "--skip-bad", "--delimiter"):
            opened(tmp_path, good + bad)
        source = opened(tmp_path, good + bad, skip_bad=True)
        assert len(rows(source)) == ROWS
        assert any("1 rows" in note and "another number of cells" in note for note in source.spec.notes)
    with refused(DataError, "line 32", "quotation mark is not closed"):
        opened(tmp_path, good + '1,2,"yes\n' + lines("{i},{half},{y}\n"))
    quoted = opened(tmp_path, "x,note\n" + lines('{i},"two\nlines, {y}"\n'), target="note")
    assert quoted.spec.classes == ("two\nlines, 0", "two\nlines, 1")


def test_a_table_without_a_header(tmp_path: Path) -> None:
    content = lines("{half},{i},{y}\n").replace(",0\n", ",cat\n").replace(",1\n", ",dog\n")
    source = opened(tmp_path, content)
    assert any("--header no" in note for note in source.spec.notes)
    assert "--header no" in source.spec.hint
    source = opened(tmp_path, content, header="no", target="3")
    assert (source.spec.classes, source.spec.targets, len(rows(source))) == (("cat", "dog"), ("3",), ROWS)
    assert rows(source)[0] == [0, 0]
    fitted: Any = fit_preprocess(source)
    (tmp_path / "new.csv").write_text("0.5,1\n1.0,2\n")
    expected = fitted.encode(source.splits["train"]).tensors["features"][1:3]
    assert fitted.encode_input(tmp_path / "new.csv")["features"].tolist() == expected.tolist()
    words = opened(tmp_path, "red,cat\n" + lines("red,cat\n", 5) + lines("blue,dog\n"))
    assert any("'red'" in note and "--header no" in note for note in words.spec.notes)
    assert not opened(tmp_path, "x,label\n" + lines("{i},{y}\n")).spec.notes[1:]


def test_columns_by_number(tmp_path: Path, refused: Any) -> None:
    content = "a,b,c\n" + lines("{half},{i},{y}\n")
    source = opened(tmp_path, content, target="3", drop=("1",))
    assert source.spec.targets == ("c",)
    assert [column.name for column in source.spec.columns] == ["b"]
    named = opened(tmp_path, content.replace("a,b,c", "a,3,c"), target="3")
    assert named.spec.targets == ("3",)


def test_json_arrays(tmp_path: Path, refused: Any) -> None:
    records = [{"x": i, "label": "ab"[i % 2]} for i in range(ROWS)]
    columns = {"x": [*range(ROWS)], "label": ["ab"[i % 2] for i in range(ROWS)]}
    for content in (records, {"data": records, "version": 1}, columns):
        source = opened(tmp_path, json.dumps(content), "data.json")
        assert (source.spec.classes, rows(source)) == (("a", "b"), [[i] for i in range(ROWS)])
    for content, text in ((5, "no array"), ([1, 2], "row 1"), ({"a": [1], "b": [1, 2]}, "no array")):
        with refused(DataError, "data.json", text):
            opened(tmp_path, json.dumps(content), "data.json")
    with refused(DataError, "data.json", "no valid JSON"):
        opened(tmp_path, "[1,", "data.json")
    # beside images, and other data, JSON describes a folder
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "info.json").write_text('{"licence": "none"}')
    (tmp_path / "folder" / "table.csv").write_text("x,label\n" + lines("{i},{y}\n"))
    assert open_source(str(tmp_path / "folder")).spec.classes == ("0", "1")
    (tmp_path / "folder" / "train.json").write_text(json.dumps(records))
    assert open_source(str(tmp_path / "folder")).spec.classes == ("a", "b")


def test_yaml_reads_no_as_false() -> None:
    assert typed(DataOptions, {"header": False}, "option") == {"header": "no"}
