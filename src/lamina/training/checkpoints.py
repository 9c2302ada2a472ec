"""Checkpoints: written atomically, and holding only tensors and Python primitives."""

from __future__ import annotations

import contextlib
import pickle
import re
import secrets
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from lamina.errors import RunError
from lamina.files import reason, write_whole
from lamina.training.sharding.shards import read_shards, write_shards


class Checkpoints:
    """The checkpoints of a run, ``step-<n>.ckpt``, of divided nets beside a folder ``step-<n>-<token>.shards``: the
    newest two are kept.

    Example: ``Checkpoints(Path("runs/digits/checkpoints")).latest()``
    """

    keep = 2

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """Oldest first."""
        found = [path for path in self.folder.glob("step-*.ckpt") if re.fullmatch(r"step-\d{8,}\.ckpt", path.name)]
        return sorted(found, key=_step)

    def latest(self) -> Path | None:
        paths = self.paths()
        return paths[-1] if paths else None

    def stands(self) -> str:
        """What is left where training ends early, in words."""
        latest = self.latest()
        if latest is None:
            return "no checkpoint was written before"
        return f"the last checkpoint stands: {latest}; --resume goes on from it"

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.ckpt"

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint. Raises RunError if that fails; earlier checkpoints are then untouched."""
        _check_plain(state, "")
        path = self.path(step)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder {self.folder}: {reason(error)}") from error
        write_whole(path, lambda file: torch.save(state, file))
        for old in self.paths()[: -self.keep]:
            old.unlink(missing_ok=True)
        self._remove_shards()
        return path

    def save_shards(self, step: int, state: dict[str, Any], rank: int) -> Path:
        """Write a checkpoint of which each process holds a part: a collective call. Raises RunError, as ``save``."""
        token = [secrets.token_hex(4)]
        torch.distributed.broadcast_object_list(token)
        plain = write_shards(self.folder / f"step-{step:08d}-{token[0]}.shards", state)
        failed: list[str | None] = [None]
        if rank == 0:
            try:
                self.save(step, plain)
            except RunError as error:
                failed = [str(error)]
        torch.distributed.broadcast_object_list(failed)
        if failed[0] is not None:
            raise RunError(failed[0])
        return self.path(step)

    def remove_temporaries(self) -> None:
        """Remove partly written files of a killed process."""
        for path in self.folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)
        self._remove_shards()

    def _remove_shards(self) -> None:
        """Remove the folders of shards that no checkpoint names; all stay where one cannot be read."""
        folders = list(self.folder.glob("step-*.shards"))
        with contextlib.suppress(RunError):
            named = {_load(path).get("shards", {}).get("folder") for path in self.paths()} if folders else set()
            for folder in folders:
                if folder.name not in named:
                    shutil.rmtree(folder, ignore_errors=True)


def _check_plain(value: Any, place: str) -> None:
    """Raise RunError for values that ``weights_only=True`` could not load again, such as a NamedTuple."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(key, place)
            _check_plain(item, f"{place}/{key}")
    elif type(value) in (list, tuple):
        for item in value:
            _check_plain(item, place)
    elif not isinstance(value, torch.Tensor) and type(value) not in (bool, int, float, str, type(None)):
        raise RunError(
            f"a checkpoint cannot hold the {type(value).__module__}.{type(value).__name__} in {place[1:]}: "
            "only tensors, Python's own numbers and strings, and dicts, lists and tuples of them"
        )


def load_checkpoint(path: Path, *, mesh: Any = None, tensors: bool = True) -> dict[str, Any]:
    """The state in a checkpoint. Tensors in shards are read whole, or divided among the processes of a ``mesh``; with
    ``tensors=False`` they are left out. Raises RunError for a file that is empty, truncated or holds code, and for a
    shard that is missing or cut off."""
    state = _load(path)
    if "shards" in state and tensors:
        return read_shards(path, state, mesh, _earlier_checkpoint(path, path.name))
    return state


def _load(path: Path) -> dict[str, Any]:
    """The state in a file, with marks for tensors in shards."""
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()  # torch itself does not compare the checksums
        if torn is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {torn}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"no such checkpoint: {path}") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {reason(error)}") from error
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise RunError(f"{path} is refused: it holds something other than tensors and plain values{what}") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise RunError(f"{path} is damaged ({reason(error)}); {_earlier_checkpoint(path)}") from error
    if not isinstance(state, dict) or state.get("format") != 1:
        raise RunError(f"{path} is not a checkpoint of this version of lamina")
    return state


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


def _earlier_checkpoint(path: Path, name: str = "it") -> str:
    paths = Checkpoints(path.parent).paths()
    if path in paths[1:]:
        return f"delete {name} to continue from the one before, {paths[paths.index(path) - 1].name}"
    return "there is no earlier one"
