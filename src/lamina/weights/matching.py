"""How the names and shapes of a file fit a model under one layout, and the messages where they do not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lamina.errors import UsageError
from lamina.weights.layout import Layout, Translation
from lamina.weights.prefixes import Reading

COUNTERS = re.compile(r"(.*\.)?num_batches_tracked")
"""counters of batch normalisation, missing in files from before torch 0.4.1: the model then keeps its own"""
BOOKKEEPING = re.compile(r"n_averaged")
"""tensors of ``torch.optim.swa_utils.AveragedModel`` that are no weights"""
PADDING = tuple(2**power for power in range(3, 10))
"""what the rows of embeddings are rounded up to a multiple of"""
SHOWN = 5


@dataclass(kw_only=True)
class Match:
    """How a file fits a model under one layout and one reading of its names, without the head if it is reset."""

    layout: Layout
    translation: Translation
    reading: Reading
    theirs: Mapping[str, Tensor]
    """the file's tensors by their names as they are read, matrices as (out, in)"""
    fitting: dict[str, str] = field(default_factory=dict)
    """their name by ours, of equal shape"""
    misshapen: dict[str, str] = field(default_factory=dict)
    """their name by ours, of different shape"""
    missing: list[str] = field(default_factory=list)
    """our names that the file lacks"""
    unexpected: list[str] = field(default_factory=list)
    """their names that the model lacks"""
    zeros: list[str] = field(default_factory=list)
    """our names of tensors that this project leaves out where they are 0"""
    padded: dict[str, str] = field(default_factory=dict)
    """their name by ours, with rows beyond the vocabulary; they are in ``fitting``, too"""

    @property
    def score(self) -> tuple[int, int]:
        """The better of two matches has the greater one."""
        return len(self.fitting), -len(self.unexpected)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, unexpected or misshapen."""
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def only_head(self) -> bool:
        """Whether the head, and nothing else, does not fit."""
        wrong = [*self.misshapen, *self.missing, *(self.translation.ours(name) or "" for name in self.unexpected)]
        return bool(wrong) and all(in_head(name) for name in wrong)


def match(
    layout: Layout,
    translation: Translation,
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    reading: Reading,
    reset_head: bool,
) -> Match:
    """Compare names and shapes."""
    read = {name: theirs[own] for name, own in reading.names.items()}
    found = Match(layout=layout, translation=translation, reading=reading, theirs=translation.transpose(read))
    for their_name, tensor in found.theirs.items():
        name = translation.ours(their_name)
        if (name is None and translation.ignores(their_name)) or (reset_head and name is not None and in_head(name)):
            continue
        if BOOKKEEPING.fullmatch(their_name) and their_name not in ours:
            continue
        if name is None or name not in ours or name in found.fitting or name in found.misshapen:
            found.unexpected.append(their_name)
        elif (
            _trimmed(tensor) == _trimmed(ours[name])
            or _covers(tensor, ours[name])
            or (translation.leads(their_name) and _core(tensor) == _core(ours[name]))
        ):
            found.fitting[name] = their_name
        else:
            found.misshapen[name] = their_name
    there = found.fitting.keys() | found.misshapen.keys()
    for name in ours:
        if name not in there and not COUNTERS.fullmatch(name) and not (reset_head and in_head(name)):
            found.missing.append(name)
    zeros = [name for name in ours if translation.may_be_zero(translation.theirs(name) or "")]
    if zeros and set(zeros) <= set(found.missing):
        found.zeros = zeros
        found.missing = [name for name in found.missing if name not in zeros]
    return found


def cut_vocabulary(found: Match, ours: Mapping[str, Tensor], vocabulary: int | None) -> None:
    """Let rows of embeddings beyond the ``vocabulary`` be cut, if everything else fits and they round its size up."""
    if vocabulary is None or found.missing or found.unexpected:
        return
    for name, their_name in found.misshapen.items():
        here, there = ours[name].shape, found.theirs[their_name].shape
        rounded = {-(-vocabulary // step) * step for step in PADDING}
        if here[:1] != (vocabulary,) or here[1:] != there[1:] or there[0] not in rounded:
            return
    found.padded, found.misshapen = found.misshapen, {}
    found.fitting |= found.padded


def in_head(ours: str) -> bool:
    """Whether a tensor of ours belongs to the output layer, of a supernet that of its player ``weights``."""
    return ours.removeprefix("weights.").partition(".")[0].startswith("head")


def _trimmed(tensor: Tensor) -> list[int]:
    """The shape without trailing ones: a 1x1 convolution is a linear layer, scales (C, 1, 1) are (C,)."""
    shape = list(tensor.shape)
    while shape and shape[-1] == 1:
        shape.pop()
    return shape


def _core(tensor: Tensor) -> list[int]:
    """The shape without ones before and after it."""
    shape = _trimmed(tensor)
    while shape and shape[0] == 1:
        shape.pop(0)
    return shape


def _covers(kernel: Tensor, linear: Tensor) -> bool:
    """Whether a convolution over whole maps has the size of our linear layer of the flattened maps (timm's VGG)."""
    return kernel.ndim == 4 and linear.shape == (len(kernel), kernel.shape[1:].numel())


def expect_fit(found: Match, ours: Mapping[str, Tensor], label: str, model: str, advice: str) -> None:
    """Raise UsageError for tensors that are missing, unexpected or misshapen."""
    if found.whole:
        return
    theirs = found.theirs
    if 3 * (len(found.fitting) + len(found.misshapen)) < len(theirs):  # hardly any names fit: another architecture
        raise UsageError(
            f"{label} does not fit this {model}: {len(found.fitting)} of its {len(theirs)} tensors do; "
            f"it holds {listed(list(found.reading.names.values()))}{_groups(found, ours)}"
        )
    if found.only_head:
        raise UsageError(f"{label} {_head_differs(found, ours, theirs)}: {advice}")
    faults = {
        "missing": [with_ours(found.translation.theirs(name) or name, name) for name in found.missing],
        "unexpected": found.unexpected,
        "misshapen": [
            f"{with_ours(their_name, name)} is {_shape(theirs[their_name])}, not {_shape(ours[name])}"
            for name, their_name in found.misshapen.items()
        ],
    }
    text = "; ".join(f"{fault} {listed(names)}" for fault, names in faults.items() if names)
    after = f" after '{found.reading.prefix}'" if found.reading.prefix else ""
    raise UsageError(
        f"{label} (names of {found.layout.source}{after}) does not fit this {model}: {text}{_groups(found, ours)}"
    )


def _groups(found: Match, ours: Mapping[str, Tensor]) -> str:
    """The way out where a file holds several modules side by side."""
    own = {name.partition(".")[0] for name in (*ours, *(found.translation.theirs(name) or "" for name in ours))}
    first = {name.partition(".")[0] for name in found.reading.names.values() if "." in name}
    groups = sorted(first - own)
    if not found.unexpected or len(first) < 2 or not groups or len(groups) > SHOWN or first & own:
        return ""
    return f"; entry=NAME (--entry NAME) takes the tensors of one module: {', '.join(groups)}"


def expect_tied(found: Match, label: str, model: str) -> None:
    """Raise UsageError where the file has two weights for what the model has one for, and they differ."""
    for name, repeated in found.layout.tied:
        one, other = found.theirs.get(name), found.theirs.get(repeated)
        if one is None or other is None:
            continue
        if one.shape != other.shape or one.dtype != other.dtype or not torch.equal(one, other):
            raise UsageError(
                f"{label}: {name} differs from {repeated}, and this {model} has one weight for both "
                "(its output layer is its embedding): without the file's own it would be another function"
            )


def expect_shared(found: Match, ours: Mapping[str, Tensor], label: str, model: str) -> None:
    """Raise UsageError where the file has several weights for one that our model uses in several places."""
    first: dict[tuple[object, ...], str] = {}
    for name, theirs in found.fitting.items():
        tensor = ours[name]
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
        other = first.setdefault(place, theirs) if tensor.numel() and not tensor.is_meta else theirs
        if other != theirs and not torch.equal(found.theirs[other], found.theirs[theirs]):
            raise UsageError(f"{label}: {theirs} differs from {other}, and this {model} has one weight for both")


def _head_differs(found: Match, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    for name, their_name in found.misshapen.items():
        if ours[name].ndim and theirs[their_name].ndim and ours[name].shape[0] != theirs[their_name].shape[0]:
            return f"has {theirs[their_name].shape[0]} classes, the model {ours[name].shape[0]}"
    head = [name for name in ours if in_head(name)]
    if not head:
        return "has an output layer, the model has none"
    if found.missing == head:
        return "has no output layer, the model has one"
    return "has another output layer than the model"


def with_ours(theirs: str, ours: str) -> str:
    """Their name, and ours where it is another."""
    return theirs if theirs == ours else f"{theirs} (here {ours})"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"
