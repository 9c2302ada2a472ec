"""Reuse of freed memory between training steps on a CPU."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# glibc's malloc.h
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT = 2**31 - 1
USUAL = {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}
"""the thresholds that glibc itself settles on in a process that frees large blocks"""


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Inside the block the process keeps freed memory for reuse; at the end it is returned to the system.

    glibc maps blocks of more than 32 MB from the system and unmaps them when they are freed, and trims the top of the
    heap. The system clears each new page on first touch, which for a batch of images takes longer than the arithmetic.
    Has no effect with another C library or on another device than the CPU.
    """
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    for threshold in USUAL:
        libc.mallopt(threshold, KEPT)
    try:
        yield
    finally:
        for threshold, usual in USUAL.items():
            libc.mallopt(threshold, usual)
        libc.malloc_trim(0)
