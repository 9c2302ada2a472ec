"""One table of our nets beside torchvision's: milliseconds and memory of an inference, or of a training step."""

from __future__ import annotations

import gc
import statistics

from benchmarks.measure import interleaved, ratio
from benchmarks.vision_models import NETS, SIDES, WORK, net, peak, timed

NETS_MADE = 3
"""how often both nets are made anew: where their weights come to lie in memory is worth some percent"""
ROUNDS = {1: 4, 16: 2}
CALLS = {1: 4, 16: 1}


def table(work: str) -> str:
    """The table of ``work`` ("forward" or "step"). Ratios: torchvision's time over ours, our peak over theirs."""
    text = "| net | batch | lamina ms | torchvision ms | speed | bar | peak memory | bar |\n" + "|---" * 8 + "|\n"
    for name in NETS:
        for batch, rounds in ROUNDS.items():
            times: dict[str, list[float]] = {side: [] for side in SIDES}
            for made in range(NETS_MADE):
                order = SIDES if made % 2 else SIDES[::-1]
                doing = {side: timed(WORK[work](net(name, side), batch), CALLS[batch]) for side in order}
                for side, found in interleaved(doing, rounds).items():
                    times[side] += found
                del doing
                gc.collect()
            memory = {side: peak(name, side, work, batch) for side in SIDES}
            ms = {side: 1e3 * statistics.median(times[side]) for side in SIDES}
            row = (
                f"| {name} | {batch} | {ms['lamina']:.1f} | {ms['torchvision']:.1f} | "
                f"{ratio(times['torchvision'], times['lamina']):.3f}x | >= 0.97x | "
                f"{memory['lamina'] / memory['torchvision']:.3f}x of {memory['torchvision']:.0f} MB | <= 1.02x |\n"
            )
            print(row, end="", flush=True)
            text += row
    return text
