"""The interfaces of a modality, as training, tasks and runs use them.

Callers never check the class of a preprocess or split: every difference between images, tables and texts is behind one
of these methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor

from lamina.data.options import DataOptions
from lamina.data.requests import RequestFormat
from lamina.data.source import Source, Split
from lamina.data.streams import Batch, Place, Stream
from lamina.data.targets.code import TargetCode
from lamina.options.recipe import Augmentation, Recipe

Memory = Literal["auto", "hold", "stream"]
Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""mean and standard deviation of each channel"""


@dataclass(frozen=True)
class Input:
    """One input of a model, as named in exported files.

    Example: ``Input("tokens", "int64", ("time",), below=20_000)``
    """

    name: str
    dtype: Literal["float32", "int64", "bool", "uint8"]
    shape: tuple[int | str, ...]
    """without the batch dimension; a string names a dynamic dimension, equal strings equal sizes"""
    below: int | None = None
    """integers: exclusive upper bound (vocabulary size)"""
    lengths_of: str | None = None
    """name of the dimension whose unpadded length in each row this input holds"""
    longest: int | None = None
    """maximum size of dynamic dimensions; None: no limit"""
    bounds: tuple[float, float] | None = None
    """floats: the lowest and the highest value that the preprocessing gives; None: no bounds"""

    def __str__(self) -> str:
        return f"{self.name}, {self.dtype}, {' x '.join(map(str, ('batch', *self.shape)))}"


Signature = tuple[Input, ...]
"""the inputs of a model, in positional order"""


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Options of batching.

    Example: ``BatchOptions(recipe=Recipe(batch_size=32), task="classification")``
    """

    recipe: Recipe
    task: str
    """the task's name, for messages"""
    mixes: bool = False
    """whether the task supports mixed targets (mixup, CutMix)"""
    context: int | None = None
    """maximum number of tokens of the model; None: no limit, a state is carried from batch to batch"""
    whole: bool = False
    """whether an epoch of few batches leaves no sample out (``data.streams.Cut``)"""
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Requirements of model and options for a preprocess; a modality raises an error for those of other modalities.

    Example: ``Needs(channels=1, size=(32, 32))``
    """

    options: DataOptions = field(default_factory=DataOptions)
    model: Any = None
    """the model's config with the options that were asked for, before the data decide theirs: for a modality whose
    preprocess brings data to a size that only its own models know; None for a module of the user's own"""
    augmentation: Augmentation = field(default_factory=Augmentation)
    channels: int | None = None
    """image channels; None: as in the source"""
    size: tuple[int, int] | None = None
    """image (height, width); None: as in the source"""
    context: int | None = None
    """maximum tokens of a text; None: no limit"""
    memory: Memory = "auto"
    pretrained: bool = False
    """whether training starts from given weights"""
    image_range: Literal["unit", "half"] | None = None
    """the task's normalisation of images, to [0, 1] or to [-1, 1], unless the options ask for another"""
    origin: Preprocess | None = None
    """the preprocess of those weights, if they are from a run"""
    beside: Path | None = None
    """the folder that those weights lie in: of a run, or of another project"""
    moments: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """mean and deviation that the images were normalised with which those weights were trained on, where that folder
    states them"""
    vocabulary: str | None = None
    """the hash of the vocabulary that those weights were trained with, if their file carries it"""
    judged: bool = False
    """whether those weights are judged as they are: nothing that they depend on is fitted on the data"""
    resumed: Preprocess | None = None
    """the preprocess of a resumed run"""


class Encoded(Protocol):
    """A split encoded by a preprocess."""

    def __len__(self) -> int: ...


class Preprocess(Protocol):
    """All processing of data before the model: fitted on the training split and saved with the run.

    Example::

        preprocess = fit_preprocess(open_source("digits"))
        for batch in preprocess.input_batches("seven.png"):
            args, kwargs = preprocess.call(batch)
            outputs = model(*args, **kwargs)
    """

    @property
    def kind(self) -> str:
        """The modality's name."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on what was excluded or truncated."""

    @property
    def target(self) -> TargetCode: ...

    def files(self) -> dict[str, dict[str, Any]]:
        """Its JSON files by name, as saved in a run; ``Modality.load`` reads them."""

    def model_options(self) -> dict[str, int]:
        """Model options determined by the data; those that the model has are set."""

    def signature(self) -> Signature:
        """The inputs of a model trained on these data."""

    def call(self, batch: Batch) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments of the model for a batch."""

    def bytes_of(self, split: Split) -> int:
        """Bytes of memory of a split that is held."""

    def encode(self, split: Split, hold: bool = True) -> Any:
        """A split ready for batching, held in memory or encoded sample by sample."""

    def prepare(self, batch: Batch) -> Batch:
        """The last processing before the model, on the device."""

    def encode_input(self, item: object) -> Batch:
        """A batch of user input, encoded as by ``encode``. Raises UsageError or DataError."""

    def input_batches(self, item: object) -> Iterator[Batch]:
        """User input encoded and prepared, in batches of bounded size. Raises UsageError or DataError."""

    def undo(self, value: Tensor) -> Any:
        """The inverse of ``prepare`` for one sample, to display data or model outputs: a picture (H, W, C) uint8, a
        row, a text."""

    def training_stream(self, samples: Any, options: BatchOptions) -> Stream:
        """Training batches. Raises UsageError for options that do not suit the data."""

    def evaluation_batches(self, samples: Any, options: BatchOptions, workers: int = 0) -> Iterable[Batch]:
        """Every sample once, in order."""


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A kind of data: an entry of the table of modalities.

    Example: ``MODALITIES["image"].fit(open_source("digits"), Needs())``
    """

    name: str
    noun: str
    """name of the data in messages: "images", "a table", "text" """
    unit: str
    """name of one sample in messages: "image", "row", "text" """
    fit: Callable[[Source, Needs], Preprocess]
    """fits a preprocess on the training split only"""
    load: Callable[[Mapping[str, Mapping[str, Any]]], Preprocess]
    """loads a preprocess from the files of a run"""
    describe: Callable[[Source], Mapping[str, object]]
    """the modality's part of the description of a source, JSON-ready"""
    files: tuple[str, ...] = ("preprocess.json",)
    """the files of a preprocess"""
    augments: bool = False
    """whether it supports the recipe's augmentation options"""
    in_time: bool = False
    """whether it supports the options of series"""
    inputs: Callable[[Any], Iterable[Any]] | None = None
    """what is given to predict as the items that it stands for: files of a folder or pattern, images of a list"""
    rows: Callable[[Any], bool] | None = None
    """whether an item holds rows that are counted, such as a table file; None: every item may"""
    from_word: Callable[[str], Any] = str
    """what a word on the command line stands for, by default itself"""
    remarks: Callable[[Any, Split], Sequence[str]] | None = None
    """of a preprocess and a split: what a user should know of the values that training had not"""
    extent: Callable[[Source], tuple[int, int] | None] | None = None
    """of images: the height and width that they mostly have, before they are resized"""
    example: str = "item"
    """an item of predict, as it is written in Python"""
    enough: int | None = None
    """samples below which training a large net from nothing will be poor; None: it is not said"""
    beside: Callable[[Path, str, int | None], Preprocess] | None = None
    """the preprocess that a folder of published weights holds: (folder, task, context)"""
    requests: RequestFormat | None = None
    """how items come in a request over the network; None: runs are not served"""
    open: Callable[[str, Any, DataOptions], Source | None] | None = None
    """for other packages: (name, path, options) -> a source, or None if it cannot read the path"""
