"""Weights as safetensors: written whole, read without executing anything."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lamina.errors import RunError
from lamina.files import write_whole


def save_weights(model: nn.Module, path: Path) -> None:
    """Raises RunError where the file cannot be written; then the old one stands."""
    save_tensors(model.state_dict(), path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """A tensor of two names (tied weights) is written under both.

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
    data = save(apart, {"format": "pt"})
    write_whole(path, lambda file: file.write(data))


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
    """Raises RunError for a file that is missing, damaged or of another model."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise RunError(f"{path.parent} has no weights yet: it was stopped before its first epoch was done") from None
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise RunError(f"{path} does not fit the model: {'; '.join(lines)}") from None
