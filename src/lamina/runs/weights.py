"""Weights as safetensors: written whole, read without executing anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lamina.errors import RunError
from lamina.files import write_whole
from lamina.weights.reading import VOCABULARY


def save_weights(model: nn.Module, path: Path, vocabulary: str | None = None) -> None:
    """``vocabulary``: the hash of the vocabulary that it is trained with, which the file is to carry.

    Raises RunError where the file cannot be written; then the old one stands.
    """
    save_tensors(model.state_dict(), path, {} if vocabulary is None else {VOCABULARY: vocabulary})


def save_tensors(tensors: Mapping[str, Tensor], path: Path, facts: Mapping[str, str] | None = None) -> None:
    """A tensor of two names (tied weights) is written under both; ``facts`` are the file's metadata.

    Raises RunError where the file cannot be written; then the old one stands.
    """
    from safetensors.torch import save

    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        held = tensor.detach().cpu().contiguous()
        place = held.untyped_storage().data_ptr()
        apart[name] = held.clone() if place in seen else held
        seen.add(place)
    data = _in_order(save(apart, {"format": "pt", **(facts or {})}))
    write_whole(path, lambda file: file.write(data))


def _in_order(data: bytes) -> bytes:
    """The same file with its metadata in order of name: safetensors writes them in another order each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    if len(header["__metadata__"]) < 2:
        return data
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def digest(*paths: Path) -> str:
    """The SHA-256 of a file; of several (an index and its shards) that of theirs, in this order."""
    found = []
    for path in paths:
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Raises RunError for a file that is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    return tensors


def load_weights(model: nn.Module, path: Path) -> None:
    """Raises RunError for a file that is damaged or of another model."""
    tensors = load_tensors(path)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise RunError(f"{path} does not fit the model: {'; '.join(lines)}") from None
