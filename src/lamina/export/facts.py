"""What an exported file says of itself: enough to prepare an input and to read the output without lamina."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.errors import ExportError

FORMAT = 1
OUTPUT = "logits"
"""name of the output of every exported file"""


@dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """Kept in the file itself: ``metadata_props`` of ONNX, ``rt_info`` of OpenVINO, an extra file of torch.export."""

    model: str
    """name of the variant, or the class of a module of the user's own"""
    input: str
    """"image", "features", "tokens" or "translation": what the file is called with, see ``lamina.export.inputs``"""
    shape: tuple[int, ...]
    """of one image or row of features, without the batch; empty for tokens"""
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """of tokens: "vocab_size", "source_vocab_size", and "context", the most of them in a row"""
    classes: tuple[str, ...] = ()
    """names of the outputs, in order; none for a variant that was never trained"""
    task: str = ""
    """what the model was trained for; empty for a variant that was never trained"""
    objective: str | None = None
    """what was minimised: it can decide how outputs become predictions"""
    preprocess: Mapping[str, Any] | None = None
    """``preprocess.json`` of the run; None for a variant that was never trained"""
    tokenizer: Mapping[str, Any] | None = None
    """``tokenizer.json`` of a run on texts"""
    weights: str = ""
    """SHA-256 of the run's weights"""
    version: str = ""
    """of lamina"""

    def to_strings(self) -> dict[str, str]:
        """A JSON value for each field, in ASCII: XML takes no control characters."""
        values = {"format": FORMAT, **dataclasses.asdict(self)}
        return {name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_strings(cls, texts: Mapping[str, str], path: Path) -> ExportFacts:
        """What ``to_strings`` gave, other entries left aside. Raises ExportError naming the file."""
        if "format" not in texts:
            raise ExportError(f"{path} does not say how to prepare its input: it was not exported by lamina")
        if texts["format"] != str(FORMAT):
            raise ExportError(f"{path} has format {texts['format']}; this version of lamina reads {FORMAT}")
        try:
            optional = {"task": '""'}  # files of the first versions have none
            values = {field.name: json.loads({**optional, **texts}[field.name]) for field in dataclasses.fields(cls)}
            return cls(**{**values, "shape": tuple(values["shape"]), "classes": tuple(values["classes"])})
        except (KeyError, ValueError, TypeError) as error:
            raise ExportError(f"{path} cannot be used: what it says of itself is damaged ({error})") from None
