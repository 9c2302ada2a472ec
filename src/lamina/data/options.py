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
    task: str = "auto"
    """what is learnt; auto: the first of the model's tasks that the data can serve, where text and up to 20 different
    whole numbers are classes, other numbers values"""
    text: str | None = None
    """column with the texts to judge or to learn; none: the only one beside the target, if it is free text"""
    languages: tuple[str, ...] = ()
    """what is translated and into what, as columns or the endings of parallel files call them: de,en"""
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
    """train on so many samples only, classes in proportion; of running text on so many characters"""
    split_seed: int = 0
    """decides which samples are set aside, and which a limit keeps"""
    tokenizer: Literal["auto", "character", "word", "bpe"] = "auto"
    """what a text is cut into; auto: what suits the source, else characters for language models, words for classes,
    bpe (byte pairs) for translation"""
    vocabulary: int | None = None
    """most different tokens; none: 20,000 words, 8,000 byte pairs, characters without a limit"""
    lowercase: bool = False
    """read all texts in lower case"""
    max_tokens: int = 512
    """longer texts are cut, longer pairs left out of training"""
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
        if len(self.languages) not in (0, 2) or len(set(self.languages)) != len(self.languages):
            raise UsageError(f"languages are two, what is translated and into what, got {', '.join(self.languages)}")
        if self.vocabulary is not None and self.vocabulary < 1:
            raise UsageError(f"vocabulary must be at least 1, got {self.vocabulary}")
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if not self.separator:
            raise UsageError("separator must not be empty")

    @property
    def targets(self) -> tuple[str, ...]:
        """The target columns named, as a tuple; empty where none is."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)
