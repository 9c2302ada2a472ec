"""Every check on every variant; the slow compilers only where LAMINA_CONFORMANCE is set (``make conformance``)."""

from __future__ import annotations

import os

import pytest

from lamina.cards import Variant
from lamina.conformance import Check, NotApplicableError, check_compile, check_meta, check_onnx, checks
from lamina.registry import list_models, variant

slow = pytest.mark.skipif("LAMINA_CONFORMANCE" not in os.environ, reason="minutes: set LAMINA_CONFORMANCE to run it")


def smallest_of_each_architecture() -> list[str]:
    """The variant with the fewest parameters of each class: what holds for it holds for its larger kin."""
    smallest: dict[object, tuple[int, str]] = {}
    for name in list_models():
        row: Variant = variant(name)
        parameters = row.card.parameters
        size = parameters if isinstance(parameters, int) else sum((parameters or {}).values())
        smallest[row.build] = min(smallest.get(row.build, (size, name)), (size, name))
    return [name for _, name in smallest.values()]


SMALLEST = smallest_of_each_architecture()
CHECKS = {title: check for title, check in checks().items() if check is not check_meta}


def applied(check: Check, name: str) -> None:
    try:
        check(name)
    except NotApplicableError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", list_models())
def test_the_card_is_right(name: str) -> None:
    check_meta(name)


@pytest.mark.parametrize("title", CHECKS)
@pytest.mark.parametrize("name", SMALLEST)
def test_it_conforms(name: str, title: str) -> None:
    applied(CHECKS[title], name)


@slow
@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_inductor(name: str) -> None:
    check_compile(name, backend="inductor")


@slow
@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_onnx(name: str) -> None:
    applied(check_onnx, name)
