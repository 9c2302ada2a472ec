"""The suite does not depend on the load of the machine: no bare sleeps, deadlines or limits that a busy one reaches."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from waiting import CHILD_SECONDS, until

TESTS = Path(__file__).parents[1]
FILES = {path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*.py"))}
FILES.pop(Path(__file__).relative_to(TESTS).as_posix())
WITH_A_CLOCK = {
    "waiting.py": "the one place that sleeps, between two looks at a condition",
    "runs/kill_child.py": "kills after a share of the time that a training takes; what it asserts depends on no time",
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Each call of the suite: where it stands, what it calls, the call."""
    for name, text in FILES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                yield f"{name}:{node.lineno}", ast.unparse(node.func), node


def imports(text: str, module: str) -> bool:
    return any(
        (isinstance(node, ast.Import) and module in {name.name for name in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module == module)
        for node in ast.walk(ast.parse(text))
    )


def test_only_waiting_sleeps() -> None:
    """Programs in strings and other modules' sleeps included."""
    assert [name for name, text in FILES.items() if "sleep(" in text] == ["waiting.py"]


def test_no_test_has_a_clock() -> None:
    """What measures seconds passes or fails by what else the machine does."""
    assert {name for name, text in FILES.items() if imports(text, "time")} == set(WITH_A_CLOCK)


def test_one_hypothesis_profile_and_nothing_else_decides_but_the_number_of_examples() -> None:
    now = settings.default
    assert now is not None
    assert now.deadline is None
    assert now.derandomize
    assert HealthCheck.too_slow in now.suppress_health_check
    for place, called, call in calls():
        if called in ("settings", "hypothesis.settings"):
            assert {argument.arg for argument in call.keywords} == {"max_examples"}, place
        assert "register_profile" not in called or place.startswith("conftest.py"), place


def test_child_processes_have_one_limit_and_it_is_below_pytests() -> None:
    options = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    assert options["ini_options"]["timeout"] > CHILD_SECONDS
    for place, _, call in calls():
        for argument in call.keywords:
            if argument.arg == "timeout":
                assert ast.unparse(argument.value) == "CHILD_SECONDS", place


def test_until_says_what_it_waited_for() -> None:
    left = [False, False, True]
    until(lambda: left.pop(0), "the third look")
    assert left == []
    with pytest.raises(AssertionError, match=r"waited 0 s for the sun"):
        until(lambda: False, "the sun", seconds=0)
