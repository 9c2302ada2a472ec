"""Loading weights into a model, all or none: names are translated, shapes and dtypes are checked first."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.errors import DataError, UsageError
from lamina.plugins import package_of, points_of
from lamina.weights.casting import held_exactly
from lamina.weights.layout import Layout
from lamina.weights.matching import (
    COUNTERS,
    Match,
    cut_vocabulary,
    expect_fit,
    expect_shared,
    expect_tied,
    in_head,
    match,
    with_ours,
)
from lamina.weights.origin import expect_same_function
from lamina.weights.prefixes import readings
from lamina.weights.reading import StateDict, given_state_dict, read_state_dict

OWN = Layout(source="lamina", names=lambda model: ((name, name) for name in model.state_dict()))
"""our own parameter names"""
NEW_HEAD = "reset_head=True (--reset-head) loads the rest and keeps the model's new head"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What ``load_weights`` loaded from a file."""

    file: Path | None
    """the file, or the index of its shards; None for a state dict that was given without one"""
    part: str | None
    """the checkpoint's entry with the weights; None if the file holds nothing else"""
    source: str
    """the project whose parameter names the file has: "lamina", "torchvision", "timm", ..."""
    count: int
    """number of tensors loaded"""
    unused: tuple[str, ...]
    """the file's names of tensors not loaded: a replaced head, buffers that the model computes itself"""
    kept: tuple[str, ...]
    """our names of tensors that the model keeps: a new head, counters that old files do not have"""
    notes: tuple[str, ...] = ()
    """what was done to fit them, in words: a prefix taken off, another dtype, rows cut; and what to mind"""
    files: tuple[Path, ...] = ()
    """all files that were read: an index and its shards"""

    def __str__(self) -> str:
        part = f" in its '{self.part}'" if self.part else ""
        what = "the given state dict" if self.file is None else self.file
        head = ("the head is new",) if any(in_head(name) for name in self.kept) else ()
        named = f"{self.count:,} tensors of {what}{part}, named as {self.source} names them"
        return "; ".join((named, *self.notes, *head))


def load_weights(
    model: nn.Module,
    weights: str | Path | Mapping[str, Any] | StateDict,
    *,
    reset_head: bool = False,
    entry: str | None = None,
) -> Loaded:
    """Load published weights, or those of a run, into a model.

    Args:
        model: the model, which is changed in place; if the weights do not fit it is left as it was.
        weights: a safetensors or ``.pth`` file, the index of shards, a folder with one of them (such as a run's), or a
            state dict; with our parameter names or those of a project in the architecture's ``LAYOUTS``. The best fit
            is used, prefixes that wrappers leave (``module.``, ``model.``) are taken off where that makes it better.
        reset_head: do not load the output layer: the model keeps its own, which is new if it was just built.
        entry: the entry of a checkpoint that holds the weights, where it has several (averaged ones are preferred).

    Raises UsageError where weights and model do not fit (missing, unexpected and misshapen tensors, another number of
    classes, a dtype that would change numbers), DataError for a file that is damaged or holds code.

        model = lamina.create_model("resnet50", num_classes=10)
        print(lamina.load_weights(model, "resnet50.pth", reset_head=True))
        lamina.load_weights(model, other.state_dict())
    """
    state = _state(weights, entry)
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise UsageError("the model is on the meta device, where it holds no numbers: build it on another one")
    tensors, loaded = fitted(model, state, reset_head=reset_head)
    model.load_state_dict(tensors, strict=False)
    return loaded


def _state(weights: object, entry: str | None) -> StateDict:
    if isinstance(weights, StateDict):
        return weights
    if isinstance(weights, str | Path):
        return read_state_dict(weights, entry=entry)
    return given_state_dict(weights, entry=entry)


def fitted(
    model: nn.Module, state: StateDict, *, reset_head: bool = False, advice: str = NEW_HEAD
) -> tuple[dict[str, Tensor], Loaded]:
    """The tensors of a file under our names, in the shapes and dtypes of ``model`` (on any device), and what they are.

    ``advice`` is added to the message if only the head does not fit. Raises as ``load_weights`` does.
    """
    ours = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    kind = type(model).__name__
    for other in _of(model, "OTHERS"):
        if other.has(state.tensors):
            raise UsageError(f"{state.label} holds a net of {other.source}, which is not this {kind}: {other.reason}")
    best = _best(model, ours, state, reset_head)
    expect_same_function(best.layout.source, state, model)
    vocabulary = getattr(model, "vocab_size", None)
    cut_vocabulary(best, ours, vocabulary if isinstance(vocabulary, int) else None)
    expect_fit(best, ours, state.label, kind, advice)
    expect_tied(best, state.label, kind)
    expect_shared(best, ours, state.label, kind)
    tensors, other = {}, set()
    for name, theirs in best.fitting.items():
        tensor = _numbers(best.theirs[theirs].detach(), ours[name], state.label, name, theirs)
        tensor = tensor[: len(ours[name])] if name in best.padded else tensor
        tensors[name] = tensor.reshape(ours[name].shape).contiguous()
        if best.theirs[theirs].dtype != tensor.dtype:
            other.add(f"{short(best.theirs[theirs].dtype)} numbers held exactly as {short(tensor.dtype)}")
    taken = {best.reading.names[theirs] for theirs in best.fitting.values()}
    loaded = Loaded(
        file=state.path,
        part=state.part,
        source=best.layout.source,
        count=len(tensors),
        unused=tuple(name for name in state.tensors if name not in taken),
        kept=tuple(name for name in ours if name not in tensors and name not in best.zeros),
        notes=(*_notes(best, ours, model), *sorted(other)),
        files=state.files,
    )
    return tensors | {name: torch.zeros_like(ours[name], device="cpu") for name in best.zeros}, loaded


def _best(model: nn.Module, ours: Mapping[str, Tensor], state: StateDict, reset_head: bool) -> Match:
    """The layout, and the reading of the file's names, that fit best: the first of equals."""
    layouts = [OWN, *(layout for layout in layouts_of(model) if list(layout.names(model)))]
    translated = [(layout, layout.translation(model)) for layout in layouts]
    best: Match | None = None
    for reading in readings(state.tensors):
        for layout, translation in translated:
            found = match(layout, translation, ours, state.tensors, reading, reset_head)
            if best is None or found.score > best.score:
                best = found
        if best is not None and best.whole:
            break
    assert best is not None
    return best


def _notes(best: Match, ours: Mapping[str, Tensor], model: nn.Module) -> tuple[str, ...]:
    """What was done to fit the names and shapes, and the layout's remark."""
    notes = [f"without the prefix '{best.reading.prefix}'"] if best.reading.prefix else []
    for name, theirs in best.padded.items():
        rows, kept = len(best.theirs[theirs]), len(ours[name])
        notes.append(f"{rows:,} rows of {theirs} cut to the {kept:,} of the vocabulary (the others pad it)")
    if best.zeros:
        notes.append(f"{len(best.zeros):,} biases that the file has not are 0")
    remark = best.layout.remark(model)
    return (*notes, remark) if remark else tuple(notes)


def layouts_of(model: nn.Module) -> Sequence[Layout]:
    """The layouts of other projects for a model's architecture; none for a model that is not one of ours."""
    module = type(model).__module__
    return _of(model, "LAYOUTS") if module.startswith("lamina.models.") else _layouts_of_package(module)


def _of(model: nn.Module, name: str) -> Sequence[Any]:
    """What the file of an architecture of ours in this package has under a name; nothing where there is none."""
    package, _, architecture = type(model).__module__.rpartition(".")
    if package != "lamina.models":
        return ()
    file = f"lamina.weights.{architecture}"
    try:
        found: Sequence[Any] = getattr(importlib.import_module(file), name, ())
    except ModuleNotFoundError as error:
        if error.name != file:
            raise
        return ()
    return found


def _layouts_of_package(module: str) -> Sequence[Layout]:
    """Layouts that packages bring for the models of ``module``: entry points in the group ``lamina.weights``, called as
    the module or, in the models' own package, as its last part, name modules with ``LAYOUTS``.

    Raises UsageError where one cannot be imported.
    """
    found: list[Layout] = []
    for point in points_of("lamina.weights"):
        own = point.value.partition(".")[0] == module.partition(".")[0]
        if point.name == module or (own and point.name == module.rpartition(".")[2]):
            try:
                found += point.load().LAYOUTS
            except Exception as error:  # whatever another package's import raises
                package = package_of(point)
                raise UsageError(
                    f"the weights' layouts of package '{package}' cannot be loaded: {type(error).__name__}: {error}"
                ) from error
    return found


def _numbers(tensor: Tensor, ours: Tensor, label: str, name: str, theirs: str) -> Tensor:
    """The tensor in the dtype of ours. Raises UsageError for floating-point numbers that would change, DataError for
    other numbers and for a tensor that holds none."""
    there, here = tensor.dtype, ours.dtype
    if tensor.is_meta or tensor.layout is not torch.strided:
        raise DataError(f"{label}: {with_ours(theirs, name)} holds no dense numbers")
    if there == here:
        return tensor
    both = there.is_floating_point and here.is_floating_point
    cast = held_exactly(tensor, here) if both or COUNTERS.fullmatch(name) else None
    if cast is not None:
        return cast
    if both:
        raise UsageError(
            f"{label} holds {short(there)} weights, the model {short(here)}: "
            f"convert the file with lamina convert --dtype {short(here)}"
        )
    raise DataError(f"{label}: {with_ours(theirs, name)} is {short(there)}, expected {short(here)}")


def short(dtype: torch.dtype) -> str:
    """The name of a dtype: ``short(torch.float16)`` is "float16"."""
    return str(dtype).removeprefix("torch.")
