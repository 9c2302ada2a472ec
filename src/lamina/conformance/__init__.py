"""The checks that every architecture of Lamina passes, for your own architectures too.

    >>> check_backward("lenet5")  # the name of a variant, or a Variant itself: check_backward(VARIANTS["mine"])

A check returns None, raises AssertionError with the fault it found, or raises NotApplicableError if it does not apply
to the architecture. ``checks()`` returns all of them by name; ``python -m lamina.conformance`` writes a table of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lamina.cards import Variant
from lamina.conformance.behaviour import (
    check_backward,
    check_batch_of_one,
    check_bf16_autocast,
    check_channels_last,
    check_eval_batch_independent,
    check_forward,
    check_state_dict_round_trip,
)
from lamina.conformance.compilers import check_compile, check_export, check_onnx
from lamina.conformance.contract import check_image_interface, check_meta, check_odd_sizes, check_wrong_shape
from lamina.conformance.harness import NotApplicableError
from lamina.conformance.sequences import check_padding, check_select, check_stepping, check_wrong_tokens
from lamina.conformance.series import check_no_future, check_windows
from lamina.registry import list_models, variant

__all__ = [
    "NotApplicableError",
    "check_backward",
    "check_batch_of_one",
    "check_bf16_autocast",
    "check_channels_last",
    "check_compile",
    "check_eval_batch_independent",
    "check_export",
    "check_forward",
    "check_image_interface",
    "check_meta",
    "check_no_future",
    "check_odd_sizes",
    "check_onnx",
    "check_padding",
    "check_select",
    "check_state_dict_round_trip",
    "check_stepping",
    "check_windows",
    "check_wrong_shape",
    "check_wrong_tokens",
    "checks",
    "players_of",
    "smallest_of_each_architecture",
]

Check = Callable[[str | Variant], None]


def smallest_of_each_architecture() -> list[str]:
    """The variant with the fewest parameters of each class, which stands for the larger ones in the expensive
    checks."""
    smallest: dict[object, tuple[int, str]] = {}
    for name in list_models():
        row = variant(name)
        parameters = row.card.parameters
        size = parameters if isinstance(parameters, int) else sum((parameters or {}).values())
        smallest[row.build] = min(smallest.get(row.build, (size, name)), (size, name))
    return [part for _, name in smallest.values() for part in players_of(name)]


def players_of(name: str) -> list[str]:
    """What checks run on: the variant, or where it has several players each of them ("dcgan/generator")."""
    players = variant(name).players
    return [f"{name}/{player}" for player in players] or [name]


def checks(*, backend: str = "aot_eager", onnx: bool = False) -> dict[str, Check]:
    """All checks by their name in the table, cheap ones first; ``backend`` is that of torch.compile."""
    named: dict[str, Check] = {
        "meta": check_meta,
        "forward": check_forward,
        "backward": check_backward,
        "batch of one": check_batch_of_one,
        "batch independent": check_eval_batch_independent,
        "odd sizes": check_odd_sizes,
        "wrong shape": check_wrong_shape,
        "image interface": check_image_interface,
        "padding": check_padding,
        "stepping": check_stepping,
        "select": check_select,
        "wrong tokens": check_wrong_tokens,
        "windows": check_windows,
        "no future": check_no_future,
        "state dict": check_state_dict_round_trip,
        "channels last": check_channels_last,
        "bf16": check_bf16_autocast,
        f"compile ({backend})": partial(check_compile, backend=backend),
        "export": check_export,
    }
    if onnx:
        named["onnx"] = check_onnx
    return named
