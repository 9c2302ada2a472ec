"""Fingerprints: hashes that change when the data change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd


def of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and contents."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data.cast("B") if tensor.numel() else b"")
    return digest.hexdigest()


def of_files(files: Iterable[tuple[str, int | str]], targets: Tensor | None) -> str:
    """Hash of names, the size of each file (or a hash of its content, where it is in memory) and the targets; the
    files are not read."""
    digest = hashlib.blake2b(digest_size=16)
    for name, mark in files:
        digest.update(f"{name}\0{mark}\0".encode("utf-8", "surrogateescape"))
    if targets is not None:
        digest.update(of_tensors({"targets": targets}).encode())
    return digest.hexdigest()


def of_frame(frame: pd.DataFrame, targets: Tensor | None) -> str:
    """Hash of column names, values and targets."""
    import pandas as pd

    digest = hashlib.blake2b(repr(list(frame.columns)).encode(), digest_size=16)
    if len(frame.columns):
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    if targets is not None:
        digest.update(of_tensors({"targets": targets}).encode())
    return digest.hexdigest()


def of_texts(texts: Iterable[str], targets: Tensor | None = None) -> str:
    """Hash of texts (with their boundaries) and targets."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(f"{len(text)}\0{text}".encode("utf-8", "surrogatepass"))
    if targets is not None:
        digest.update(of_tensors({"targets": targets}).encode())
    return digest.hexdigest()
