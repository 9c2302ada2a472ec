"""Options of text generation. Imports no torch, so that the command line can show them quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from lamina.errors import UsageError
from lamina.options.conversion import typed


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How a text is continued. Raises UsageError for values out of range.

    Example: ``GenerationOptions(max_new_tokens=100, temperature=0.8, top_p=0.9)``
    """

    max_new_tokens: int = field(default=200, metadata={"limit": "tokens"})
    """maximum number of generated tokens"""
    temperature: float = 1.0
    """divisor of the logits; below 1 the distribution is sharper"""
    top_k: int | None = field(default=None, metadata={"limit": None})
    """sample from the k most probable tokens"""
    top_p: float | None = None
    """sample from the smallest set of most probable tokens with this total probability"""
    greedy: bool = False
    """always the most probable token"""
    repetition_penalty: float = 1.0
    """above 1: tokens that have occurred become less probable"""
    stop: tuple[str, ...] = field(default=(), metadata={"verbatim": True, "no_path": True})
    """strings that end the generation"""
    seed: int = field(default=0, metadata={"limit": None})
    """seed of the sampling"""

    def __post_init__(self) -> None:
        self.sampling()
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not all(self.stop):
            raise UsageError("stop must not contain an empty string")

    def sampling(self) -> dict[str, Any]:
        """The options of ``Sampling``. Raises UsageError for values out of range."""
        from lamina.decoding.sampling import Sampling

        names = ("temperature", "greedy", "top_k", "top_p", "repetition_penalty")
        options = {name: getattr(self, name) for name in names}
        Sampling(**options)
        return options


class GenerationKwargs(TypedDict, total=False):
    """The fields of ``GenerationOptions`` as keyword arguments."""

    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    greedy: bool
    repetition_penalty: float
    stop: Sequence[str]
    seed: int


def generation_options(options: Mapping[str, Any]) -> GenerationOptions:
    """Options from plain values. Raises UsageError for an unknown option or a value out of range."""
    return GenerationOptions(**typed(GenerationOptions, options, "option of generate"))
