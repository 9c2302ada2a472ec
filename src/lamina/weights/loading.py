"""Weights of a file into a model of ours, all of them or none: names translated, shapes and types compared first."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lamina.errors import DataError, UsageError
from lamina.plugins import package_of, points_of
from lamina.weights.layout import Layout, Translation
from lamina.weights.reading import StateDict, read_state_dict

OWN = Layout(source="lamina", names=lambda model: ((name, name) for name in model.state_dict()))
"""our own names"""
COUNTERS = re.compile(r"(.*\.)?num_batches_tracked")
"""counted by batch normalisation, and missing in files older than torch 0.4.1: there a model keeps its own"""
NEW_HEAD = "reset_head=True (--reset-head) loads the rest and leaves the model its new head"
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was taken from a file."""

    file: Path
    part: str | None
    """the entry of a checkpoint that the weights were in; None where the file holds nothing else"""
    source: str
    """whose names the file has: "lamina", "torchvision", "timm", ..."""
    count: int
    """tensors taken"""
    unused: tuple[str, ...]
    """the file's names of tensors not taken: a head that was not wanted, buffers that the model calculates itself"""
    kept: tuple[str, ...]
    """our names of tensors that the model keeps as they were: a new head, counters that old files do not have"""

    def __str__(self) -> str:
        part = f" in its '{self.part}'" if self.part else ""
        head = "; the head is new" if any(_in_head(name) for name in self.kept) else ""
        return f"{self.count:,} tensors of {self.file}{part}, named as {self.source} names them{head}"


def load_weights(model: nn.Module, file: str | Path | StateDict, *, reset_head: bool = False) -> Loaded:
    """Load published weights, or those of a run's folder, into a model: ``load_weights(model, "resnet50.pth")``.

    The file may have our names or those of a project that the architecture's ``LAYOUTS`` know; whichever fit best are
    taken. With ``reset_head`` the file's output layer is left out and the model keeps its own: of a model just built
    that is a new one. Everything is compared before anything is loaded, so that a file that does not fit leaves the
    model as it was.

    Raises UsageError where file and model do not fit: missing, unexpected and misshapen tensors, another number of
    classes, another type of numbers; DataError for a file that is damaged or holds more than data.
    """
    state = file if isinstance(file, StateDict) else read_state_dict(file)
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise UsageError("the model is on the meta device, where it holds no numbers: build it on another one")
    tensors, loaded = fitted(model, state, reset_head=reset_head)
    model.load_state_dict(tensors, strict=False)
    return loaded


def fitted(
    model: nn.Module, state: StateDict, *, reset_head: bool = False, advice: str = NEW_HEAD
) -> tuple[dict[str, Tensor], Loaded]:
    """The tensors of a file under our names and in our shapes, as ``model`` (on any device) takes them.

    ``advice`` is told where only the head does not fit. Raises UsageError and DataError as ``load_weights`` does.
    """
    ours = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    layouts = [OWN, *(layout for layout in layouts_of(model) if list(layout.names(model)))]
    matches = [_match(layout.source, layout.translation(model), ours, state.tensors, reset_head) for layout in layouts]
    best = max(matches, key=lambda match: (len(match.fitting), -len(match.unexpected)))  # of equals the first
    _expect_fit(best, ours, state, type(model).__name__, advice)
    _expect_numbers(best, ours, state)
    tensors = {
        name: best.theirs[theirs].detach().reshape(ours[name].shape).contiguous()
        for name, theirs in best.fitting.items()
    }
    loaded = Loaded(
        file=state.path,
        part=state.part,
        source=best.source,
        count=len(tensors),
        unused=tuple(name for name in state.tensors if name not in best.fitting.values()),
        kept=tuple(name for name in ours if name not in tensors),
    )
    return tensors, loaded


def layouts_of(model: nn.Module) -> Sequence[Layout]:
    """The layouts of other projects for a model's architecture; none for a model that is not of ours."""
    package, _, architecture = type(model).__module__.rpartition(".")
    if package != "lamina.models":
        return _layouts_of_package(type(model).__module__)
    name = f"lamina.weights.{architecture}"
    try:
        layouts: Sequence[Layout] = importlib.import_module(name).LAYOUTS
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return ()
    return layouts


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


@dataclass(kw_only=True)
class _Match:
    """How the names and shapes of a file fit a model under one layout; the head is left out where it is not wanted."""

    source: str
    translation: Translation
    theirs: Mapping[str, Tensor]
    """the file's tensors, matrices turned as ours are"""
    fitting: dict[str, str] = field(default_factory=dict)
    """their name by ours"""
    misshapen: dict[str, str] = field(default_factory=dict)
    """their name by ours"""
    missing: list[str] = field(default_factory=list)
    """our names"""
    unexpected: list[str] = field(default_factory=list)
    """their names"""

    @property
    def only_head(self) -> bool:
        """Whether something does not fit, and that is the head."""
        wrong = [*self.misshapen, *self.missing, *(self.translation.ours(name) or "" for name in self.unexpected)]
        return bool(wrong) and all(_in_head(name) for name in wrong)


def _match(
    source: str,
    translation: Translation,
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    reset_head: bool,
) -> _Match:
    match = _Match(source=source, translation=translation, theirs=translation.turned(theirs))
    for their_name, tensor in match.theirs.items():
        name = translation.ours(their_name)
        if (name is None and translation.ignores(their_name)) or (reset_head and name is not None and _in_head(name)):
            continue
        if name is None or name not in ours or name in match.fitting or name in match.misshapen:
            match.unexpected.append(their_name)
        elif _trimmed(tensor) == _trimmed(ours[name]) or _covers(tensor, ours[name]):
            match.fitting[name] = their_name
        else:
            match.misshapen[name] = their_name
    found = match.fitting.keys() | match.misshapen.keys()
    for name in ours:
        if name not in found and not COUNTERS.fullmatch(name) and not (reset_head and _in_head(name)):
            match.missing.append(name)
    return match


def _in_head(ours: str) -> bool:
    """Whether our tensor belongs to the output layer."""
    return ours.partition(".")[0].startswith("head")


def _trimmed(tensor: Tensor) -> list[int]:
    """The shape without ones at its end: a 1x1 convolution is a linear layer, (C, 1, 1) scales are (C,)."""
    shape = list(tensor.shape)
    while shape and shape[-1] == 1:
        shape.pop()
    return shape


def _covers(kernel: Tensor, linear: Tensor) -> bool:
    """Whether a convolution over whole maps has the shape of our linear layer of those maps flattened (timm's VGG)."""
    return kernel.ndim == 4 and linear.shape == (len(kernel), kernel.shape[1:].numel())


def _expect_fit(match: _Match, ours: Mapping[str, Tensor], state: StateDict, model: str, advice: str) -> None:
    """Raise UsageError for tensors that are missing, unexpected or misshapen."""
    if not (match.missing or match.unexpected or match.misshapen):
        return
    theirs = match.theirs
    if 3 * (len(match.fitting) + len(match.misshapen)) < len(theirs):  # names that fit are of this family
        raise UsageError(
            f"{state.path} is not a file of this {model}: {len(match.fitting)} of its {len(theirs)} tensors fit; "
            f"it holds {_listed(list(theirs))}"
        )
    if match.only_head:
        raise UsageError(f"{state.path} {_head_differs(match, ours, theirs)}: {advice}")
    faults = {
        "missing": [_with_ours(match.translation.theirs(name) or name, name) for name in match.missing],
        "unexpected": match.unexpected,
        "misshapen": [
            f"{_with_ours(their_name, name)} is {_shape(theirs[their_name])}, not {_shape(ours[name])}"
            for name, their_name in match.misshapen.items()
        ],
    }
    told = "; ".join(f"{fault} {_listed(names)}" for fault, names in faults.items() if names)
    raise UsageError(f"{state.path} (names of {match.source}) does not fit this {model}: {told}")


def _head_differs(match: _Match, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    for name, their_name in match.misshapen.items():
        if ours[name].ndim and theirs[their_name].ndim and ours[name].shape[0] != theirs[their_name].shape[0]:
            return f"tells {theirs[their_name].shape[0]} classes apart, the model {ours[name].shape[0]}"
    head = [name for name in ours if _in_head(name)]
    if not head:
        return "has an output layer, the model has none"
    if match.missing == head:
        return "has no output layer, the model has one"
    return "has another output layer than the model"


def _expect_numbers(match: _Match, ours: Mapping[str, Tensor], state: StateDict) -> None:
    """Raise UsageError for tensors of another type than the model's."""
    for name, their_name in match.fitting.items():
        there, here = state.tensors[their_name].dtype, ours[name].dtype
        if there == here:
            continue
        if there.is_floating_point and here.is_floating_point:
            raise UsageError(
                f"{state.path} holds {_short(there)} numbers, the model {_short(here)}: "
                f"lamina convert --dtype {_short(here)} makes a file that fits"
            )
        raise DataError(
            f"{state.path}: {_with_ours(their_name, name)} is {_short(there)}, where {_short(here)} belongs"
        )


def _with_ours(theirs: str, ours: str) -> str:
    return theirs if theirs == ours else f"{theirs} (here {ours})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
