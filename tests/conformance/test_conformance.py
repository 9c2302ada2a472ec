"""Every check on every variant; the slow compilers only where LAMINA_CONFORMANCE is set (``make conformance``)."""

from __future__ import annotations

import os
from functools import partial

import pytest

from lamina.conformance import (
    Check,
    NotApplicableError,
    check_compile,
    check_meta,
    check_onnx,
    checks,
    players_of,
    smallest_of_each_architecture,
)
from lamina.registry import list_models

slow = pytest.mark.skipif("LAMINA_CONFORMANCE" not in os.environ, reason="minutes: set LAMINA_CONFORMANCE to run it")


SMALLEST = smallest_of_each_architecture()
# Minutes of compiling that other tests do already: here these are traced only, and compiled by ``make conformance``.
TRACED_ONLY = {  # what puts them, or each of their parts, through AOTAutograd with gradients
    "rnn-classifier": "tests/models/test_recurrent_models.py, with lengths",
    "seq2seq": "tests/models/test_recurrent_models.py has the decoder with attention, with lengths; rnn-lm here",
    "seq2seq-attention": "tests/models/test_recurrent_models.py, with lengths",
    "transformer-small": "tests/models/test_transformer.py",
    "transformer-classifier": "tests/models/test_transformer.py",
    "transformer-lm": "tests/models/test_transformer.py",
    "gpt2": "tests/models/test_transformer.py",
    "autoencoder-lstm": "rnn-lm here, whose layers it has",
    "gru-forecaster": "rnn-lm here, whose layers it has",
    "seq2seq-forecaster": "rnn-lm here, whose layers it has",
    "deepar": "rnn-lm here, whose layers it has",
    "mobilenet-v2": "mobilenet-v3-small here",
    "efficientnet-b0": "mobilenet-v3-small here",
    "darts-supernet/weights": "darts-v1 here, whose operations it has",
    "enas/weights": "darts-v1 here, whose operations it has",
    "cyclegan-128/generators": "johnson and dcgan-16/generator here, whose layers it has",
    "coatnet-0": "swin-tiny and mobilenet-v3-small here",
}
EXPORTED_ELSEWHERE = {"seq2seq-attention": "tests/export/test_exported_text.py, to ONNX, with lengths"}
CHECKS = {title: check for title, check in checks().items() if check is not check_meta}


def applied(check: Check, name: str) -> None:
    try:
        check(name)
    except NotApplicableError as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", [player for name in list_models() for player in players_of(name)])
def test_the_card_is_right(name: str) -> None:
    """The one place that counts parameters and multiply-adds; tests of a family compare its card with the paper."""
    check_meta(name)


@pytest.mark.parametrize("title", CHECKS)
@pytest.mark.parametrize("name", SMALLEST)
def test_it_conforms(name: str, title: str) -> None:
    check = CHECKS[title]
    if title == "compile (aot_eager)" and name in TRACED_ONLY:
        check = partial(check_compile, backend="eager")
    if title == "export" and name in EXPORTED_ELSEWHERE:
        pytest.skip(f"in {EXPORTED_ELSEWHERE[name]}")
    applied(check, name)


# Players whose nets are of a class that stands above already, but not the same: another norm, several at once, maxout.
OTHER_PLAYERS = [
    player
    for name in list_models(task="adversarial")
    for player in players_of(name)
    if player not in SMALLEST and name in ("gan", "gman", "wgan-gp")
]


@pytest.mark.parametrize("title", [title for title in CHECKS if "compile" not in title])
@pytest.mark.parametrize("name", OTHER_PLAYERS)
def test_players_of_another_net_conform(name: str, title: str) -> None:
    """The nets of the other variants differ in widths alone, of which ``small`` is one form."""
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
