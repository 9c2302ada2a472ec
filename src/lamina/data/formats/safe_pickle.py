"""Safe reading of untrusted pickles: containers, strings, bytes, numbers and numeric arrays only.

A pickle names functions to call. Only the names in the short table below are allowed, and those are stand-ins for numpy
that take bytes, a type and a shape: code named by the file never runs.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from lamina.errors import DataError

NUMBERS = frozenset(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)) | {"f4", "f8"}


def load_pickle(path: Path) -> Any:
    """The object in a pickle, with numpy arrays, and strings of Python 2 as bytes.

    Raises DataError, naming the file and any disallowed name in it.
    """
    try:
        with path.open("rb") as file:
            loaded = _Unpickler(file, encoding="bytes").load()
        return _plain(loaded)
    except _Refused as error:
        raise DataError(f"'{path}' is refused: it refers to '{error}', which is not allowed in a data file") from None
    except Exception as error:  # a damaged pickle raises almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"'{path}' is not a readable pickle: {reason}") from error


class _Refused(Exception):  # noqa: N818
    pass


class _Dtype:
    """Stand-in for numpy.dtype."""

    def __init__(self, code: str | bytes, align: object = False, copy: object = False) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)
        self.order = "="
        if self.code not in NUMBERS:
            raise _Refused(f"an array of type {self.code}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.order = order if order in ("<", ">", "=") else "="

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """Stand-in for numpy's _reconstruct and the array it creates."""

    value: np.ndarray[Any, Any] | None = None

    def __init__(self, kind: object, shape: object, code: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _array(raw, dtype, shape, "F" if fortran else "C")


class _FromBuffer:
    """Stand-in for numpy's _frombuffer (protocol 5)."""

    def __init__(self, raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> None:
        self.value = _array(raw, dtype, shape, order)


class _NdArray:
    """Stand-in for numpy.ndarray, which is only an argument of _reconstruct."""

    def __init__(self, *ignored: object) -> None:
        raise _Refused("numpy.ndarray called as a function")


class _Bytes:
    """Stand-in for _codecs.encode and bytes(), as which Python 3 writes bytes in old protocols."""

    def __init__(self, text: str = "", encoding: str | bytes = "latin1") -> None:
        if encoding not in ("latin1", b"latin1"):
            raise _Refused(f"_codecs.encode to {encoding!r}")
        self.value = text.encode("latin1")


def _array(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: str) -> np.ndarray[Any, Any]:
    data = raw.value if isinstance(raw, _Bytes) else raw
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} does not have {len(data)} bytes")
    flat = np.frombuffer(data, dtype=dtype.dtype)
    return flat.reshape(shape, order="F" if order == "F" else "C")


_ALLOWED: dict[tuple[str, str], type] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _NdArray,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


def _plain(value: Any) -> Any:
    """The value with stand-ins replaced by arrays and bytes."""
    if isinstance(value, _Array | _FromBuffer | _Bytes):
        return value.value
    if isinstance(value, dict):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(entry) for entry in value)
    return value
