"""Seeding of torch's default generators, so that random draws are a function of the seed and no state is saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed the generators of the CPU and of the device."""
    torch.default_generator.manual_seed(seed)
    match device.type:
        case "cuda":
            torch.cuda.manual_seed(seed)
        case "mps":
            torch.mps.manual_seed(seed)


@contextmanager
def generators_restored(device: torch.device) -> Iterator[None]:
    """Restore torch's generators after the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
