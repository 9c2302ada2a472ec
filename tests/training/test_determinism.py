"""The same seed gives the same bits, whatever happened before; another seed gives others."""

from __future__ import annotations

import children
import torch
from determinism_child import digests


def test_the_same_seed_gives_the_same_bits_in_a_fresh_process() -> None:
    one = children.finish(children.start("determinism_child.py")).split()
    assert len(set(one)) == len(one) == 4  # two fits, two seeds
    torch.manual_seed(12345)  # nor does it matter what the process did before
    torch.rand(7)
    assert digests() == one
