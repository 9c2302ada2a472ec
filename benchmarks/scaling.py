"""What do two processes make of two cores? ResNet-18 at 64 pixels and GPT-2, one thread for each process.

Each process keeps its own batch size (weak scaling), so a step does the same arithmetic in one process as in each of
two. Efficiency: time of a step of one process over that of two. Without exchange: two processes that do not average
their gradients, so what they lose to one is lost to the machine (memory, clock), and the rest is communication. Blocks
with and without exchange alternate; milliseconds a step, median over blocks. One core for each process is needed: run
it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import lamina
from benchmarks.measure import write_result
from lamina.data.streams import Batch, InMemory, Shuffled
from lamina.data.text.streams import Windows
from lamina.options.recipe import Recipe
from lamina.tasks.classification import Classification
from lamina.tasks.language_modelling import LanguageModelling
from lamina.training.allocation import freed_memory_kept
from lamina.training.engine import Engine
from lamina.training.events import StepDone
from lamina.training.launching import disband, launched, with_launcher
from lamina.training.loop import fit

BLOCKS, STEPS, ROUNDS = 6, 10, 3
BARE = {"vocab_size": 31, "context": 12, "layers": 2, "width": 16, "heads": 2}
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "ResNet-18, 64 pixels": ("resnet18", {"image_size": 64, "num_classes": 10}, 16),
    "GPT-2, the small form": ("gpt2", BARE, 256),
    "GPT-2, 4 layers of 256": ("gpt2", {"vocab_size": 256, "context": 128, "layers": 4, "width": 256, "heads": 4}, 8),
}
"""model, options, samples of each process"""
BAR = 0.85
LINKS = (1, 10, 100)
"""Gbit/s"""
BACKWARD = 2 / 3
"""share of a step that an exchange can run beside"""


def prepared(case: str, recipe: Recipe, rank: int, world: int) -> tuple[Any, Any, Any]:
    """Task, model and stream."""
    name, options, each = CASES[case]
    torch.manual_seed(0)
    model = lamina.create_model(name, **options)
    shared: dict[str, Any] = {"rank": rank, "world": world}
    if name == "gpt2":
        tokens = torch.randint(0, options["vocab_size"], (options["context"] * 4096,))
        stream: Any = Windows(tokens, each * world, options["context"], 0, **shared)
        return LanguageModelling(), model, stream
    x, y = torch.randint(0, 256, (2048, 3, 64, 64), dtype=torch.uint8), torch.randint(0, 10, (2048,))

    def prepare(drawn: Batch) -> Batch:
        return {**drawn, "image": drawn["image"].float() / 255}

    samples = InMemory({"image": x, "target": y})
    return Classification(10), model, Shuffled(samples, each * world, 0, prepare=prepare, **shared)


def child(case: str, out: str) -> None:
    """In each process: seconds of each block, with exchange and without."""
    torch.set_num_threads(1)
    recipe = with_launcher(Recipe(steps=10**6, optimizer="sgd", lr=1e-4, accelerator="cpu"), {})
    fabric = launched(recipe)
    task, model, stream = prepared(case, recipe, fabric.global_rank, fabric.world_size)
    engine = Engine(fabric, task, {"model": model}, recipe)
    events = (event for event in fit(engine, stream) if isinstance(event, StepDone))
    found: dict[str, list[float]] = {"exchange": [], "none": []}
    with freed_memory_kept(fabric.device):  # as in lamina.train
        for block in range(BLOCKS + 1):
            for kind in ("exchange", "none") if fabric.world_size > 1 else ("exchange",):
                with fabric.no_backward_sync(engine.models["model"], enabled=kind == "none"):
                    next(events)
                    start = time.perf_counter()
                    for _ in range(STEPS):
                        next(events)
                    if block:
                        found[kind].append((time.perf_counter() - start) / STEPS)
    numbers = {kind: statistics.median(times) for kind, times in found.items() if times}
    if fabric.is_global_zero:
        gradient = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        Path(out).write_text(json.dumps({**numbers, "bytes": gradient}))
    disband()


def measured(case: str, processes: int, out: Path) -> dict[str, float]:
    """One launch of torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    subprocess.run([*command, "-m", "benchmarks.scaling", "child", case, str(out)], check=True, env=environment)
    found: dict[str, float] = json.loads(out.read_text())
    return found


def on_paper(case: str, step: float, gradients: float) -> list[str]:
    """Rows: the time of an exchange of 8 and of 64 devices over links of several speeds, as a share of the step."""
    rows = []
    for devices in (8, 64):
        sent = 2 * (devices - 1) / devices * gradients
        shares = [8 * sent / (gigabit * 1e9) / step for gigabit in LINKS]
        cells = " | ".join(f"{100 * share:.1f} %{' (bound)' if share > BACKWARD else ''}" for share in shares)
        rows.append(f"| {case} | {devices} | {cells} |")
    return rows


def main() -> None:
    """Measure all cases, one process and two in turn, and write the result."""
    torch.set_num_threads(1)
    rows = [
        "| model | samples each | gradients | one process | two | two, no exchange | efficiency | communication |",
        "|---|---|---|---|---|---|---|---|",
    ]
    paper = [
        f"| model | devices | {' | '.join(f'{gigabit} Gbit/s' for gigabit in LINKS)} |",
        "|---|---|" + "---|" * len(LINKS),
    ]
    short = []
    with tempfile.TemporaryDirectory() as folder:
        for case, (_, _, each) in CASES.items():
            rounds = [[measured(case, n, Path(folder) / "out.json") for n in (1, 2)] for _ in range(ROUNDS)]
            one = statistics.median(first["exchange"] for first, _ in rounds)
            two = statistics.median(second["exchange"] for _, second in rounds)
            alone = statistics.median(second["none"] for _, second in rounds)
            efficiency = statistics.median(first["exchange"] / second["exchange"] for first, second in rounds)
            share = statistics.median(max(0.0, 1 - second["none"] / second["exchange"]) for _, second in rounds)
            times = " | ".join(f"{1000 * value:.1f} ms" for value in (one, two, alone))
            size = f"{rounds[0][0]['bytes'] / 2**20:.2f} MiB"
            rows.append(f"| {case} | {each} | {size} | {times} | {efficiency:.2f} | {100 * share:.0f} % |")
            paper += on_paper(case, one, rounds[0][0]["bytes"])
            short += [] if efficiency >= BAR else [f"{case}: {efficiency:.2f}"]
    verdict = f"Bar: efficiency >= {BAR}. " + (f"Short: {'; '.join(short)}." if short else "Held by all.")
    doc = (__doc__ or "").strip()
    write_result(
        "scaling", f"{doc}\n\n{chr(10).join(rows)}\n\n{verdict}\n\nExchange over step:\n\n{chr(10).join(paper)}"
    )


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["child"] else main()
