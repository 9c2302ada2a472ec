"""Memory of a training on a CPU that is freed and taken again in every step."""

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
"""where glibc's own thresholds end up in a process that frees large blocks"""


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Within, the process keeps what it frees; at the end it gives it back.

    glibc takes blocks of more than 32 MB from the system and gives them back when they are freed, and the top of the
    heap as well; of new memory the system clears page after page at first touch, which for a batch of images takes
    longer than the arithmetic. Does nothing with another C library, or for another device than the CPU.
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
