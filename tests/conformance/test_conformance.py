"""Every check on every variant; the slow compilers only where LAMINA_CONFORMANCE is set (``make conformance``)."""

from __future__ import annotations

import os

import pytest

from lamina.conformance import (
    Check,
    NotApplicableError,
    check_compile,
    check_meta,
    check_onnx,
    checks,
    smallest_of_each_architecture,
)
from lamina.registry import list_models

slow = pytest.mark.skipif("LAMINA_CONFORMANCE" not in os.environ, reason="minutes: set LAMINA_CONFORMANCE to run it")


SMALLEST = smallest_of_each_architecture()
TRACED_ONLY = {  # all their parts are those of another architecture, which is put through AOTAutograd here
    "seq2seq": "rnn-lm",
    "seq2seq-attention": "rnn-lm",
    "mobilenet-v2": "mobilenet-v3-small",
    "efficientnet-b0": "mobilenet-v3-small",
    "coatnet-0": "swin-tiny",
    "transformer-lm": "gpt2",
    "transformer-classifier": "gpt2",
}
CHECKS = {title: check for title, check in checks().items() if check is not check_meta}


def applied(check: Check, name: str) -> None:
    try:
        check(name)
    except NotApplicableError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", list_models())
def test_the_card_is_right(name: str) -> None:
    """The one place that counts parameters and multiply-adds; tests of a family compare its card with the paper."""
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
