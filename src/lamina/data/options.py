"""What a user may say of the data, beside naming them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How a source is read and divided. Raises UsageError for shares that leave nothing to train on."""

    target: str | tuple[str, ...] | None = None
    """target column of a table, or several: one output each; none: the column called target, label, class or y"""
    task: Literal["auto", "classification", "multilabel", "regression"] = "auto"
    """what the targets call for; auto: text and up to 20 different whole numbers are classes, other numbers not"""
    separator: str = "|"
    """between the labels of one sample, where several stand in one cell"""
    categorical: tuple[str, ...] = ()
    """columns whose values are categories although they look like numbers"""
    drop: tuple[str, ...] = ()
    """columns to leave out"""
    missing: tuple[str, ...] = ()
    """texts that mean a missing value in a table, beside the empty cell, NA, NaN and null"""
    layout: Literal["auto", "NCHW", "NHWC"] = "auto"
    """axes of an image array; auto: the axis unlike the two equal ones is the channel, else the smaller one"""
    skip_bad: bool = False
    """leave out unreadable files and rows without a target, in place of an error"""
    validation: float = 0.1
    """share set aside to choose the best weights, where the source has no validation split"""
    test: float = 0.2
    """share set aside for the final figure, where the source has no test split"""
    limit: int | None = None
    """train on so many samples only, classes in proportion"""
    split_seed: int = 0
    """decides which samples are set aside, and which a limit keeps"""
    max_extracted_bytes: int = 20 * GIB
    """most bytes that an archive or a compressed array may inflate to"""

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.validation + self.test >= 1:
            raise UsageError("validation and test leave nothing to train on: their shares must add up to less than 1")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit must be at least 1, got {self.limit}")
        if not self.separator:
            raise UsageError("separator must not be empty")

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns named, as a tuple; empty where none is."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)
