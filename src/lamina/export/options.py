"""Options of an export. Imports no torch, so that the command line can check them quickly."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lamina.errors import UsageError
from lamina.export.formats import FORMATS, require

QUANTISED = tuple(name for name, kind in FORMATS.items() if kind.quantises)
"""formats that hold weights in fewer bits"""
MAX_DROP = 0.01


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What an exported file holds, and in which numbers. Raises UsageError for values out of range, and for options
    that exclude each other.

    Example: ``ExportOptions(int8=True, max_drop=0.005)``
    """

    int8: bool = False
    """compute in 8-bit integers: ranges are measured on the run's training data, the result is judged on validation"""
    max_drop: float | None = None
    """with int8: how much accuracy may be lost (0.01: one per cent of the samples), or how much the loss may grow in
    proportion; beyond it the layers that lose most stay in float (default: 0.01)"""
    even_if_slower: bool = False
    """with int8: write it even where it is slower here than the float model"""
    fp16: bool = False
    """weights in 16 bits: half the size, computed in float32"""
    with_preprocessing: bool = False
    """of an image run: pictures as they are go in, uint8 of any size, and predictions come out, the class among them"""
    with_state: bool = False
    """of a model that generates text: one step of decoding, whose state goes in and comes out"""

    def __post_init__(self) -> None:
        for name, given in (("max_drop", self.max_drop is not None), ("even_if_slower", self.even_if_slower)):
            if given and not self.int8:
                raise UsageError(f"{name} is for int8: give --int8 too")
        if self.max_drop is not None and not 0 <= self.max_drop < math.inf:
            raise UsageError(f"max_drop must be at least 0, got {self.max_drop}")
        if self.int8 and self.fp16:
            raise UsageError("int8 and fp16 exclude each other: a file has one of them")
        if self.with_preprocessing and (self.int8 or self.with_state):
            other = "int8" if self.int8 else "with_state"
            raise UsageError(f"with_preprocessing and {other} exclude each other: leave one out")

    @property
    def drop(self) -> float:
        """``max_drop``, or its default."""
        return MAX_DROP if self.max_drop is None else self.max_drop

    def check_format(self, to: str) -> None:
        """Raise UsageError for a format that cannot hold what is requested, and for a missing library."""
        for name in ("int8", "fp16"):
            if getattr(self, name) and to not in QUANTISED:
                raise UsageError(f"the engine {to} has no {name}: choose --to {' or '.join(QUANTISED)}")
        if self.int8 and to == "openvino":
            require("nncf", "int8 for openvino", extra="int8")
