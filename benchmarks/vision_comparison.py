"""One table of our nets beside torchvision's: milliseconds and memory of an inference, or of a training step."""

from __future__ import annotations

import gc
import statistics

from benchmarks.measure import interleaved, ratio
from benchmarks.vision_models import NETS, SIDES, WORK, net, peak, timed

ROUNDS = {1: 15, 16: 7}
CALLS = {1: 4, 16: 1}


def table(work: str) -> str:
    """The table of ``work`` ("forward" or "step"). Ratios: torchvision's time over ours, our peak over theirs."""
    text = "| net | batch | lamina ms | torchvision ms | speed | bar | peak memory | bar |\n" + "|---" * 8 + "|\n"
    for name in NETS:
        for batch, rounds in ROUNDS.items():
            doing = {side: timed(WORK[work](net(name, side), batch), CALLS[batch]) for side in SIDES}
            times = interleaved(doing, rounds)
            del doing
            gc.collect()
            memory = {side: statistics.median(peak(name, side, work, batch) for _ in range(3)) for side in SIDES}
            ms = {side: 1e3 * statistics.median(times[side]) for side in SIDES}
            row = (
                f"| {name} | {batch} | {ms['lamina']:.1f} | {ms['torchvision']:.1f} | "
                f"{ratio(times['torchvision'], times['lamina']):.3f}x | >= 0.97x | "
                f"{memory['lamina'] / memory['torchvision']:.3f}x of {memory['torchvision']:.0f} MB | <= 1.02x |\n"
            )
            print(row, end="", flush=True)
            text += row
    return text
