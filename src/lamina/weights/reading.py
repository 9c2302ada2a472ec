"""Reading weight files, safetensors and those of ``torch.save``, without running any code that they hold."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from lamina.errors import DataError, UsageError

FOLDER_HOLDS = "model.safetensors"
PARTS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state", "net")
"""entries of a checkpoint that may hold the weights, in order of preference: averaged weights come first because
published results are theirs"""
PREFIXES = ("module.", "_orig_mod.")
"""the prefixes that DistributedDataParallel and torch.compile put before every name"""
HARMLESS = re.compile(
    r"collections\.(OrderedDict|Counter)|(__builtin__|builtins)\.(set|bytearray)|_codecs\.encode"
    r"|torch\.\w+|torch\.(_utils|_tensor|storage|serialization|nn\.parameter)\..+"
)
"""names in a pickle of tensors and plain values, all of which torch reads as data"""


@dataclass(frozen=True)
class StateDict:
    """The tensors of a file, by name."""

    path: Path
    tensors: dict[str, Tensor]
    part: str | None = None
    """the checkpoint's entry that they were in; None if the file holds nothing else"""


def read_state_dict(where: str | Path) -> StateDict:
    """The tensors of a file, or of the ``model.safetensors`` in a folder (such as a run's), on the CPU.

    A ``.safetensors`` file is read as such; any other file as a checkpoint of ``torch.save``, from which one of
    ``PARTS`` is used if it holds more than tensors. Raises UsageError for a file that does not exist, DataError for one
    that is damaged, holds no weights, or holds code.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        if not (path / FOLDER_HOLDS).is_file():
            raise UsageError(f"{path} is a folder without a {FOLDER_HOLDS}: name a weight file")
        path /= FOLDER_HOLDS
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
    read = _safetensors if path.suffix == ".safetensors" else _checkpoint
    tensors, part = _weights(read(path), path)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return StateDict(path, tensors, part)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged, or not a safetensors file: {error}") from None
    return tensors


def _checkpoint(path: Path) -> Any:
    """The content of a ``torch.save`` file, tensors and plain values only. Raises DataError."""
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                torn = archive.testzip()  # torch itself does not check the checksums
            if torn is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {torn}")
        with warnings.catch_warnings():  # about other pickle protocols: an unreadable file raises below
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise DataError(_why_refused(path, zipped, str(error))) from None
    except Exception as error:  # a damaged pickle can raise anything
        if "TorchScript" in str(error):
            raise DataError(
                f"{path} is a TorchScript archive, which holds code: save its state_dict() instead"
            ) from None
        reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise DataError(f"{path} is damaged, or not a weight file: {reason}") from None


def _why_refused(path: Path, zipped: bool, message: str) -> str:
    """The error message for a file that torch refuses to read with ``weights_only``; ``message`` is torch's."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    names, whole = {found[1]} if found else set(), True
    try:
        for stream in _pickles(path, zipped):
            names.update(name for name in _globals(stream) if not HARMLESS.fullmatch(name))
    except Exception:  # a damaged pickle can fail anywhere
        whole = False
    if names:
        shown = ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"{path} is refused: reading it would run {shown}; a weight file must hold tensors only"
    if whole:
        return f"{path} is a pickle that torch cannot read with weights_only: save its state dict with torch.save again"
    return f"{path} is damaged, or not a weight file"


def _pickles(path: Path, zipped: bool) -> Iterator[IO[bytes]]:
    """The pickles in a checkpoint: one in a zip archive; four before the data in files from before torch 1.6."""
    if zipped:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
            yield io.BytesIO(archive.read(name))
        return
    with path.open("rb") as file:
        for _ in range(4):
            yield file


def _globals(stream: IO[bytes]) -> Iterator[str]:
    """The names of the functions and classes that a pickle would import, found without running it."""
    texts: list[str] = []
    memo: dict[Any, Any] = {}
    top: Any = None
    for opcode, value, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(value).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = top
        elif "PUT" in opcode.name:
            memo[value] = top
        else:
            top = memo.get(value) if opcode.name.endswith("GET") else value
            if isinstance(top, str):
                texts.append(top)


def _weights(loaded: Any, path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors by name in a file's content, and the entry that they were in. Raises DataError."""
    if _all_tensors(loaded):
        return dict(loaded), None
    if isinstance(loaded, Mapping):
        for part in PARTS:
            if _all_tensors(loaded.get(part)):
                return dict(loaded[part]), part
        held = ", ".join(str(key) for key in list(loaded)[:8]) or "nothing"
        raise DataError(f"{path} holds no named weights, but {held}")
    raise DataError(f"{path} holds no named weights, but a {type(loaded).__name__}")


def _all_tensors(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )
