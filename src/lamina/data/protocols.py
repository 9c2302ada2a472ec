"""The contracts of a modality: what training, tasks and runs need of any kind of data.

Nobody asks what class a preprocess or a split is of: whatever differs between images, tables and texts is behind one of
these methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.source import Source, Split
from lamina.data.streams import Batch, Place, Stream
from lamina.data.targets.code import TargetCode
from lamina.options.recipe import Augmentation, Recipe

Memory = Literal["auto", "hold", "stream"]
Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""mean and standard deviation of each channel"""


@dataclass(frozen=True)
class Input:
    """One input of a model by name, as exported files and other programs call it."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int | str, ...]
    """without the batch; a word names a dimension of any size, the same word the same size"""
    below: int | None = None
    """whole numbers: they lie between 0 and this, which is excluded (a vocabulary)"""
    lengths_of: str | None = None
    """whole numbers that count how much of a dimension of that name is data in each row; the rest is padding"""
    longest: int | None = None
    """most that its dimensions of any size may have; None: no limit"""

    def __str__(self) -> str:
        return f"{self.name}, {self.dtype}, {' x '.join(map(str, ('batch', *self.shape)))}"


Signature = tuple[Input, ...]
"""what a model is called with, in the order of a call by position"""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What decides how batches are made, beside the samples themselves."""

    recipe: Recipe
    task: str
    """the task's name, for messages"""
    mixes: bool = False
    """whether the task can learn from a mixture of two targets"""
    context: int | None = None
    """most tokens, or steps of time, that the model takes; None: no limit, a state is carried from batch to batch"""
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What model and options ask of a preprocess that is fitted; a modality refuses what is not its own."""

    options: DataOptions = field(default_factory=DataOptions)
    model: Any = None
    """the model's config with the options that were asked for, before the data decide theirs: for a modality whose
    preprocess brings data to a size that only its own models know; None for a module of the user's own"""
    augmentation: Augmentation = field(default_factory=Augmentation)
    channels: int | None = None
    """of images; None: the source's own"""
    size: tuple[int, int] | None = None
    """(height, width) of images; None: the source's own"""
    context: int | None = None
    """most tokens of a text; None: no limit"""
    memory: Memory = "auto"
    pretrained: bool = False
    """whether training begins with given weights"""
    origin: Preprocess | None = None
    """the preprocess that those weights were trained under, where they are a run's"""
    resumed: Preprocess | None = None
    """the preprocess of the run that is resumed"""


class Encoded(Protocol):
    """A split as a preprocess encodes it."""

    def __len__(self) -> int: ...


class Preprocess(Protocol):
    """Everything done to data before the model: fitted on train, saved in the run, used ever after."""

    @property
    def kind(self) -> str:
        """The modality's name."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or cut, and why: for the user to read."""

    @property
    def target(self) -> TargetCode: ...

    def files(self) -> dict[str, dict[str, Any]]:
        """The JSON files in which a run keeps it, by name; ``Modality.load`` reads them."""

    def model_options(self) -> dict[str, int]:
        """What the data decide of a model: the options it has among these are to be set."""

    def signature(self) -> Signature:
        """What a model trained on these data is called with."""

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that a model is called with for a batch, by position and by name."""

    def bytes_of(self, split: Split) -> int:
        """Memory that a split takes when it is held."""

    def encode(self, split: Split, hold: bool = True) -> Any:
        """A split ready to be batched, held in memory or made sample by sample."""

    def prepare(self, batch: Batch) -> Batch:
        """The last steps before the model, on the device."""

    def encode_input(self, item: object) -> Batch:
        """A batch of what a user gives to predict, as ``encode`` would have it. Raises UsageError or DataError."""

    def input_batches(self, item: object) -> Iterator[Batch]:
        """The same, prepared, in batches of bounded size. Raises UsageError or DataError."""

    def undo(self, value: Tensor) -> Any:
        """What a person looks at: one sample of what ``prepare`` gave, or of what a model gave in its place, as a
        picture (H, W, C) uint8, a row, a text."""

    def training_stream(self, samples: Any, options: BatchOptions) -> Stream:
        """Training batches. Raises UsageError for options that do not fit these data."""

    def evaluation_batches(self, samples: Any, options: BatchOptions, workers: int = 0) -> Iterable[Batch]:
        """Every sample once, in order."""


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A kind of data: a row of the table of modalities."""

    name: str
    noun: str
    """what the data are called: "images", "a table", "text" """
    unit: str
    """what one sample is called: "image", "row", "text" """
    fit: Callable[[Source, Needs], Preprocess]
    """the preprocess fitted on the training split; validation and test are not looked at"""
    load: Callable[[Mapping[str, Mapping[str, Any]]], Preprocess]
    """a preprocess from the files in which a run keeps it"""
    describe: Callable[[Source], Mapping[str, object]]
    """what only this modality has to say of a source, as JSON-ready data"""
    files: tuple[str, ...] = ("preprocess.json",)
    """the files of a preprocess"""
    augments: bool = False
    """whether it knows the recipe's group "augmentation\""""
    open: Callable[[str, Any, DataOptions], Source | None] | None = None
    """of another package: (name, path, options) -> the source at a path that it knows how to read, or None"""
