"""Layouts: the parameter names of other projects, translated into ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One project's names for the modules and tensors of an architecture."""

    source: str
    """the project: "torchvision", "timm", "microsoft/Swin-Transformer" """
    names: Callable[[Any], Iterable[tuple[str, str]]]
    """for one of our models, pairs (their name, our name) of modules ("layer1.0.conv1", "stages.0.0.conv1") or tensors;
    the longest prefix of a tensor's name wins. No pairs if the project has no such model"""
    ignored: tuple[str, ...] = ()
    """regular expressions (full match) of tensors without information: buffers that our model computes itself"""
    transposed: tuple[str, ...] = ()
    """regular expressions (full match) of matrices that are stored (in, out), where a linear layer has (out, in)"""
    tied: tuple[tuple[str, str], ...] = ()
    """pairs of their names: a tensor that our model does not have, and the one whose values it must repeat"""
    zeros: tuple[str, ...] = ()
    """regular expressions (full match) of their tensors that are 0 in files that have none of them"""
    leading: tuple[str, ...] = ()
    """regular expressions (full match) of their tensors with dimensions of 1 before ours"""
    remark: Callable[[Any], str | None] = lambda model: None
    """what to say of weights in this layout, for one of our models: an option under which it is the same function"""

    def translation(self, model: Any) -> Translation:
        """The layout's translation of names for this model."""
        rules = (self.ignored, self.transposed, self.zeros, self.leading)
        ignored, transposed, zeros, leading = (tuple(map(re.compile, patterns)) for patterns in rules)
        return Translation(dict(self.names(model)), ignored, transposed, zeros, leading)


@dataclass(frozen=True, kw_only=True)
class OtherFunction:
    """A project that has an architecture of this name whose function is another, so that its weights are refused."""

    source: str
    marks: tuple[str, ...]
    """regular expressions (search) of names that its files have, and no others: one is enough"""
    reason: str
    """what differs, and what to do, as the end of a sentence"""

    def has(self, names: Iterable[str]) -> bool:
        """Whether names of a file are this project's."""
        return any(re.search(mark, name) for name in names for mark in self.marks)


@dataclass(frozen=True)
class Translation:
    """The names of a layout and ours, for one model."""

    pairs: dict[str, str]
    ignored: tuple[re.Pattern[str], ...]
    transposed: tuple[re.Pattern[str], ...] = ()
    zeros: tuple[re.Pattern[str], ...] = ()
    leading: tuple[re.Pattern[str], ...] = ()

    @cached_property
    def reversed(self) -> dict[str, str]:
        """Their name by ours: pairs are one to one."""
        return {ours: theirs for theirs, ours in self.pairs.items()}

    def ours(self, theirs: str) -> str | None:
        """Our name for their tensor; None for a name that is not in the layout."""
        return _renamed(theirs, self.pairs)

    def theirs(self, ours: str) -> str | None:
        """Their name for our tensor; None for a name that is not in the layout."""
        return _renamed(ours, self.reversed)

    def ignores(self, theirs: str) -> bool:
        """Whether their tensor is in ``Layout.ignored``."""
        return any(pattern.fullmatch(theirs) for pattern in self.ignored)

    def may_be_zero(self, theirs: str) -> bool:
        """Whether their tensor is in ``Layout.zeros``."""
        return any(pattern.fullmatch(theirs) for pattern in self.zeros)

    def leads(self, theirs: str) -> bool:
        """Whether their tensor is in ``Layout.leading``."""
        return any(pattern.fullmatch(theirs) for pattern in self.leading)

    def transpose(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors by name, with the matrices of ``Layout.transposed`` transposed."""
        return {
            name: tensor.T if tensor.ndim == 2 and any(rule.fullmatch(name) for rule in self.transposed) else tensor
            for name, tensor in tensors.items()
        }


def _renamed(name: str, pairs: Mapping[str, str]) -> str | None:
    """``name`` with its longest prefix among the pairs replaced; None without such a prefix."""
    begin = name
    while begin:
        if begin in pairs:
            return pairs[begin] + name[len(begin) :]
        begin = begin.rpartition(".")[0]
    return None
