"""A layout: how another project names the parts of one of our architectures."""

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
    """The names that one project gives to the modules and tensors of an architecture."""

    source: str
    """the project: "torchvision", "timm", "microsoft/Swin-Transformer" """
    names: Callable[[Any], Iterable[tuple[str, str]]]
    """for a model of ours, pairs (their name, our name) of modules ("layer1.0.conv1", "stages.0.0.conv1") or single
    tensors; of several pairs that begin a tensor's name, the longest counts. No pairs: the project has no such model"""
    ignored: tuple[str, ...] = ()
    """regular expressions of whole tensor names that carry nothing: buffers which our model calculates itself"""
    transposed: tuple[str, ...] = ()
    """regular expressions of whole tensor names: matrices stored (in, out), where a linear layer has (out, in)"""

    def translation(self, model: Any) -> Translation:
        """The translation of names for this model."""
        ignored, transposed = (tuple(map(re.compile, patterns)) for patterns in (self.ignored, self.transposed))
        return Translation(dict(self.names(model)), ignored, transposed)


@dataclass(frozen=True)
class Translation:
    """Names of a layout, translated for one model."""

    pairs: dict[str, str]
    ignored: tuple[re.Pattern[str], ...]
    transposed: tuple[re.Pattern[str], ...] = ()

    @cached_property
    def reversed(self) -> dict[str, str]:
        """Their name for each of ours: pairs are one to one."""
        return {ours: theirs for theirs, ours in self.pairs.items()}

    def ours(self, theirs: str) -> str | None:
        """Our name of their tensor; None where the layout has no such name."""
        return _renamed(theirs, self.pairs)

    def theirs(self, ours: str) -> str | None:
        """Their name of our tensor; None where the layout has no such name."""
        return _renamed(ours, self.reversed)

    def ignores(self, theirs: str) -> bool:
        """Whether their tensor is one that carries nothing."""
        return any(pattern.fullmatch(theirs) for pattern in self.ignored)

    def turned(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors by their names, those matrices transposed that the layout says are stored so."""
        return {
            name: tensor.T if tensor.ndim == 2 and any(rule.fullmatch(name) for rule in self.transposed) else tensor
            for name, tensor in tensors.items()
        }


def _renamed(name: str, pairs: Mapping[str, str]) -> str | None:
    """``name`` with its longest beginning that is among the pairs replaced."""
    begin = name
    while begin:
        if begin in pairs:
            return pairs[begin] + name[len(begin) :]
        begin = begin.rpartition(".")[0]
    return None
