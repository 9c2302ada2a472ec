"""How a language model continues a text. Imports no torch: the command line shows these options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from lamina.errors import UsageError
from lamina.options.conversion import typed


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How a text is continued. Raises UsageError for values that mean nothing."""

    max_new_tokens: int = 200
    """tokens that are written at most"""
    temperature: float = 1.0
    """logits are divided by it: below 1 the likely becomes likelier"""
    top_k: int | None = None
    """draw among the k most probable tokens only"""
    top_p: float | None = None
    """draw among the fewest most probable tokens that hold this share of the probability"""
    greedy: bool = False
    """always the most probable token"""
    repetition_penalty: float = 1.0
    """above 1: what was written already becomes less probable"""
    stop: tuple[str, ...] = field(default=(), metadata={"verbatim": True})
    """texts after which nothing more is written"""
    seed: int = 0
    """decides what is drawn"""

    def __post_init__(self) -> None:
        self.sampling()
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not all(self.stop):
            raise UsageError("an empty stop text would end every text before it begins")

    def sampling(self) -> dict[str, Any]:
        """The options of ``Sampling`` that a user chooses. Raises UsageError for values that mean nothing."""
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
    """Raises UsageError for an option that is not known, and for values that mean nothing."""
    return GenerationOptions(**typed(GenerationOptions, options, "option of generate"))
