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
from torch import Tensor, nn

from lamina.cards.published import published_names
from lamina.errors import DataError, UsageError, nearest
from lamina.weights.entries import weights_in
from lamina.weights.hub import located
from lamina.weights.shards import expect_whole, is_index, joined

FOLDER_HOLDS = (
    "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"
)  # fmt: skip
"""the files of a folder that may hold its weights; the first that is there is read"""
VOCABULARY = "lamina.vocabulary"
"""the metadata of a safetensors file that hold the hash of the vocabulary which its weights were trained with"""
HARMLESS = re.compile(
    r"collections\.(OrderedDict|Counter)|(__builtin__|builtins)\.(set|bytearray)|_codecs\.encode"
    r"|torch\.\w+|torch\.(_utils|_tensor|storage|serialization|nn\.parameter)\..+"
)
"""names in a pickle of tensors and plain values, all of which torch reads as data"""


@dataclass(frozen=True)
class StateDict:
    """The tensors of a file, by name."""

    path: Path | None
    """the file, or the index of its shards; None for tensors that were given without one"""
    tensors: dict[str, Tensor]
    part: str | None = None
    """the checkpoint's entry that they were in; None if the file holds nothing else"""
    shards: tuple[Path, ...] = ()
    """the files that an index names"""
    vocabulary: str | None = None
    """the hash of the vocabulary that they were trained with, if the file carries it"""

    @property
    def label(self) -> str:
        """How messages name it."""
        return "the given state dict" if self.path is None else str(self.path)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the tensors are from."""
        return () if self.path is None else (self.path, *self.shards)


def read_state_dict(where: str | Path, *, entry: str | None = None) -> StateDict:
    """The tensors of a file, of an index and its shards, of those in a folder (such as a run's), or of the hub
    (``hf:<repository>@<revision>``), on the CPU.

        read_state_dict("checkpoint.pth", entry="model")

    A ``.safetensors`` file is read as such, ``.index.json`` as an index of shards; any other file as a checkpoint of
    ``torch.save``, from which the ``entry``, or else one of ``PARTS``, is used if it holds more than tensors. Raises
    UsageError for a file that does not exist, one shard of several and an unknown entry, DataError for a file that is
    damaged, holds no weights, or holds code.
    """
    path = _file(located(where))
    if is_index(path):
        tensors, files = joined(path, lambda shard: weights_in(_content(shard), str(shard))[0])
        if entry is not None:
            raise UsageError(f"{path} has no entry '{entry}' with weights: its weights are in no entry")
        return StateDict(path, tensors, shards=files[1:])
    expect_whole(path)
    tensors, part = weights_in(_content(path), str(path), entry)
    return StateDict(path, tensors, part, vocabulary=_vocabulary(path) if path.suffix == ".safetensors" else None)


def given_state_dict(content: object, *, entry: str | None = None) -> StateDict:
    """The tensors of a mapping, or of an entry of one: ``given_state_dict(model.state_dict())``.

    Raises UsageError for what is no mapping of tensors, or of entries that hold some.
    """
    if not isinstance(content, Mapping):
        what = "a model: give its state_dict()" if isinstance(content, nn.Module) else f"a {type(content).__name__}"
        raise UsageError(f"weights are a file, a folder or a state dict, not {what}")
    try:
        tensors, part = weights_in(content, "the given state dict", entry)
    except DataError as error:
        raise UsageError(str(error)) from None
    return StateDict(None, tensors, part)


def _file(path: Path) -> Path:
    """The file that a path stands for. Raises UsageError where there is none, DataError for an empty one."""
    if path.is_dir():
        held = [path / name for name in FOLDER_HOLDS if (path / name).is_file()]
        if not held:
            raise UsageError(f"{path} is a folder without a {FOLDER_HOLDS[0]}: name a weight file")
        path = held[0]
    if not path.is_file():
        near = nearest(str(path), published_names()) if len(path.parts) == 1 else None
        raise UsageError(f"no such file: {path}" + (f"; did you mean '{near}'?" if near else ""))
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
    return path


def _content(path: Path) -> Any:
    """What a file holds, tensors and plain values. Raises DataError."""
    return _safetensors(path) if path.suffix == ".safetensors" else _checkpoint(path)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged, or not a safetensors file: {error}") from None
    return tensors


def _vocabulary(path: Path) -> str | None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        found: str | None = (file.metadata() or {}).get(VOCABULARY)
    return found


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
        return f"{path} is refused: reading it would run {shown}; a weight file must hold tensors only{_advice(names)}"
    if whole:
        return f"{path} is a pickle that torch cannot read with weights_only: save its state dict with torch.save again"
    return f"{path} is damaged, or not a weight file"


def _advice(names: set[str]) -> str:
    """What to do about files that are known to hold code."""
    if any(name.partition(".")[0] in ("dnnlib", "torch_utils", "training") for name in names):
        return (
            " (NVIDIA's StyleGAN pickles hold code: where that is installed, convert them with convert_weight.py of "
            "rosinality/stylegan2-pytorch, whose files can be read here)"
        )
    return ""


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
