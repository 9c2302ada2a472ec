"""Options for reading and splitting data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from lamina.errors import UsageError

GIB = 2**30
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": " ", "pipe": "|", "\\t": "\t"}
THOUSANDS = (".", ",", "'", "space", "none")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How a source is read and split. Raises UsageError for values out of range.

    Example: ``DataOptions(target="price", validation=0.1, test=0.2, split_seed=1)``
    """

    teaches: ClassVar[bool] = True
    """whether a model is to learn from the data, for which they need more than one class"""
    supervised: ClassVar[bool] = True
    """whether targets are what it learns"""
    target: str | tuple[str, ...] | None = None
    """target column of a table, or several; default: the column called target, label, class or y"""
    task: str = "auto"
    """what the model is trained for; auto: the first of the model's tasks that the data can be used for. Text and up to
    20 different integers are classes, other numbers regression targets"""
    text: str | None = None
    """column of input texts; default: the only column besides the target, if it is free text"""
    languages: tuple[str, ...] = ()
    """source and target language of a translation, named as columns or as endings of parallel files: de,en"""
    separator: str = "|"
    """separator of several labels in one cell"""
    categorical: tuple[str, ...] = ()
    """columns to treat as categories although they look numeric"""
    drop: tuple[str, ...] = ()
    """columns to ignore"""
    keep: tuple[str, ...] = ()
    """columns to use as inputs although they look like row numbers or a division into splits"""
    day_first: bool | None = None
    """03/04/2020 is 3 April; no: 4 March; default: what all dates of the column allow"""
    split_column: str = "auto"
    """column with the split of each row: train, validation (val, valid, dev) or test; auto: the one that holds these
    words alone; none: no column"""
    missing: tuple[str, ...] = ()
    """texts and numbers that mean a missing value in a table, besides the empty cell; default: NA, NaN, null, None and
    their like in columns of numbers, and only the empty cell in columns of texts and labels"""
    delimiter: str = "auto"
    """mark between the cells of a CSV file: one character, or comma, semicolon, tab, space, pipe; auto: found"""
    decimal: Literal["auto", ".", ","] = "auto"
    """decimal mark of the numbers of a table where they leave it open; auto: found"""
    thousands: str = "auto"
    """mark between thousands: one of . , ' space none; auto: found"""
    header: Literal["yes", "no"] = "yes"
    """whether the first line of a CSV file holds the names of the columns; no: they are called 1, 2, 3, ..."""
    encoding: str = "auto"
    """encoding of tables and text files, such as cp1252 or latin-1; auto: UTF-8, of tables also what a byte order mark
    states"""
    root: str | None = None
    """folder of the images that a table names, beside the table or in the current folder; default: that of the table"""
    suffix: str = ""
    """ending of image files that a table leaves out: .jpg for the identifiers 0001, 0002, ..."""
    layout: Literal["auto", "NCHW", "NHWC"] = "auto"
    """axes of an image array; auto: the channel axis differs from two equal axes, or is the smaller one"""
    skip_bad: bool = False
    """skip unreadable files and rows without a target instead of raising an error"""
    validation: float = 0.1
    """share of the data for validation, if the source has no validation split"""
    test: float = 0.2
    """share of the data for testing, if the source has no test split and there are no folds"""
    limit: int | None = None
    """maximum number of training samples, classes in proportion; for running text, of characters"""
    normal: str | None = None
    """class that is normal: training and validation see it alone, the test split has the others as anomalies"""
    group: str | None = None
    """column of groups, such as patients: rows of a group are never in two splits, and the column is no input"""
    folds: int | None = None
    """number of folds of a cross-validation: each in turn is the test split"""
    fold: int | None = None
    """the one of the folds to test, from 1; default: lamina train trains on each in turn"""
    split_seed: int = 0
    """seed of the splits and of the samples that a limit keeps"""
    time: str | None = None
    """column of time of a table of series, which is then divided by time; default: the only column of dates"""
    horizon: int | None = None
    """steps of a series to forecast; default: the model's"""
    context: int | None = None
    """steps of a series that the model looks at; default: the model's"""
    series: tuple[str, ...] = ()
    """columns that name the series of a row, for tables of several; default: one called unique_id"""
    known: tuple[str, ...] = ()
    """columns of series known ahead of time, such as holidays: inputs, and needed to predict"""
    static: tuple[str, ...] = ()
    """columns that are the same in all rows of a series: inputs"""
    past: tuple[str, ...] = ()
    """columns of series that are inputs of the past alone; default: those without another role"""
    season: int | None = None
    """rows in a season of a series; default: by frequency, 24 hours, 7 days, 5 business days, 52 weeks, 12 months"""
    frequency: str | None = None
    """step between rows of a series: s, min, h, D, B, W, MS, ME, QS, QE, YS, YE, 30min; default: found. Stamps are
    brought to its grid"""
    gaps: Literal["refuse", "fill", "split"] = "refuse"
    """missing rows of a series: an error, filled (masked in the loss), or no window crosses them"""
    rows: tuple[int, ...] = ()
    """rows of each series for train, validation and test: 8640,2880,2880; default: by share"""
    scale: Literal["auto", "channel", "series"] = "auto"
    """standardise each target over all series, or each series by itself; auto: the latter for several series that are
    divided by time"""
    calendar: bool | None = None
    """hour, weekday, day and day of the year as inputs of models of series that take inputs known ahead; default: those
    that come again in the training rows, which hold two turns or more"""
    tokenizer: str = "auto"
    """kind of tokens: character, word, bpe (byte pairs), or the file of a tokenizer: tokenizer.json, vocab.json beside
    merges.txt, or their folder; auto: that of given weights, the source's own, or characters for language models, words
    for classification, bpe for translation"""
    vocabulary: int | None = None
    """maximum vocabulary size; default: 20,000 words, 8,000 byte pairs, any number of characters"""
    lowercase: bool = False
    """convert all texts to lower case"""
    max_tokens: int = 512
    """longer texts are truncated, longer pairs excluded from training"""
    max_extracted_bytes: int = 20 * GIB
    """maximum size in bytes of an unpacked archive or compressed array"""

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.validation + self.test >= 1:
            raise UsageError("validation and test leave nothing to train on: their shares must add up to less than 1")
        if self.folds is not None and self.folds < 2:
            raise UsageError(
                f"folds must be at least 2, got {self.folds}: --test sets the share of a single test split"
            )
        if self.fold is not None and not 1 <= self.fold <= (self.folds or 0):
            known = "give --folds too" if self.folds is None else f"it must be 1 to {self.folds}"
            raise UsageError(f"fold is {self.fold}: {known}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit must be at least 1, got {self.limit}")
        if len(self.languages) not in (0, 2) or len(set(self.languages)) != len(self.languages):
            raise UsageError(
                f"languages must be two different ones, source and target, got {', '.join(self.languages)}"
            )
        if self.vocabulary is not None and self.vocabulary < 1:
            raise UsageError(f"vocabulary must be at least 1, got {self.vocabulary}")
        for name in ("horizon", "context", "season"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise UsageError(f"{name} must be at least 1, got {given}")
        if self.rows and (len(self.rows) != 3 or self.rows[0] < 1 or min(self.rows) < 0):
            raise UsageError(
                f"rows must be three numbers, of train, validation and test, got {', '.join(map(str, self.rows))}"
            )
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if not self.separator:
            raise UsageError("separator must not be empty")
        if self.delimiter != "auto" and len(self.delimiter_mark) != 1:
            raise UsageError(
                f"delimiter must be one character or one of {', '.join(DELIMITERS)}, got {self.delimiter!r}"
            )
        if self.thousands not in ("auto", " ", *THOUSANDS):
            raise UsageError(f"thousands must be auto or one of {' '.join(THOUSANDS)}, got {self.thousands!r}")
        if self.thousands == self.decimal != "auto":
            raise UsageError(f"decimal and thousands cannot both be '{self.decimal}'")
        if self.encoding != "auto":
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError) as error:
                raise UsageError(
                    f"encoding: {error}, known are utf-8, utf-16, cp1252, latin-1 and Python's others"
                ) from error

    @property
    def of_series(self) -> list[str]:
        """The options of series that were given."""
        names = ("time", "horizon", "context", "series", "known", "static", "past", "season", "frequency", "rows")
        given = [name for name in names if getattr(self, name) not in (None, ())]
        return given + [name for name, usual in (("gaps", "refuse"), ("scale", "auto")) if getattr(self, name) != usual]

    @property
    def delimiter_mark(self) -> str:
        """The delimiter itself; "" if it is to be found."""
        return "" if self.delimiter == "auto" else DELIMITERS.get(self.delimiter, self.delimiter)

    @property
    def targets(self) -> tuple[str, ...]:
        """The named target columns as a tuple, possibly empty."""
        if self.target is None:
            return ()
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a run knows of the columns of its data, for reading other data as its own."""

    texts: tuple[str, ...] = ()
    """columns of texts, even if all of them look like numbers"""
    notations: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """decimal and thousands mark of columns of numbers"""


@dataclass(frozen=True, kw_only=True)
class UnsupervisedOptions(DataOptions):
    """How data are read for a task that does not predict targets: those that are there may be of one class."""

    supervised: ClassVar[bool] = False

    @classmethod
    def of(cls, options: DataOptions) -> UnsupervisedOptions:
        """The same options, the task left to the data."""
        return cls(**{**{field.name: getattr(options, field.name) for field in fields(options)}, "task": "auto"})


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(DataOptions):
    """How data are read to evaluate a model that is trained already: a single class is enough, nothing is divided.

    Example: ``EvaluationOptions.of(DataOptions(target="price"), task="regression")``
    """

    teaches: ClassVar[bool] = False

    columns: Known = field(default_factory=Known)
    """what the run knows of the columns of a table"""

    @classmethod
    def of(cls, options: DataOptions, task: str) -> EvaluationOptions:
        """The options of the training data, for data read for ``task``."""
        given = {field.name: getattr(options, field.name) for field in fields(options)}
        undivided: dict[str, Any] = {"validation": 0.0, "test": 0.0, "limit": None, "split_column": "auto"}
        undivided |= {"folds": None, "fold": None, "rows": ()}
        return cls(**{**given, **undivided, "task": task})


def known(options: DataOptions) -> Known:
    """What the options know of the columns: nothing, unless they are those of a run."""
    return options.columns if isinstance(options, EvaluationOptions) else Known()
