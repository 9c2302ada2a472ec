"""Kinds of data and tasks are told apart in their own folders and in the tables, and nowhere else.

What is looked for: ``isinstance`` and class patterns on preprocesses, splits, samples and tasks, and comparisons
(``==``, ``in``, ``match``) with the name of a task or a modality.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lamina
from lamina.data.modality import MODALITIES
from lamina.tasks.table import TASKS

PACKAGE = Path(lamina.__file__).parent
OWN = (
    "data/image",
    "data/table",
    "data/text",
    "data/series",
    "data/tabular",  # columns: numbers and categories, texts among them
    "data/targets",  # kinds of target, named as the tasks that they call for
    "data/formats",  # files and folders are opened as a modality's source
    "runs/image",
    "runs/table",
    "runs/text",
    "runs/series",
    "report/image",
    "report/text",
    "report/series",
    "models",
    "weights",
    "claims/experiments",
)
"""folders of modalities themselves, where tasks are told apart, too"""
NAMES = {*TASKS.own, *MODALITIES.own}
NAMES_OF = {"tasks": {*MODALITIES.own}, "data/modality.py": {*TASKS.own}}
"""in the folder of tasks what the data are is no more asked than elsewhere; the table of modalities names them"""
CLASSES = {
    "ImagePreprocess", "TablePreprocess", "TextPreprocess", "ImageArrays", "ImageFiles", "Table", "Text", "Texts",
    "Pairs", "InMemory", "Streamed", "Ragged", "Classification", "Multilabel", "Regression", "LanguageModelling",
    "Translation", "PerceptronRule", "RBFMaximumAPosteriori",
}  # fmt: skip


def files() -> list[Path]:
    every = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]
    return [path for path in every if not path.as_posix().startswith(tuple(f"{folder}/" for folder in OWN))]


def constants(node: ast.AST) -> Iterator[object]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant):
            yield part.value


def names_for(path: Path) -> set[str]:
    """The names that a file must not ask for."""
    return next((names for place, names in NAMES_OF.items() if path.as_posix().startswith(place)), NAMES)


def dispatches(tree: ast.AST, names: set[str] = NAMES) -> Iterator[tuple[int, str]]:
    """Line, and what is there."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            named = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            if named & CLASSES:
                yield node.lineno, f"{node.func.id} of {', '.join(sorted(named & CLASSES))}"
        if isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name) and node.cls.id in CLASSES:
            yield node.lineno, f"case {node.cls.id}()"
        if isinstance(node, ast.MatchValue) and set(map(str, constants(node))) & names:
            yield node.lineno, f"case of {set(map(str, constants(node))) & names}"
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            found = {value for side in sides for value in literals(side) if value in names}
            if found:
                yield node.lineno, f"comparison with {', '.join(sorted(found))}"
        if isinstance(node, ast.Dict):
            keys = {part.value for part in node.keys if isinstance(part, ast.Constant)} & names & {*MODALITIES.own}
            if len(keys) > 1:
                yield node.lineno, f"a table by modality ({', '.join(sorted(map(str, keys)))}): a field of Modality"


def literals(side: ast.AST) -> Iterator[str]:
    """Strings that stand in a comparison: alone, or in a tuple, list or set."""
    parts = side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


@pytest.mark.parametrize("path", files(), ids=str)
def test_nobody_asks_what_kind_it_is(path: Path) -> None:
    assert [*dispatches(ast.parse((PACKAGE / path).read_text(encoding="utf-8")), names_for(path))] == []


@pytest.mark.parametrize(
    "text",
    [
        'if run.preprocess.kind == "text": pass',
        'if spec.task in ("classification", "multilabel"): pass',
        "assert isinstance(preprocess, TextPreprocess)",
        'match spec.kind:\n    case "image": pass',
        "match split:\n    case Pairs(): pass",
        'if "table" != kind: pass',
        'ITEMS = {"image": "a.png", "text": "a text"}',
    ],
)
def test_the_check_finds_what_it_looks_for(text: str) -> None:
    assert [*dispatches(ast.parse(text))]


def test_no_folder_is_a_heap() -> None:
    """At most 30 Python files in a folder, but where one file is one thing."""
    heaps = ("models", "recipes", "weights")
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        count = len([*folder.glob("*.py")])
        assert count <= 30 or folder.relative_to(PACKAGE).as_posix() in heaps, f"{folder}: {count} files"


def test_tasks_do_not_ask_for_modalities() -> None:
    names = names_for(Path("tasks/adversarial/cycle.py"))
    assert [*dispatches(ast.parse('return None if spec.kind == "image" else "is text"'), names)]
    assert not [*dispatches(ast.parse('if task == "regression": pass'), names)]
