"""Freed memory is kept while training, and given back, whatever happens."""

from __future__ import annotations

import ctypes
import platform

import pytest
import torch

from lamina.training.allocation import KEPT, MMAP_THRESHOLD, TRIM_THRESHOLD, USUAL, freed_memory_kept

CPU = torch.device("cpu")


class Libc:
    """What is asked of the C library."""

    def __init__(self) -> None:
        self.set: dict[int, int] = {}
        self.trimmed = 0

    def mallopt(self, parameter: int, value: int) -> int:
        self.set[parameter] = value
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.trimmed += 1
        return 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Libc:
    found = Libc()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: found)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    return found


def test_kept_within_and_given_back_after_an_error(libc: Libc) -> None:
    def fails() -> None:
        with freed_memory_kept(CPU):
            assert libc.set == {MMAP_THRESHOLD: KEPT, TRIM_THRESHOLD: KEPT}
            assert libc.trimmed == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert libc.set == USUAL
    assert libc.trimmed == 1


def test_nothing_is_set_for_another_device_or_c_library(libc: Libc, monkeypatch: pytest.MonkeyPatch) -> None:
    with freed_memory_kept(torch.device("meta")):
        pass
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with freed_memory_kept(CPU):
        pass
    assert (libc.set, libc.trimmed) == ({}, 0)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_the_c_library_takes_the_values() -> None:
    library = ctypes.CDLL(None)
    with freed_memory_kept(CPU):
        assert library.mallopt(MMAP_THRESHOLD, KEPT) == 1
        assert torch.empty(2**24).fill_(1.0).sum() == 2**24  # 64 MB, from the heap
    assert library.mallopt(TRIM_THRESHOLD, USUAL[TRIM_THRESHOLD]) == 1
