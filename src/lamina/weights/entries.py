"""The weights in a checkpoint: which of its entries, however deep, hold them, and which is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lamina.errors import DataError, UsageError

AVERAGED = (
    "state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model_state_dict", "ema_model",
    "params_ema", "ema_weights", "ema", "swa_state_dict", "swa_model", "averaged_model",
)  # fmt: skip
"""entries of averaged weights, in order of preference; they come first because published results are theirs"""
RAW = (
    "state_dict", "model", "model_state", "net", "model_state_dict", "net_state_dict", "network", "weights", "params",
    "model_weights", "module", "backbone", "encoder",
)  # fmt: skip
"""entries of weights as they are, in order of preference"""
PARTS = (*AVERAGED, *RAW)
OTHER = ("optim", "lr_", "sched", "scaler", "amp", "callback", "loops", "rng", "hparams", "hyper_parameters")
"""what the names of entries begin with that hold tensors which are no weights"""
DEPTH = 5
"""how deep entries are looked for"""
SHOWN = 8

Path = tuple[str, ...]


def weights_in(content: Any, label: str, entry: str | None = None) -> tuple[dict[str, Tensor], str | None]:
    """The tensors by name in a checkpoint's content, and the name of the entry that they were in.

    Without an ``entry`` the averaged weights, or else the raw ones, under a name of ``PARTS``, or the only entry that
    holds tensors. Deeper entries are named with dots: ``weights_in({"model": {"ema": tensors}}, "x.pth")`` gives
    ``(tensors, "model.ema")``. An ``entry`` may also be what the names of some tensors begin with. Raises DataError for
    content without weights, UsageError for an unknown entry and for several of which none has a known name; ``label``
    is how messages name the content.
    """
    if not isinstance(content, Mapping):
        raise DataError(f"{label} holds no named weights, but a {type(content).__name__}")
    found = _entries(content)
    if not found:
        held = ", ".join(str(key) for key in list(content)[:SHOWN]) or "nothing"
        raise DataError(f"{label} holds no named weights, but {held}")
    if entry is not None and (group := _under(found, entry)):
        return group, entry
    path = _best(found, label) if entry is None else _asked(found, label, entry)
    return found[path], ".".join(path) or None


def _entries(content: Mapping[Any, Any], path: Path = ()) -> dict[Path, dict[str, Tensor]]:
    """The tensors of every mapping that holds some, by the keys that lead to it."""
    found: dict[Path, dict[str, Tensor]] = {}
    own = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if len(own) == len(content) or any(tensor.ndim for tensor in own.values()):  # a loss is a number, and no weight
        found[path] = own
    if not content:
        return {}
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping) and len(path) < DEPTH and not _is_other(key):
            found |= _entries(value, (*path, key))
    return found


def _is_other(key: str) -> bool:
    return key.casefold().startswith(OTHER)


def _best(found: Mapping[Path, Any], label: str) -> Path:
    """The entry of a known name, averaged before raw; else the file's own tensors, or the only entry."""
    known = [path for path in found if path and all(part in PARTS for part in path)]
    if known:
        return min(known, key=_rank)
    if () in found:
        return ()
    if len(found) > 1:
        raise UsageError(f"{label} holds several weights: choose one with entry=NAME (--entry NAME): {_listed(found)}")
    return next(iter(found))


def _rank(path: Path) -> tuple[int, ...]:
    averaged = [AVERAGED.index(part) for part in path if part in AVERAGED]
    return (min(averaged, default=len(AVERAGED)), *(PARTS.index(part) for part in path))


def _asked(found: Mapping[Path, Any], label: str, entry: str) -> Path:
    """The entry called so, by its whole name or by the last part of one, or the best of those within it."""
    parts = tuple(entry.split("."))
    for matches in (
        [path for path in found if ".".join(path) == entry],
        [path for path in found if path[: len(parts)] == parts],
        [path for path in found if path[-len(parts) :] == parts],
    ):
        if matches:
            return matches[0] if len(matches) == 1 else _best(dict.fromkeys(matches), label)
    held = f"it has {_listed(found)}" if any(found) else "its weights are in no entry"
    raise UsageError(f"{label} has no entry '{entry}' with weights: {held}")


def _under(found: Mapping[Path, dict[str, Tensor]], entry: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``entry``, without it, where no entry is called so: one of several models that
    a file holds side by side (``student.``, ``teacher.``)."""
    parts = tuple(entry.split("."))
    if any(parts in (path[: len(parts)], path[-len(parts) :]) for path in found):
        return {}
    for path in sorted(found, key=lambda path: _rank(path) if all(part in PARTS for part in path) else (len(PARTS),)):
        begin = f"{entry}."
        group = {name.removeprefix(begin): t for name, t in found[path].items() if name.startswith(begin)}
        if group:
            return group
    return {}


def _listed(found: Mapping[Path, Any]) -> str:
    names = sorted(".".join(path) for path in found if path)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
