"""The metadata of an exported file: enough to prepare an input and to read the output without lamina."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.data.protocols import Input, Signature
from lamina.errors import ExportError

FORMAT = 1
OUTPUT = "logits"
"""name of the output of a file with one output"""
SAMPLES = "samples"
"""name of the output of a generator's file"""

TOKENS = (
    ("tokens", "lengths", "time", "vocab_size"),
    ("source", "source_lengths", "source_time", "source_vocab_size"),
)
"""inputs of models of text: tokens, the lengths of their rows, their dimension, the option of their vocabulary"""


@dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """Stored in the file itself: ``metadata_props`` of ONNX, ``rt_info`` of OpenVINO, an extra file of torch.export."""

    model: str
    """name of the variant, or the class of a module from elsewhere"""
    player: str = ""
    """the part of it that the file holds, "generator" say; empty for a model without players"""
    inputs: Signature
    """what the file is called with, in order"""
    outputs: tuple[str, ...] = (OUTPUT,)
    """what the file gives, in order"""
    stateful: bool = False
    """whether it takes one step of decoding: a state goes in and comes out"""
    preprocesses: bool = False
    """whether it takes pictures as they are, and gives predictions"""
    classes: tuple[str, ...] = ()
    """names of the logits, in order; none for a model that was not trained in a run"""
    task: str = ""
    """what the model was trained for; empty for a model that was not trained in a run"""
    objective: str | None = None
    """what was minimised, the card's if no run says: it can determine how outputs become predictions"""
    objective_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """its options in the run"""
    fitted: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """what the run's task fitted once the weights stood, as lists of numbers: thresholds, say"""
    preprocess: Mapping[str, Any] | None = None
    """``preprocess.json`` of the run; None for a model that was not trained in a run"""
    tokenizer: Mapping[str, Any] | None = None
    """``tokenizer.json`` of a run on texts"""
    files: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """other files of the run's preprocess, by name"""
    precision: str = "fp32"
    """the numbers that it computes in, "fp32", "bf16" or "int8"; "fp16": only its weights are in 16 bits"""
    quality: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """of a file whose numbers are not the model's: "metric", on the validation split "before" and "after"; "kept", the
    layers that stayed in float"""
    weights: str = ""
    """SHA-256 of the run's weights"""
    version: str = ""
    """of lamina"""

    def to_strings(self) -> dict[str, str]:
        """A JSON string per field, in ASCII because XML allows no control characters."""
        values = {"format": FORMAT, **dataclasses.asdict(self)}
        return {name: json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_strings(cls, texts: Mapping[str, str], path: Path) -> ExportFacts:
        """The inverse of ``to_strings``; other entries are ignored. Raises ExportError, which names the file."""
        if "format" not in texts:
            raise ExportError(f"{path} does not say how to prepare its input: it was not exported by lamina")
        if texts["format"] != str(FORMAT):
            raise ExportError(f"{path} has format {texts['format']}; this version of lamina reads format {FORMAT}")
        try:
            later = dict.fromkeys(("fitted", "objective_options", "files", "quality"), "{}")  # than the first versions
            later |= {
                "task": '""',
                "player": '""',
                "precision": '"fp32"',
                "stateful": "false",
                "preprocesses": "false",
                "outputs": json.dumps([OUTPUT]),
                "inputs": json.dumps(_first_format(texts)),
            }
            texts = {**later, **texts}
            values = {field.name: json.loads(texts[field.name]) for field in dataclasses.fields(cls)}
            inputs = tuple(_input(one) for one in values["inputs"])
            names = {key: tuple(values[key]) for key in ("outputs", "classes")}
            return cls(**{**values, **names, "inputs": inputs})
        except (KeyError, ValueError, TypeError) as error:
            raise ExportError(f"{path} cannot be used: its metadata is damaged ({error})") from None


def _input(values: Mapping[str, Any]) -> Input:
    """An input from its JSON, where tuples are lists."""
    lists: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Input(**{**values, **lists})


def _first_format(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """The inputs as files of the first versions state them: a kind of input, its shape and its limits."""
    if "inputs" in texts:
        return []
    name, shape, limits = (json.loads(texts[key]) for key in ("input", "shape", "limits"))
    if not limits:
        return [{"name": name, "dtype": "float32", "shape": shape}]
    found = []
    for tokens, lengths, time, vocabulary in TOKENS:
        if vocabulary in limits:
            more = {"below": limits[vocabulary], "longest": limits.get("context")}
            found.append({"name": tokens, "dtype": "int64", "shape": [time], **more})
            found.append({"name": lengths, "dtype": "int64", "shape": [], "lengths_of": time})
    return found
