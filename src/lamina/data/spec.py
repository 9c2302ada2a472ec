"""What a source says of itself: the contract between data, tasks and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NO_TARGETS = "none"
"""what ``DataSpec.task`` says where there are no targets"""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table as it was read: its name, and whether its values are numbers or categories."""

    name: str
    kind: Literal["numeric", "categorical"]


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The facts of a source, known before anything is trained."""

    name: str
    """the source as the user named it"""
    kind: str
    """the modality: "image", "table", "text", or another package's"""
    task: str
    """what its targets call for, or its texts; "none" where there are no targets"""
    classes: tuple[str, ...] = ()
    """class or label names, in the order of the target's indices; empty for regression"""
    targets: tuple[str, ...] = ()
    """names of the target columns (regression: one for each output)"""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """samples in each split; of running text its characters"""
    counted: str = "samples"
    """what the sizes count"""
    channels: int | None = None
    """image channels; None where files differ (grey and colour mixed)"""
    height: int | None = None
    width: int | None = None
    """pixels; None where images differ in size"""
    value_range: tuple[float, float] = (0.0, 255.0)
    """least and greatest value a pixel can have, as stored"""
    columns: tuple[Column, ...] = ()
    """input columns of a table"""
    missing: tuple[str, ...] = ()
    """texts that the user said mean a missing value in it"""
    languages: tuple[str, ...] = ()
    """of pairs of texts: what is translated, and into what"""
    tokenizer: str = ""
    """kind of tokenizer that suits a text, where the source knows"""
    fingerprint: str = ""
    """hash of the data (of file names and sizes where it is not read as a whole)"""
    skipped: tuple[str, ...] = ()
    """files left out as unreadable, on request"""
    hint: str = ""
    """where there are no targets: how the user can name or bring them"""
    licence: str = ""
    """licence or origin, where the source states it"""

    @property
    def advice(self) -> str:
        """The hint, without the source's name before it."""
        return self.hint.removeprefix(f"{self.name}: ")
