"""Splits of text: running text, texts with targets, pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from lamina.data.source import as_index, chosen_targets, repeats


@dataclass(frozen=True)
class Texts:
    """Texts with targets."""

    texts: tuple[str, ...]
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, index: Sequence[int]) -> Texts:
        chosen = as_index(index)
        return Texts(tuple(self.texts[i] for i in chosen.tolist()), chosen_targets(self.targets, chosen))

    def joined(self, other: Texts) -> Texts:
        return Texts(self.texts + other.texts)

    def repeated(self, other: Texts) -> int:
        return repeats(self.texts, self.targets, other.texts, other.targets)

    def with_targets(self, targets: Tensor | None) -> Texts:
        return replace(self, targets=targets)


@dataclass(frozen=True)
class Pairs:
    """Texts with translations."""

    sources: tuple[str, ...]
    texts: tuple[str, ...]
    """the translations"""

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, index: Sequence[int]) -> Pairs:
        return Pairs(tuple(self.sources[i] for i in index), tuple(self.texts[i] for i in index))

    def repeated(self, other: Pairs) -> int:
        pairs, others = (zip(split.sources, split.texts, strict=True) for split in (self, other))
        return repeats(pairs, None, others, None)


@dataclass(frozen=True)
class Text:
    """Running text; its length is in characters."""

    text: str

    def __len__(self) -> int:
        return len(self.text)
