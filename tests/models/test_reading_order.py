"""A model file whose forward is in a base class shows it, and names the files to read and in which order."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from torch import nn

import lamina
from lamina import registry

PACKAGE = Path(lamina.__file__).parent
BUILDS = {registry.variant(name).build for name in lamina.list_models()}
FILES = {Path(inspect.getfile(build)): build for build in sorted(BUILDS, key=str)}


def named_files(path: Path) -> list[str]:
    """The files after "Reading order:" in the docstring of a module, up to the end of the paragraph."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = re.search(r"^Reading order:(.*?)(\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return re.findall(r"[\w/]+\.py", found[1]) if found else []


def imported_layers(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    layers = {module.removeprefix("lamina.") for module in modules if module.startswith("lamina.layers.")}
    return {f"{layer.replace('.', '/')}.py" for layer in layers}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_reading_order_leads_to_forward(path: Path) -> None:
    build, named = FILES[path], named_files(path)
    if "forward" in vars(build) and not named:
        return
    assert named, f"{path.name} has no line 'Reading order:', though {build.__name__} inherits its forward"
    assert [name for name in named if not (PACKAGE / name).is_file()] == []
    assert len(set(named)) == len(named)
    assert named[0] == path.relative_to(PACKAGE).as_posix()
    defined_in = next(base for base in build.__mro__ if "forward" in vars(base))
    assert Path(inspect.getfile(defined_in)).relative_to(PACKAGE).as_posix() in named
    assert imported_layers(path) - set(named) == set(), f"the reading order of {path.name} misses imports"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_inherited_forward_is_shown(path: Path) -> None:
    build = FILES[path]
    base = next(base for base in build.__mro__ if "forward" in vars(base))
    assert base is not nn.Module
    if base is not build:
        text = inspect.getdoc(inspect.getmodule(build)) or ""
        found = re.search(rf"^Forward \(``{base.__name__}\.forward``.*?:\n\n((?:    .*\n)+)", text, re.MULTILINE)
        assert found, f"{path.name} does not show {base.__name__}.forward"
        assert len(found[1].splitlines()) <= 12
