"""What mypy is told to overlook is named: an ignore without a code hides whatever comes to stand in its line."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODED = re.compile(r"type:\s*ignore\[[a-z, -]+\]")


def uncoded(text: str) -> list[int]:
    """Lines with an ignore that names no code."""
    comments = [one for one in tokenize.generate_tokens(io.StringIO(text).readline) if one.type == tokenize.COMMENT]
    return [
        one.start[0] for one in comments if re.search(r"type:\s*ignore", one.string) and not CODED.search(one.string)
    ]


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "docs_site"])
def test_every_ignore_names_its_code(folder: str) -> None:
    found = {str(path): lines for path in (ROOT / folder).rglob("*.py") if (lines := uncoded(path.read_text("utf-8")))}
    assert found == {}


def test_the_check_finds_what_it_looks_for() -> None:
    text = (
        'a = 1  # type: ignore\nb = 2  # type: ignore[misc]  # why\nc = "# type: ignore"\nd = 3  #type:ignore # why\n'
    )
    assert uncoded(text) == [1, 4]
