"""Files of weights, read without running anything that they hold: safetensors, and what ``torch.save`` writes."""

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
"""entries of a checkpoint that hold its weights; the first one there is taken, and averaged weights come first since
published results are theirs"""
PREFIXES = ("module.", "_orig_mod.")
"""what DistributedDataParallel and torch.compile put before every name"""
HARMLESS = re.compile(
    r"collections\.(OrderedDict|Counter)|(__builtin__|builtins)\.(set|bytearray)|_codecs\.encode"
    r"|torch\.\w+|torch\.(_utils|_tensor|storage|serialization|nn\.parameter)\..+"
)
"""names that a pickle of tensors and plain values calls for, all of which torch reads as data"""


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, as a file holds them."""

    path: Path
    tensors: dict[str, Tensor]
    part: str | None = None
    """the entry of a checkpoint that they were in; None where the file holds nothing else"""


def read_state_dict(where: str | Path) -> StateDict:
    """The tensors in a file, or in the ``model.safetensors`` of a folder (a run's, say), on the CPU.

    A file named ``.safetensors`` is one; any other is a checkpoint of ``torch.save``, of which one of ``PARTS`` is
    taken where it holds more than tensors. Raises UsageError where there is no file, DataError for one that is damaged,
    holds no weights, or names anything that reading it would have to run.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        if not (path / FOLDER_HOLDS).is_file():
            raise UsageError(f"{path} is a folder without a {FOLDER_HOLDS}: name a file of weights")
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
        raise DataError(f"{path} is damaged, or no file of safetensors: {error}") from None
    return tensors


def _checkpoint(path: Path) -> Any:
    """What ``torch.load`` makes of a file, tensors and plain values only. Raises DataError."""
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                torn = archive.testzip()  # torch itself does not compare the checksums
            if torn is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {torn}")
        with warnings.catch_warnings():  # of pickles in another protocol: what cannot be read is told below
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise DataError(_why_refused(path, zipped, str(error))) from None
    except Exception as error:  # a damaged pickle can raise anything
        if "TorchScript" in str(error):
            raise DataError(f"{path} is a TorchScript archive, which is code: save its state_dict() instead") from None
        reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise DataError(f"{path} is damaged, or no file of weights: {reason}") from None


def _why_refused(path: Path, zipped: bool, message: str) -> str:
    """What to say of a file that torch does not read as weights only, with ``message``."""
    said = re.search(r"GLOBAL ([\w.]+)", message)
    names, whole = {said[1]} if said else set(), True
    try:
        for stream in _pickles(path, zipped):
            names.update(name for name in _globals(stream) if not HARMLESS.fullmatch(name))
    except Exception:  # what is no pickle can break off anywhere
        whole = False
    if names:
        shown = ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"{path} is refused: reading it would run {shown}, and a file of weights holds tensors only"
    if whole:
        return f"{path} is a pickle that torch does not read as weights only: save its state dict with torch.save again"
    return f"{path} is damaged, or no file of weights"


def _pickles(path: Path, zipped: bool) -> Iterator[IO[bytes]]:
    """The pickles in a checkpoint: one in a zip archive; four before the numbers in files older than torch 1.6."""
    if zipped:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
            yield io.BytesIO(archive.read(name))
        return
    with path.open("rb") as file:
        for _ in range(4):
            yield file


def _globals(stream: IO[bytes]) -> Iterator[str]:
    """Names of the functions and classes that a pickle calls for; read without running it."""
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
    """The tensors by name in what a file held, and the entry they were in. Raises DataError."""
    if _all_tensors(loaded):
        return dict(loaded), None
    if isinstance(loaded, Mapping):
        for part in PARTS:
            if _all_tensors(loaded.get(part)):
                return dict(loaded[part]), part
        held = ", ".join(str(key) for key in list(loaded)[:8]) or "nothing"
        raise DataError(f"{path} holds no weights by name: there is {held}")
    raise DataError(f"{path} holds no weights by name, but a {type(loaded).__name__}")


def _all_tensors(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )
