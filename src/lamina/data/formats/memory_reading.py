"""What data in memory are: recognised by their values, and refused in one line with what is accepted."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np
import torch

from lamina.data.catalogue import is_known
from lamina.data.formats.arrays import Array
from lamina.data.formats.memory import LABEL, Arrays, Frames, HubParts, MemoryData, Pictures, TextLists
from lamina.data.image.decoding import encoded
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.errors import DataError, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

ACCEPTED = (
    "a data frame; (inputs, labels); a list of texts, of pairs of texts, of pictures, of arrays or of rows as "
    "dictionaries; a data set with a length; a dictionary of these with a key 'train'"
)
INPUTS = ("image", "images", "img", "x", "features", "data", "text", "input", "inputs")
LABELS = ("label", "labels", "y", "target", "targets", "class")
"""keys of a sample that is a dictionary with an array or a picture"""


def in_memory(data: object) -> MemoryData | None:
    """The data that were given; None for names: an embedded set, a path, or several of these.

    Raises UsageError for what is neither.

    Example: ``in_memory((X, y)).name`` is "arrays of 150 samples".
    """
    if data is None or isinstance(data, str | os.PathLike) or _are_names(data):
        return None
    if isinstance(data, Frames | Arrays | Pictures | TextLists | HubParts):
        return data
    return read_memory(data)


def _are_names(data: object) -> bool:
    """Whether a list or tuple is one of names: strings that are known, or could be a path that is misspelt."""
    if not isinstance(data, list | tuple) or not data or not all(isinstance(one, str | os.PathLike) for one in data):
        return False
    return all(isinstance(one, os.PathLike) or _is_name(one) for one in data)


def _is_name(text: str) -> bool:
    return is_known(os.path.expandvars(text)) or (text.isascii() and not _blank(text))


def _blank(text: str) -> bool:
    return not text or any(mark.isspace() for mark in text)


def read_memory(data: Any, what: str = "the data") -> MemoryData:
    """Data in memory of any accepted kind. Raises UsageError for others, DataError for data that cannot be used."""
    import pandas as pd

    if isinstance(data, Mapping):
        return _mapping(data, what)
    if _is_hub_data(data):
        return HubParts({"train": _filled(data, what)})
    if isinstance(data, pd.Series):
        return _list(data.tolist(), what)
    if isinstance(data, pd.DataFrame) or hasattr(data, "to_pandas"):
        frame: pd.DataFrame = data if isinstance(data, pd.DataFrame) else data.to_pandas()
        return Frames({"train": _filled(frame, what)})
    if isinstance(data, tuple) and len(data) == 2 and not _are_texts(data):
        return _with_labels(data[0], data[1], what)
    if isinstance(data, tuple) and not _are_texts(data):
        raise UsageError(
            f"a tuple is (inputs, labels), this one has {len(data)} members: give splits as "
            "{'train': (inputs, labels), 'test': (inputs, labels)}, samples as a list"
        )
    if isinstance(data, list | tuple):
        return _list(data, what)
    if _is_array(data):
        return _array(_numpy(data), what)
    if hasattr(data, "toarray"):
        raise UsageError(f"{what} are a sparse matrix: give its toarray()")
    if _is_picture(data):
        raise UsageError(f"{what} are one picture: give a list of pictures")
    return _data_set(data, what)


# ---------------------------------------------------------------------------------------------------- inputs, labels


def _with_labels(inputs: Any, labels: Any, what: str) -> MemoryData:
    """Inputs with labels apart from them, or None."""
    if isinstance(inputs, str | bytes) or not _has_length(inputs):
        raise UsageError(f"a tuple of two is (inputs, labels), but the inputs are {_kind(inputs)}: give {ACCEPTED}")
    found = read_memory(inputs, "the inputs")
    if labels is None:
        return found
    if found.labelled or len(found.parts) != 1 or isinstance(found, HubParts):
        raise UsageError("(inputs, labels): the inputs have labels already: leave the second out")
    if isinstance(found, Frames):
        return _frame_with_labels(found.parts["train"], labels)
    values = _labels(labels)
    part = cast(Arrays, found).parts["train"][0]
    if len(part) != len(values):
        raise UsageError(f"there are {len(part):,} inputs and {len(values):,} labels: give one label for each input")
    return replace(cast(Arrays, found), parts={"train": (part, values)})


def _frame_with_labels(frame: pd.DataFrame, labels: Any) -> Frames:
    import pandas as pd

    values = _labels(labels)
    if len(frame) != len(values):
        raise UsageError(f"there are {len(frame):,} rows and {len(values):,} labels: give one label for each row")
    columns = values.reshape(len(values), -1).T
    if isinstance(labels, pd.DataFrame):
        names = [str(name) for name in labels.columns]
    else:
        own = getattr(labels, "name", None) if isinstance(labels, pd.Series) else None
        first = LABEL if own is None else str(own)
        names = [first] if len(columns) == 1 else [f"{first}{k}" for k in range(len(columns))]
    if taken := [name for name in names if name in map(str, frame.columns)]:
        raise UsageError(f"the data frame has a column called '{taken[0]}', as the labels are: rename one of them")
    index = labels.index if isinstance(labels, pd.DataFrame | pd.Series) else frame.index
    if not index.equals(frame.index) and set(index) == set(frame.index):
        raise UsageError("rows and labels have one index in two orders: give labels.loc[frame.index], or reset both")
    found = {name: list(column) for name, column in zip(names, columns, strict=True)}
    whole = frame.reset_index(drop=True).assign(**found)  # by position
    return Frames({"train": whole}, tuple(names))


def _labels(labels: Any) -> Array:
    """Labels (N,) or (N, K). Raises UsageError for other axes, mixed types and what are no labels."""
    import pandas as pd

    if isinstance(labels, pd.DataFrame | pd.Series) or _is_array(labels):
        values = _numpy(labels)
    elif isinstance(labels, list | tuple):
        values = _labels_of_list([_plain(one) for one in labels])
    else:
        raise UsageError(f"labels are a list, an array or a column, not {_kind(labels)}")
    if values.ndim not in (1, 2):
        raise UsageError(f"labels have one axis (N,) or two (N, K), but these have {values.ndim}")
    if values.dtype.kind == "O":
        present = [one for one in values.reshape(-1).tolist() if not _missing(one)]
        _expect_alike(present, "the labels")
    elif values.dtype.kind not in "biufU":
        raise UsageError(f"labels are numbers, texts or truth values, but these are of type {values.dtype}")
    return values


def _labels_of_list(labels: list[Any]) -> Array:
    _expect_alike([one for one in labels if not _missing(one)], "the labels")
    first = next((one for one in labels if not _missing(one)), None)
    if isinstance(first, list | tuple | np.ndarray):
        rows = [_row(one) for one in labels]
        if any(isinstance(value, str) for row in rows for value in row) or len({len(row) for row in rows}) > 1:
            raise UsageError("several labels for a sample are given as zeros and ones (N, K), or as one text: 'a|b'")
        return np.array(rows)
    if any(map(_missing, labels)):
        return np.array([None if _missing(one) else one for one in labels], dtype=object)
    return np.array(labels)


def _expect_alike(values: Sequence[Any], what: str) -> None:
    """Raise UsageError for texts among numbers, and for what is neither."""
    for number, value in enumerate(values):
        if isinstance(value, str) != isinstance(values[0], str):
            raise UsageError(f"{what} are mixed: {_kind(values[0])} and {_kind(value)} ({number + 1}): give one kind")
        if not isinstance(value, str | int | float | np.number | np.bool_ | list | tuple | np.ndarray):
            raise UsageError(f"{what} are numbers or texts, not {_kind(value)}")


# ---------------------------------------------------------------------------------------------------- lists of samples


def _list(samples: Sequence[Any], what: str, classes: Sequence[str] = ()) -> MemoryData:
    """A list of samples of one kind. Raises UsageError for an empty or mixed one."""
    if not len(samples):
        raise UsageError(f"{what} are empty: give at least one sample")
    kinds = [_sample_kind(sample) for sample in samples]
    known = [kind for kind in kinds if kind is not None]
    if not known:
        raise UsageError(f"{what} are a list of None")
    for number, kind in enumerate(kinds, 1):
        if kind is not None and kind != known[0]:
            raise UsageError(f"{what} are mixed: {known[0]} and {kind} (sample {number}): give one kind")
    if None in kinds and known[0] != TEXTS:
        raise UsageError(f"{what} have no sample {kinds.index(None) + 1}: it is None")
    if known[0] not in READERS:
        raise UsageError(f"{what} are a list of {known[0]}: give {ACCEPTED}")
    return READERS[known[0]](samples, what, tuple(classes))


def _sample_kind(sample: Any) -> str | None:
    """What a sample is, in words; None for None."""
    if sample is None or (isinstance(sample, float) and math.isnan(sample)):
        return None
    if isinstance(sample, str):
        return TEXTS
    if isinstance(sample, Mapping):
        return ROWS
    if _is_picture(sample):
        return PICTURES
    if isinstance(sample, tuple) and len(sample) != 2 and not _numbers(sample):
        return f"tuples of {len(sample)}"
    if isinstance(sample, list | tuple):
        if _numbers(sample):
            return ARRAYS
        return PAIRS if len(sample) == 2 and (isinstance(sample, tuple) or _are_texts(sample)) else LISTS
    if _is_array(sample) and _numpy(sample).ndim:
        return ARRAYS
    return "numbers" if _numbers([sample]) else _kind(sample)


def _texts(samples: Sequence[Any], what: str, classes: tuple[str, ...]) -> MemoryData:
    return TextLists({"train": ([one if isinstance(one, str) else None for one in samples], None)})


def _pairs(samples: Sequence[Any], what: str, classes: tuple[str, ...]) -> MemoryData:
    inputs, labels = [one for one, _ in samples], [_plain(label) for _, label in samples]
    found = _with_labels(inputs, labels, what)
    if isinstance(found, Arrays | Pictures):
        return replace(found, classes=classes)
    return found


def _pictures(samples: Sequence[Any], what: str, classes: tuple[str, ...]) -> MemoryData:
    return Pictures({"train": ([encoded(one, f"picture {k}") for k, one in enumerate(samples, 1)], None)})


def _rows(samples: Sequence[Any], what: str, classes: tuple[str, ...]) -> MemoryData:
    """Rows as dictionaries; samples of an array or a picture with its label."""
    import pandas as pd

    folded = {str(key).casefold(): key for key in samples[0]}
    inputs = [folded[name] for name in INPUTS if name in folded]
    labels = [folded[name] for name in LABELS if name in folded]
    if inputs and _sample_kind(samples[0][inputs[0]]) in (PICTURES, ARRAYS):
        found = [(one.get(inputs[0]), one.get(labels[0])) for one in samples] if labels else None
        return _pairs(found, what, classes) if found else _list([one.get(inputs[0]) for one in samples], what)
    return Frames({"train": pd.DataFrame.from_records([{k: _plain(v) for k, v in one.items()} for one in samples])})


def _arrays(samples: Sequence[Any], what: str, classes: tuple[str, ...]) -> MemoryData:
    """Arrays of one shape as one, images of different sizes as pictures."""
    arrays = [_numpy(sample) for sample in samples]
    if len({array.dtype for array in arrays}) > 1 and not all(array.ndim == 1 for array in arrays):
        raise UsageError(f"{what} are mixed: arrays of {' and '.join(sorted({str(one.dtype) for one in arrays}))}")
    shapes = list(dict.fromkeys(array.shape for array in arrays))
    if len(shapes) == 1:
        return _array(np.stack(arrays), what)
    if all(array.ndim == 1 for array in arrays):
        raise UsageError(f"{what} are rows of {len(arrays[0])} and of other numbers of values: give rows of one length")
    from PIL import Image

    pictures = []
    for array in arrays:
        plane = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
        if array.dtype != np.uint8 or plane.ndim not in (2, 3) or (plane.ndim == 3 and plane.shape[-1] != 3):
            raise UsageError(
                f"{what} are arrays of different shapes, such as {shapes[0]} and {shapes[1]}: only pictures of bytes, "
                "(H, W) or (H, W, 3) uint8, can differ in size"
            )
        pictures.append(Image.fromarray(plane))
    return _pictures(pictures, what, classes)


def _nested(samples: Sequence[Any], what: str, classes: tuple[str, ...]) -> MemoryData:
    """Numbers in lists of lists."""
    try:
        return _array(np.array(samples), what)
    except ValueError:
        raise UsageError(f"{what} are a list of lists of different lengths: give {ACCEPTED}") from None


TEXTS, PAIRS, PICTURES, ARRAYS, ROWS = "texts", "pairs", "pictures", "arrays", "dictionaries"
LISTS = "lists"
READERS: dict[str, Callable[[Sequence[Any], str, tuple[str, ...]], MemoryData]] = {
    TEXTS: _texts,
    PAIRS: _pairs,
    PICTURES: _pictures,
    ARRAYS: _arrays,
    ROWS: _rows,
    LISTS: _nested,
}


def _array(array: Array, what: str) -> MemoryData:
    """An array of features, of images, or of texts."""
    if array.dtype.names:
        import pandas as pd

        return Frames({"train": _filled(pd.DataFrame(array), what)})
    if array.dtype.kind in "OUS" and array.ndim == 1:
        return _list(array.astype(str).tolist() if array.dtype.kind == "S" else array.tolist(), what)
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"{what} are an array of type {array.dtype}: give numbers (astype(float)), or a data frame for columns of "
            "different types"
        )
    if array.ndim not in (2, 3, 4):
        raise UsageError(
            f"{what} are an array of {array.ndim} axes: features have 2 (N, F), images 3 (N, H, W) or 4 (with channels)"
        )
    return Arrays({"train": (_filled(array, what), None)})


# ---------------------------------------------------------------------------------------------------- splits, data sets


def _mapping(data: Mapping[Any, Any], what: str) -> MemoryData:
    """A dictionary of splits, or of columns."""
    if not data:
        raise UsageError(f"{what} are an empty dictionary: give {ACCEPTED}")
    splits = {name: SPLIT_NAMES.get(str(name).casefold()) for name in data}
    if any(split is not None for split in splits.values()):
        return _splits(data, splits)
    columns = list(data.values())
    lengths = {len(column) for column in columns if _has_length(column) and not isinstance(column, str)}
    if len(lengths) == 1 and all(_has_length(one) and not isinstance(one, str) for one in columns):
        import pandas as pd

        if all(isinstance(one, list | tuple | pd.Series) or (_is_array(one) and one.ndim == 1) for one in columns):
            return Frames({"train": pd.DataFrame({name: _plain_column(column) for name, column in data.items()})})
    raise UsageError(
        f"a dictionary holds splits (train, validation, test) or columns of one length, but this one has the keys "
        f"{', '.join(map(str, data))}"
    )


def _splits(data: Mapping[Any, Any], splits: Mapping[Any, str | None]) -> MemoryData:
    found: dict[str, MemoryData] = {}
    for name, split in splits.items():
        if split is None:
            near = nearest(str(name), SPLIT_NAMES)
            hint = f"; did you mean '{near}'?" if near else ""
            raise UsageError(f"'{name}' is no split (they are called train, validation and test){hint}")
        if split in found:
            raise UsageError(f"'{name}' and another key both name the split {split}")
        if isinstance(data[name], str | os.PathLike):
            raise UsageError(
                f"the split '{name}' is a name: splits in a dictionary are data in memory; files of splits are found "
                "in their folder, called train, validation and test"
            )
        found[split] = read_memory(data[name], f"the data of {name}")
    if "train" not in found:
        raise UsageError(f"there is no 'train' among the splits {', '.join(map(str, data))}")
    train, parts = found["train"], {split: found[split].parts["train"] for split in ORDER if split in found}
    for split, part in found.items():
        if type(part) is not type(train) or set(part.parts) != {"train"}:
            raise UsageError(f"the splits are of different kinds: train is {train.name}, {split} is {part.name}")
        if part.labelled != train.labelled:
            one, other = (split, "train") if train.labelled else ("train", split)
            raise UsageError(f"{other} has labels, {one} has none: give them for all splits, or for none")
        if getattr(part, "targets", ()) != getattr(train, "targets", ()):
            raise UsageError(f"the labels of {split} have another name than those of train")
    whole: MemoryData = replace(cast(Any, train), parts=parts)
    return whole


def _data_set(data: Any, what: str) -> MemoryData:
    """A data set of samples by number, as those of torch: read once."""
    if hasattr(data, "dataset") and hasattr(data, "batch_size"):
        raise UsageError(f"{_kind(data)} gives batches: give its data set (.dataset)")
    if not _has_length(data):
        raise UsageError(f"{_kind(data)} has no length: put its samples in a list, or give {ACCEPTED}")
    if not hasattr(data, "__getitem__") or isinstance(data, str | bytes | bytearray | memoryview | range):
        raise UsageError(f"{what} cannot be {_kind(data)}: give {ACCEPTED}")
    samples = [data[number] for number in range(len(data))]
    if samples and not _equal(samples[0], data[0]):
        raise UsageError(
            f"{_kind(data)} gives another sample 0 each time it is read: leave random transforms out (flip, crop and "
            "their like are options of training)"
        )
    classes = getattr(data, "classes", ())
    named = isinstance(classes, list | tuple) and all(isinstance(one, str) for one in classes)
    return _list(samples, what, tuple(classes) if named else ())


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if _is_picture(one):
        return bool(one.size == other.size) and one.tobytes() == other.tobytes()
    if _is_array(one):
        return np.array_equal(_numpy(one), _numpy(other), equal_nan=_numpy(one).dtype.kind == "f")
    return one is other or bool(one == other) or bool(one != one and other != other)


# ---------------------------------------------------------------------------------------------------- values


def _is_hub_data(data: Any) -> bool:
    mapped = isinstance(getattr(data, "features", None), Mapping)
    return bool(mapped) and hasattr(data, "select_columns") and _has_length(data)


def _is_picture(data: object) -> TypeGuard[Image.Image]:
    from PIL import Image

    return isinstance(data, Image.Image)


def _is_array(data: Any) -> bool:
    arrays = isinstance(data, np.ndarray | torch.Tensor | np.generic)
    return arrays or (hasattr(data, "__array__") and hasattr(data, "ndim"))


def _numpy(data: Any) -> Array:
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        return cast(Array, (data.float() if data.dtype == torch.bfloat16 else data).numpy())
    return np.asarray(data)


def _plain(value: Any) -> Any:
    """A single number in an array or tensor as a number."""
    return _numpy(value).item() if _is_array(value) and not _numpy(value).ndim else value


def _plain_column(column: Any) -> Any:
    return [_plain(value) for value in column] if isinstance(column, list | tuple) else column


def _row(values: Any) -> list[Any]:
    found: list[Any] = [_plain(one) for one in values] if isinstance(values, list | tuple) else values.tolist()
    return found


def _numbers(values: Sequence[Any]) -> bool:
    return len(values) > 0 and all(isinstance(_plain(one), int | float | np.number | np.bool_) for one in values)


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(one, str) for one in values)


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _has_length(data: Any) -> bool:
    try:
        len(data)
    except (TypeError, NotImplementedError):
        return False
    return True


def _filled(data: Any, what: str) -> Any:
    if not len(data):
        raise DataError(f"{what} are empty: give at least one sample")
    return data


def _kind(value: object) -> str:
    """A value's type in words."""
    if isinstance(value, Iterator):
        return "a generator" if hasattr(value, "send") else f"an iterator ({type(value).__name__})"
    words = {str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return words.get(type(value), f"{type(value).__name__}")
