"""The keywords of ``train()`` are typed, for editors: generated from the options, and the same as they are."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import get_type_hints

import lamina
from lamina.data.options import DataOptions
from lamina.options.recipe import Augmentation, Recipe

FILE = Path(lamina.__file__).parent / "runs" / "keywords.py"
EXPLICIT = {"task", "augmentation"}
HEAD = '''"""The options of ``lamina.train`` as typed keywords. Generated: python tests/runs/test_keywords.py"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from lamina.options.recipe import {names}


class TrainKwargs(TypedDict, total=False):
    """Fields of ``Recipe``, ``Augmentation`` and ``DataOptions``, and the objective."""

    objective: str | Mapping[str, Any] | None
    augmentation: Augmentation | Mapping[str, Any]
'''


def generated() -> str:
    lines: dict[str, str] = {}
    for cls in (Recipe, Augmentation, DataOptions):
        for field in dataclasses.fields(cls):
            if field.name not in EXPLICIT:
                hint = str(field.type).replace("'", '"')
                lines[field.name] = f"    {field.name}: {hint if 'None' in hint.split(' | ') else hint + ' | None'}\n"
    plain = re.sub(r"""(['"]).*?\1""", "", "".join(lines.values()))
    words = set(re.findall(r"\b[A-Z]\w+", plain)) - {"None", "Literal", "Any", "Mapping"}
    return HEAD.format(names=", ".join(sorted(words | {"Augmentation"}))) + "".join(lines.values())


def test_the_keywords_are_the_options() -> None:
    assert FILE.read_text(encoding="utf-8") == generated(), "run: python tests/runs/test_keywords.py"


def test_an_editor_sees_them() -> None:
    from lamina.runs.keywords import TrainKwargs

    hints = get_type_hints(TrainKwargs)
    assert {"epochs", "lr", "flip", "target", "validation", "objective"} <= hints.keys()
    parameters = inspect.signature(lamina.train).parameters
    assert not hints.keys() & {name for name in parameters if name != "options"}
    assert "TrainKwargs" in str(parameters["options"].annotation)


if __name__ == "__main__":
    FILE.write_text(generated(), encoding="utf-8")
