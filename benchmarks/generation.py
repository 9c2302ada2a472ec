"""How fast does GPT-2 write, beside transformers' with its cache?

The same weights in both, float32; prompts of 32 tokens, 256 new tokens for each, always the most probable one.
``lamina.decoding.generate`` and transformers' ``generate``, both as they come, in one process, rounds interleaved. Both
must write the same tokens, or there is no result. Tokens a second, all rows of the batch together: median over rounds;
ratio: median over rounds of their time over ours in the same round. Bandwidth: how fast the weights are read, which
every step does once, as a share of what the machine reads of a large tensor.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

import lamina
from benchmarks.language_models import fill, gpt2_of_shape
from benchmarks.measure import interleaved, ratio, write_result
from lamina.decoding import generate
from lamina.weights.loading import load_weights
from lamina.weights.reading import StateDict

SHAPES: dict[str, dict[str, int]] = {
    "GPT-2 (124M)": {},
    "6 layers of 384 (30M)": {"layers": 6, "width": 384, "heads": 6},
}
ROUNDS = {("GPT-2 (124M)", 1): 4, ("GPT-2 (124M)", 16): 2, ("6 layers of 384 (30M)", 1): 6}
FEW_ROUNDS = 3
PROMPT, NEW = 32, 256
BARS = {"cpu": 1.3, "cuda": 3.0}


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=BARS)
    parser.add_argument("--quick", action="store_true", help="32 new tokens, two rounds, and no result is written")
    asked = parser.parse_args()
    new = 32 if asked.quick else NEW
    peak = read_speed(asked.device)
    text = (
        "| model | batch | lamina tokens/s | transformers tokens/s | ratio | bar | bandwidth: lamina | transformers |\n"
    )
    text += "|---" * 8 + "|\n"
    for shape, options in SHAPES.items():
        ours, theirs = models(options, asked.device)
        read = sum(p.numel() for name, p in ours.named_parameters() if not name.startswith("positions")) * 4
        for batch in (1, 16):
            rounds = 2 if asked.quick else ROUNDS.get((shape, batch), FEW_ROUNDS)
            found = measured(ours, theirs, batch, new, rounds, asked.device)
            median = {side: statistics.median(seconds) for side, seconds in found.items()}
            speed = {side: f"{batch * new / seconds:.1f}" for side, seconds in median.items()}
            share = {side: f"{read * new / seconds / peak:.0%}" for side, seconds in median.items()}
            row = (
                f"| {shape} | {batch} | {speed['lamina']} | {speed['transformers']} | "
                f"{ratio(found['transformers'], found['lamina']):.2f}x | >= {BARS[asked.device]:g}x | "
                f"{share['lamina']} | {share['transformers']} |\n"
            )
            print(row, end="", flush=True)
            text += row
        del ours, theirs
        gc.collect()
    text += f"\nThe machine reads {peak / 1e9:.1f} GB/s.\n"
    if asked.quick:
        print(text)
    else:
        write_result("generation", f"{__doc__}\n{text}")


def models(options: dict[str, int], device: str) -> tuple[nn.Module, GPT2LMHeadModel]:
    """GPT-2 of a shape, ours and theirs, with the same weights."""
    ours = lamina.create_model("gpt2", **options).eval()
    theirs = gpt2_of_shape(ours.config).eval()
    load_weights(ours, StateDict(path=Path("GPT2LMHeadModel"), tensors=fill(theirs)))
    return ours.to(device), theirs.to(device)


def measured(ours: nn.Module, theirs: Any, batch: int, new: int, rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of either side. Ends the program where they write different tokens."""
    draw = torch.Generator().manual_seed(batch)
    prompts_BT = torch.randint(50_257, (batch, PROMPT), generator=draw).to(device)
    attend_BT = torch.ones_like(prompts_BT)
    written: list[list[list[int]]] = []

    def timed(work: Callable[[], list[list[int]]]) -> Callable[[], float]:
        def measure() -> float:
            begun = time.perf_counter()
            written.append(work())
            return time.perf_counter() - begun

        return measure

    def peer() -> list[list[int]]:
        whole: Tensor = theirs.generate(prompts_BT, attention_mask=attend_BT, max_new_tokens=new, do_sample=False)
        tokens: list[list[int]] = whole[:, PROMPT:].tolist()
        return tokens

    sides = {
        "lamina": timed(lambda: generate(ours, prompts_BT, max_new_tokens=new, greedy=True)),
        "transformers": timed(peer),
    }
    found = interleaved(sides, rounds)
    if any(tokens != written[0] for tokens in written):
        sys.exit(f"generation: batch {batch}: the two sides wrote different tokens")
    return found


def read_speed(device: str) -> float:
    """Bytes a second that the machine reads of a tensor of 512 MB: median of 10."""
    numbers, times = torch.ones(2**27, device=device), []
    for _ in range(10):
        begun = time.perf_counter()
        numbers.amax().item()
        times.append(time.perf_counter() - begun)
    return 4 * len(numbers) / statistics.median(times)


if __name__ == "__main__":
    main()
