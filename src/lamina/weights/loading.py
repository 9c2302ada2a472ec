"""Loading weights into a model, all or none: names are translated, shapes and dtypes are checked first."""

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
"""our own parameter names"""
COUNTERS = re.compile(r"(.*\.)?num_batches_tracked")
"""counters of batch normalisation, missing in files from before torch 0.4.1: the model then keeps its own"""
NEW_HEAD = "reset_head=True (--reset-head) loads the rest and keeps the model's new head"
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What ``load_weights`` loaded from a file."""

    file: Path
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

    def __str__(self) -> str:
        part = f" in its '{self.part}'" if self.part else ""
        head = "; the head is new" if any(_in_head(name) for name in self.kept) else ""
        return f"{self.count:,} tensors of {self.file}{part}, named as {self.source} names them{head}"


def load_weights(model: nn.Module, file: str | Path | StateDict, *, reset_head: bool = False) -> Loaded:
    """Load published weights, or those of a run, into a model.

    Args:
        model: the model, which is changed in place; if the file does not fit it is left as it was.
        file: a safetensors or ``.pth`` file, or the folder of a run, with our parameter names or those of a project in
            the architecture's ``LAYOUTS``; the best fit is used.
        reset_head: do not load the output layer: the model keeps its own, which is new if it was just built.

    Raises UsageError where file and model do not fit (missing, unexpected and misshapen tensors, another number of
    classes, another dtype), DataError for a file that is damaged or holds code.

        model = lamina.create_model("resnet50", num_classes=10)
        print(lamina.load_weights(model, "resnet50.pth", reset_head=True))
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
    """The tensors of a file under our names and in the shapes of ``model`` (on any device), and what they are.

    ``advice`` is added to the message if only the head does not fit. Raises as ``load_weights`` does.
    """
    ours = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    layouts = [OWN, *(layout for layout in layouts_of(model) if list(layout.names(model)))]
    matches = [_match(layout.source, layout.translation(model), ours, state.tensors, reset_head) for layout in layouts]
    best = max(matches, key=lambda match: (len(match.fitting), -len(match.unexpected)))  # the first of equals
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
    """The layouts of other projects for a model's architecture; none for a model that is not one of ours."""
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
    """How the names and shapes of a file fit a model under one layout, without the head if it is to be reset."""

    source: str
    translation: Translation
    theirs: Mapping[str, Tensor]
    """the file's tensors, matrices as (out, in)"""
    fitting: dict[str, str] = field(default_factory=dict)
    """their name by ours, of equal shape"""
    misshapen: dict[str, str] = field(default_factory=dict)
    """their name by ours, of different shape"""
    missing: list[str] = field(default_factory=list)
    """our names that the file lacks"""
    unexpected: list[str] = field(default_factory=list)
    """their names that the model lacks"""

    @property
    def only_head(self) -> bool:
        """Whether the head, and nothing else, does not fit."""
        wrong = [*self.misshapen, *self.missing, *(self.translation.ours(name) or "" for name in self.unexpected)]
        return bool(wrong) and all(_in_head(name) for name in wrong)


def _match(
    source: str,
    translation: Translation,
    ours: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    reset_head: bool,
) -> _Match:
    match = _Match(source=source, translation=translation, theirs=translation.transpose(theirs))
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
    """Whether a tensor of ours belongs to the output layer."""
    return ours.partition(".")[0].startswith("head")


def _trimmed(tensor: Tensor) -> list[int]:
    """The shape without trailing ones: a 1x1 convolution is a linear layer, scales (C, 1, 1) are (C,)."""
    shape = list(tensor.shape)
    while shape and shape[-1] == 1:
        shape.pop()
    return shape


def _covers(kernel: Tensor, linear: Tensor) -> bool:
    """Whether a convolution over whole maps has the size of our linear layer of the flattened maps (timm's VGG)."""
    return kernel.ndim == 4 and linear.shape == (len(kernel), kernel.shape[1:].numel())


def _expect_fit(match: _Match, ours: Mapping[str, Tensor], state: StateDict, model: str, advice: str) -> None:
    """Raise UsageError for tensors that are missing, unexpected or misshapen."""
    if not (match.missing or match.unexpected or match.misshapen):
        return
    theirs = match.theirs
    if 3 * (len(match.fitting) + len(match.misshapen)) < len(theirs):  # hardly any names fit: another architecture
        raise UsageError(
            f"{state.path} does not fit this {model}: {len(match.fitting)} of its {len(theirs)} tensors do; "
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
    listed = "; ".join(f"{fault} {_listed(names)}" for fault, names in faults.items() if names)
    raise UsageError(f"{state.path} (names of {match.source}) does not fit this {model}: {listed}")


def _head_differs(match: _Match, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    for name, their_name in match.misshapen.items():
        if ours[name].ndim and theirs[their_name].ndim and ours[name].shape[0] != theirs[their_name].shape[0]:
            return f"has {theirs[their_name].shape[0]} classes, the model {ours[name].shape[0]}"
    head = [name for name in ours if _in_head(name)]
    if not head:
        return "has an output layer, the model has none"
    if match.missing == head:
        return "has no output layer, the model has one"
    return "has another output layer than the model"


def _expect_numbers(match: _Match, ours: Mapping[str, Tensor], state: StateDict) -> None:
    """Raise UsageError for floating-point numbers of another dtype than the model's, DataError for other numbers."""
    for name, their_name in match.fitting.items():
        there, here = state.tensors[their_name].dtype, ours[name].dtype
        if there == here:
            continue
        if there.is_floating_point and here.is_floating_point:
            raise UsageError(
                f"{state.path} holds {_short(there)} weights, the model {_short(here)}: "
                f"convert the file with lamina convert --dtype {_short(here)}"
            )
        raise DataError(f"{state.path}: {_with_ours(their_name, name)} is {_short(there)}, expected {_short(here)}")


def _with_ours(theirs: str, ours: str) -> str:
    return theirs if theirs == ours else f"{theirs} (here {ours})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
